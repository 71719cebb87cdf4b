"""Calibration: what is measured of a judge on labelled traces, and when its signals may gate."""

import json
import math
import random
import re
import sys
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.conftest import forget
from tests.scripted_server import Fault, ScriptedServer
from tracemill.errors import EngineDead, StackError, TracemillError, UsageError
from tracemill.statistics import Interval, auc
from tracemill.verification.calibration import Bin, Measured, Rated, measure, reliability, why_not


def rated(right: list[float], wrong: list[float]) -> list[Rated]:
    return [Rated(True, {"rating": score}) for score in right] + [Rated(False, {"rating": score}) for score in wrong]


def simulated(seed: int, distance: float, count: int = 40) -> Measured:
    """A judge whose scores are bell curves `distance` apart: its true AUC is Φ(distance / √2)."""
    draw = random.Random(seed)
    right, wrong = ([1 / (1 + math.exp(-draw.gauss(mean, 1))) for _ in range(count)] for mean in (distance, 0.0))
    return measure(rated(right, wrong))[0]


def test_a_judge_that_always_scores_right_traces_higher_has_auc_one_and_agrees_always() -> None:
    (measured,) = measure(rated([0.9] * 12, [0.1] * 15))
    assert (measured.signal, measured.n_right, measured.n_wrong) == ("rating", 12, 15)
    assert measured.auc.value == 1.0
    assert measured.agreement.value == 1.0
    assert why_not(measured, 0.5) is None


def test_a_judge_that_has_it_the_wrong_way_round_is_uninformative() -> None:
    (measured,) = measure(rated([0.1] * 20, [0.9] * 20))
    assert measured.auc.value == 0.0
    assert measured.agreement.value == 0.0
    assert (why_not(measured, 0.5) or "").startswith("AUC 0.00 [0.00, ")


def test_a_judge_that_gives_everything_the_same_score_is_uninformative() -> None:
    (measured,) = measure(rated([0.7] * 30, [0.7] * 20))
    assert measured.auc.value == 0.5
    assert measured.auc.low < 0.5 < measured.auc.high
    assert measured.agreement.value == 0.6
    assert measured.bins == (Bin(0.7, 0.7, 50, pytest.approx(0.7), 30),)
    assert measured.calibration_error == pytest.approx(0.1)


def test_a_score_of_one_half_says_right() -> None:
    (measured,) = measure(rated([0.5] * 10, [0.49] * 10))
    assert measured.agreement.value == 1.0


def test_uplift_runs_from_minus_one_to_one_so_it_says_right_from_zero_on_and_is_no_share() -> None:
    (measured,) = measure([Rated(n < 10, {"uplift": 0.1 if n < 10 else -0.1}) for n in range(20)])
    assert measured.agreement.value == 1.0
    assert measured.calibration_error is None


def test_the_reliability_curve_has_bins_of_equal_count() -> None:
    bins = reliability([(n / 100, n >= 30) for n in range(100)])
    assert [b.count for b in bins] == [10] * 10
    assert [b.right for b in bins] == [0, 0, 0, 10, 10, 10, 10, 10, 10, 10]
    assert [b.low for b in bins] == pytest.approx([n / 10 for n in range(10)])
    assert [b.high for b in bins] == pytest.approx([n / 10 + 0.09 for n in range(10)])
    assert bins[3].mean == pytest.approx(0.345)
    assert bins[3].share == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)  # Wilson, 10 of 10


def test_equal_scores_are_never_split_between_two_bins() -> None:
    bins = reliability([(0.2, False)] * 35 + [(0.6, True)] * 5 + [(1.0, True)] * 60)
    assert [(b.low, b.high) for b in bins] == [(0.2, 0.2), (0.6, 0.6), (1.0, 1.0)]
    assert [b.count for b in bins] == [35, 5, 60]


def test_few_traces_make_few_bins() -> None:
    assert len(reliability([(n / 25, False) for n in range(25)])) == 2
    assert len(reliability([(0.3, True)])) == 1


def test_the_calibration_error_is_the_mean_distance_of_score_and_share_right() -> None:
    # 20 traces scored 0.9 of which 15 are right, 20 scored 0.2 of which 6 are: (0.15 + 0.10) / 2
    (measured,) = measure(rated([0.9] * 15 + [0.2] * 6, [0.9] * 5 + [0.2] * 14))
    assert measured.calibration_error == pytest.approx(0.125)


