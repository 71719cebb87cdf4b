"""The tiers of a round: which there are, and what each costs."""

import re
from pathlib import Path

import pytest

from cli.output import console
from cli.tiers import print_tiers
from tests.integration.rounds import round_spec
from tracemill.statistics import share
from trainer.spec import RoundSpec
from trainer.tiers import FORMATS, Footprint, Round, Served, Tier

FULL = {"tuning": "full", "quantisation": "none", "learning_rate": 1e-5}
ROUND = Round(7, round_spec("r1"), Path("adapter"), "teacher")


def served(tier: str, right: int = 25, seconds: float = 50.0, price: float = 0.0) -> Served:
    footprint = Footprint(270_000_000, 1_900_000_000)
    return Served(tier, "gsm8k", f"r1/{tier}/gsm8k", 100, share(right, 100), 20_000, seconds, price, footprint)


def test_the_adapter_is_served_beside_its_base_model_alone() -> None:
    assert [tier.name for tier in ROUND.tiers(FORMATS)] == [
        *("teacher-bf16", "teacher-int8", "teacher-fp8", "teacher-int4", "adapter-bf16"),
        *("merged-bf16", "merged-int8", "merged-fp8", "merged-int4"),
    ]
    whole = RoundSpec.model_validate(round_spec("r1").model_dump() | {"fit": FULL})
    assert [tier.name for tier in Round(7, whole, Path(), "teacher").tiers(["bf16"])] == ["teacher-bf16", "merged-bf16"]


def test_each_tier_has_an_alias_and_a_job_of_its_own() -> None:
    tier = Tier("merged", "int4")
    assert (ROUND.alias(tier), ROUND.job(tier, "gsm8k")) == ("tier.r1.merged-int4", "r1/merged-int4/gsm8k")
    few = Round(7, ROUND.spec, Path("adapter"), "teacher", limit=20)
    assert few.job(tier, "gsm8k") == "r1/merged-int4/gsm8k-first-20"


def test_a_right_answer_costs_its_share_of_time_and_tokens() -> None:
    # 25 right answers in 50 s on a machine of 3.60 an hour, and tokens for 0.20.
    tier = served("merged-int8", price=0.2)
    assert (tier.tokens_per_second, tier.seconds_per_right) == (400.0, 2.0)
    assert tier.cost_per_right(3.6) == pytest.approx((50 * 0.001 + 0.2) / 25)
    nothing = served("merged-int4", right=0)
    assert (nothing.seconds_per_right, nothing.cost_per_right(1.0)) == (None, None)


def test_a_tier_that_was_not_served_has_no_figures_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_width", 80)
    print_tiers([served("adapter-bf16"), served("merged-int8", seconds=20)], {"merged-fp8": "no kernel"}, hourly=0)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert re.search(r"merged-int8 +│ 25\.0 \[17\.5, 34\.3\] │ +1000 │ +270 │ +1900 │ +0\.80 │", printed)
    assert re.search(r"merged-fp8 +│ +not tried here +│( +│)+\n", printed)
    assert "merged-fp8 was not tried here: no kernel" in printed
    assert "cost" not in printed
    assert "right answers of 100 questions, with 95 % intervals over questions" in printed
    print_tiers([served("adapter-bf16")], {}, hourly=3.6)
    assert re.search(r"cost / right +0\.002 ", capsys.readouterr().out)