def test_a_signal_that_too_few_traces_have_is_not_measured() -> None:
    rows = rated([0.9] * 10, [0.1] * 10)
    assert len(measure(rows)) == 1
    assert measure(rows[1:]) == []
    both = [Rated(row.correct, {**row.scores, "coherence": 0.5}) for row in rows[:-1]] + rows[-1:]
    assert [measured.signal for measured in measure(both)] == ["rating"]


@pytest.mark.parametrize("distance", [0.0, 1.1902, 2.3262], ids=["AUC 0.5", "AUC 0.8", "AUC 0.95"])
@pytest.mark.parametrize("width", [0.01, 0.5], ids=["hardly tied", "tied"])
@pytest.mark.parametrize("counts", [(40, 40), (12, 60)], ids=["40 and 40", "12 and 60"])
def test_the_interval_of_the_auc_holds_the_true_value_in_about_95_of_100_cases(
    distance: float, width: float, counts: tuple[int, int]
) -> None:
    def levels(mean: float) -> list[float]:
        """The chance of each score: a bell curve, in levels so wide."""
        edges = [-4 + width * n for n in range(int(12 / width) + 1)]
        at = [NormalDist(mean).cdf(edge) for edge in edges]
        return [high - low for low, high in pairwise(at)]

    rights, wrongs = levels(distance), levels(0.0)
    below = [0.0, *accumulate(wrongs)]
    true = sum(right * (under + same / 2) for right, under, same in zip(rights, below, wrongs, strict=False))
    draw = random.Random(f"{distance} {width} {counts}")
    hits = 0
    for _ in range(400):
        right = draw.choices(range(len(rights)), rights, k=counts[0])
        wrong = draw.choices(range(len(wrongs)), wrongs, k=counts[1])
        area = auc(right, wrong)
        assert area is not None
        hits += area.low <= true <= area.high
    assert hits >= 0.93 * 400


def test_a_perfect_score_on_few_traces_is_not_taken_for_certain() -> None:
    area = auc([0.9] * 10, [0.1] * 10)
    assert area is not None
    # at a true AUC of t with Newcombe's standard error, 1 is 1.96 of them away: t = 0.800
    assert area == pytest.approx((1.0, 0.8002, 1.0), abs=1e-4)


def test_the_gate_opens_for_a_judge_that_knows_and_stays_shut_for_one_that_guesses() -> None:
    # AUC 0.5: the interval lies wholly above 0.5 by bad luck once in forty times, and not more often.
    guessing = [simulated(seed, 0.0) for seed in range(400)]
    assert sum(why_not(measured, 0.5) is None for measured in guessing) <= 18
    # AUC 0.9
    assert all(why_not(simulated(seed, 1.81), 0.5) is None for seed in range(50))


def test_a_stricter_threshold_shuts_the_gate_for_a_mediocre_judge() -> None:
    mediocre = simulated(7, 1.19, count=200)  # AUC 0.8
    assert why_not(mediocre, 0.5) is None
    assert (why_not(mediocre, 0.9) or "").endswith("is not above 0.9")


def test_why_a_signal_is_uninformative_is_a_sentence() -> None:
    measured = Measured("rating", 20, 20, Interval(0.46, 0.33, 0.59), Interval(0.5, 0.4, 0.6), ())
    assert why_not(measured, 0.5) == "AUC 0.46 [0.33, 0.59] is not above 0.5"
    assert why_not(None, 0.5) == "not calibrated"


def belief(prompt: str) -> dict[str, float]:
    """A scripted judge says "yes" with the probability that the question names: "… p=0.73 …"."""
    p = float(re.findall(r"p=(\d\.\d+)", prompt)[0])
    return {"Yes": math.log(p), "No": math.log(1 - p)}


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A scripted judge behind the alias `referee`, and no stack."""
    with ScriptedServer(first_words=belief) as server:
        config = tmp_path / "tracemill.toml"
        config.write_text(
            f'[models.referee]\nengine = "openai"\nmodel = "scripted"\nopenai.base_url = "{server.base_url}"\n'
        )
        monkeypatch.setenv("TRACEMILL_CONFIG", str(config))
        monkeypatch.setenv("TRACEMILL_DATA_DIR", str(tmp_path / "data"))
        forget()
        yield server
    forget()


def sums(right: int, wrong: int, known: bool = True) -> list[dict[str, Any]]:
    """Traces about sums whose gold answers say which are right; a judge that knows scores those above 0.5."""
    draw = random.Random(1)
    rows = []
    for n in range(right + wrong):
        answer = 2 * n if n < right else 2 * n + 1
        p = draw.uniform(0.55, 0.95) if known and n < right else draw.uniform(0.05, 0.45 if known else 0.95)
        rows.append(
            {
                "question": f"What is {n} + {n}? p={p:.3f}",
                "trace": f"We add.\n{n} + {n} = {answer}\nThe answer is {answer}.",
                "gold": 2 * n,
            }
        )
    return rows


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["calibrate", "--judge", "referee", *map(str, words)])


def test_a_judge_that_knows_is_informative_and_its_picture_is_drawn(judge: ScriptedServer, tmp_path: Path) -> None:
    done = run(write(tmp_path / "sums.jsonl", sums(14, 12)), "--signals", "rating", "--no-store", "--json")
    assert done.exit_code == 0, done.stderr
    output = json.loads(done.stdout)
    assert (output["judge"], output["model"], output["traces"], output["stored"]) == ("referee", "scripted", 26, False)
    (rating,) = output["signals"]
    assert (rating["n_right"], rating["n_wrong"]) == (14, 12)
    assert rating["auc"]["value"] == 1.0
    assert rating["agreement"]["value"] == 1.0
    assert rating["informative"]
    assert sum(b["count"] for b in rating["bins"]) == 26
    picture = Path(output["picture"])
    assert picture == tmp_path / "data" / "calibration" / "referee.svg"
    assert "</svg>" in picture.read_text()


def test_a_judge_that_guesses_is_called_uninformative(judge: ScriptedServer, tmp_path: Path) -> None:
    rows = sums(20, 20, known=False)
    picture = tmp_path / "pictures" / "referee.png"
    done = run(write(tmp_path / "sums.jsonl", rows), "--signals", "rating", "--no-store", "--picture", picture)
    assert done.exit_code == 0, done.stderr
    assert "uninformative" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_judge_is_measured_all_the_same_but_a_picture_that_was_asked_for_is_refused(
    judge: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = (write(tmp_path / "sums.jsonl", sums(10, 10)), "--signals", "rating", "--no-store")
    refused = run(*words, "--picture", tmp_path / "referee.svg")
    assert isinstance(refused.exception, UsageError)
    assert "tracemill[pictures]" in str(refused.exception)
    assert not judge.requests
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    assert "No picture: pip install 'tracemill[pictures]'" in done.stdout


def test_a_persons_label_stands_above_the_gold_answer(judge: ScriptedServer, tmp_path: Path) -> None:
    rows = [row | {"correct": index >= 11} for index, row in enumerate(sums(11, 13))]
    done = run(write(tmp_path / "sums.jsonl", rows), "--signals", "rating", "--no-store", "--json")
    (rating,) = json.loads(done.stdout)["signals"]
    assert (rating["n_right"], rating["n_wrong"], rating["auc"]["value"]) == (13, 11, 0.0)


def test_lines_that_cannot_be_used_are_named_and_the_others_stay(judge: ScriptedServer, tmp_path: Path) -> None:
    bad = [
        "no json",
        {"trace": "The answer is 1.", "question": "1?"},
        {"question": "1?", "gold": "1"},
        {"trace": "The answer is 1.", "question": "1?", "correct": "perhaps"},
        {"trace": "The answer is 50%.", "question": "1?", "gold": "0.5"},
        {"trace": "I do not know.", "question": "1?", "correct": False},
    ]
    path = write(tmp_path / "sums.jsonl", [*bad, *sums(10, 10)])
    done = run(path, "--signals", "rating", "--no-store", "--json")
    assert done.exit_code == 0, done.stderr
    output = json.loads(done.stdout)
    assert (output["traces"], output["broken_lines"], output["left_out"], output["errors"]) == (20, 4, 2, 0)
    for line in (
        "sums.jsonl:1: not JSON",
        "sums.jsonl:2: neither",
        'sums.jsonl:3: no "trace"',
        'sums.jsonl:4: "correct" is neither true nor false',
    ):
        assert line in done.stderr
    assert "left out 1 undecided by the symbolic checks" in done.stderr
    assert "left out 1 without an answer" in done.stderr


def test_too_few_labelled_traces_are_wrong_use_and_the_judge_is_not_asked(
    judge: ScriptedServer, tmp_path: Path
) -> None:
    done = run(write(tmp_path / "sums.jsonl", sums(13, 4)), "--no-store")
    assert isinstance(done.exception, UsageError)
    assert "13 right and 4 wrong traces can be used" in str(done.exception)
    assert "6 more wrong" in str(done.exception)
    assert not judge.requests


def test_the_first_lines_are_taken_when_there_is_a_limit(judge: ScriptedServer, tmp_path: Path) -> None:
    rows = sums(20, 20)
    path = write(tmp_path / "sums.jsonl", [row for pair in zip(rows[:20], rows[20:], strict=True) for row in pair])
    done = run(path, "--signals", "rating", "--no-store", "--limit", "24", "--json")
    assert [(s["n_right"], s["n_wrong"]) for s in json.loads(done.stdout)["signals"]] == [(12, 12)]


def test_traces_that_the_judge_fails_at_are_counted_and_the_others_measured(
    judge: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_GENERATE_CONCURRENCY", "1")  # so that the second and the third trace are refused
    forget()
    judge.faults = iter([None, Fault.REFUSED, Fault.REFUSED])
    done = run(write(tmp_path / "sums.jsonl", sums(14, 14)), "--signals", "rating", "--no-store", "--json")
    output = json.loads(done.stdout)
    assert output["errors"] == 2
    assert output["signals"][0]["n_right"] + output["signals"][0]["n_wrong"] == 26
    assert "maximum context length" in done.stderr


def test_the_judge_is_asked_about_one_question_after_another(
    judge: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_GENERATE_CONCURRENCY", "1")
    forget()
    rows = sums(10, 10)
    samples = [row | {"trace": row["trace"][n:]} for n in range(3) for row in rows]
    assert run(write(tmp_path / "sums.jsonl", samples), "--signals", "rating", "--no-store").exit_code == 0
    prompts = [str(payload["messages"][-1]["content"]) for _, payload in judge.requests]
    questions = [prompt.partition("[REASONING begins]")[0] for prompt in prompts]
    assert len(questions) == 60
    assert len(list(groupby(questions))) == 20


def test_a_repeated_calibration_asks_only_for_the_traces_that_are_not_rated(
    judge: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_GENERATE_CONCURRENCY", "1")
    forget()
    path = write(tmp_path / "sums.jsonl", sums(12, 12))
    words = (path, "--signals", "rating", "--no-store", "--json")
    judge.faults = iter([None] * 9 + [Fault.UNAUTHORIZED] * 100)
    assert isinstance(run(*words).exception, EngineDead)
    journal = tmp_path / "data" / "calibration" / "referee.ratings.jsonl"
    with journal.open("a") as file:
        file.write('{"trace": "incompl')  # the line of a killed run
    judge.faults = iter([])
    judge.requests.clear()
    forget()
    done = run(*words)
    assert "9 of 24 traces were rated by an earlier run" in done.stderr
    assert len(judge.requests) == 24 - 9
    (rating,) = json.loads(done.stdout)["signals"]
    assert (rating["n_right"], rating["n_wrong"], rating["auc"]["value"]) == (12, 12, 1.0)
    assert not journal.exists()


def test_a_judge_that_never_answers_is_failed_work(judge: ScriptedServer, tmp_path: Path) -> None:
    judge.faults = iter([Fault.REFUSED] * 100)
    done = run(write(tmp_path / "sums.jsonl", sums(10, 10)), "--signals", "rating", "--no-store")
    assert isinstance(done.exception, TracemillError)
    assert done.exception.exit_code == 1
    assert "gave no score" in str(done.exception)


def test_a_judge_whose_key_is_wrong_ends_the_command(judge: ScriptedServer, tmp_path: Path) -> None:
    judge.faults = iter([Fault.UNAUTHORIZED] * 100)
    done = run(write(tmp_path / "sums.jsonl", sums(10, 10)), "--signals", "rating", "--no-store")
    assert isinstance(done.exception, EngineDead)


def test_without_a_database_nothing_is_asked_of_the_judge(judge: ScriptedServer, tmp_path: Path) -> None:
    done = run(write(tmp_path / "sums.jsonl", sums(10, 10)))
    assert isinstance(done.exception, StackError)
    assert "tracemill up" in str(done.exception)
    assert "--no-store" in str(done.exception)
    assert not judge.requests


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "FILE"),
        (["{sums}", "--job", "sums"], "one of the two"),
        (["{sums}", "--signals", "rating,mood"], "unknown mood"),
        (["{sums}", "--signals", ","], "names none"),
        (["{sums}", "--picture", "picture.pdf"], ".svg or .png"),
        (["{sums}", "--picture", "{sums}/picture.svg"], "is not a folder"),
        (["none.jsonl"], "cannot read none.jsonl"),
        (["{sums}", "--judge", "nobody"], "nobody"),
    ],
)
def test_wrong_use_is_said_before_anything_starts(
    judge: ScriptedServer, tmp_path: Path, words: list[str], message: str
) -> None:
    path = write(tmp_path / "sums.jsonl", sums(10, 10))
    done = run(*(word.format(sums=path) for word in words), "--no-store")
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert not judge.requests
    assert not (tmp_path / "data").exists()
