"""The sentences and tables of a report: what is claimed follows from the figures, and each figure is in its cell."""

import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tracemill.statistics import Paired
from trainer.compare import Compared, OverSeeds, family, together
from trainer.report.facts import Bins, Control, Cost, Facts, Flip
from trainer.report.headline import control_gain, headline
from trainer.report.page import MAX_CHARACTERS, cut, duration, page

GAIN = Compared("sums", Paired(both=10, first=5, second=35, neither=50))
LOSS = Compared("sums", Paired(both=10, first=35, second=5, neither=50))
SUMS = Compared("sums", Paired(both=30, first=5, second=20, neither=45))
STILL = Compared("sums", Paired(both=10, first=5, second=8, neither=77))


def evaluation(stage: str, **columns: Any) -> dict[str, Any]:
    fields = {"benchmark": "sums", "stage": stage, "questions": 100, "correct_strict": 10}
    means = {"steps": 2.25, "tokens_out": 31.5, "faithfulness": 0.625, "coherence": None}
    return fields | means | {"pass_at": {}, "majority_at": {}} | columns


FACTS = Facts(
    name="good",
    spec={"student": "student", "fit": {"objective": "sft"}, "select": {"jobs": ["teach", "more"]}},
    metrics={"loss": [[1, 2.5], [2, 1.5]], "selection": {"removed": {"accepted": 4, "too_long": 1200}}},
    finished="2026-03-05",
    evaluations=[
        evaluation("before"),
        evaluation("after", correct_strict=40, pass_at={"1": 0.45, "4": 0.7}, majority_at={"1": 0.4}),
    ],
    before_after=[GAIN],
    control=None,
    breakdown={"domain": [GAIN]},
    scores={"steps": Bins(1, 3, [1, 0], [0, 2])},
    stages=[
        {"stage": 0, "examples": 1000, "tokens": 20000, "length": 20.4, "steps": 2.75, "pass_rate": 0.875},
        {"stage": 1, "examples": 234, "tokens": 4680, "length": 20.0, "steps": None, "pass_rate": None},
    ],
    flips=[],
    flipped={"gained": 35, "lost": 5},
    cost=Cost(traces=2500, tokens=60000, trained_tokens=24680, engine_seconds=7200.0, price=12.5, fit_seconds=90.0),
    tiers=[
        {"tier": 1, "job": "teach", "model": "cheap", "questions": 1200, "solved": 900, "accepted": 2000}
        | {"tokens_per_accepted": 30.4, "cost_per_accepted": 0.00125},
        {"tier": 2, "job": "teach-tier2", "model": "strong", "questions": 300, "solved": 0, "accepted": 0}
        | {"tokens_per_accepted": None, "cost_per_accepted": None},
    ],
    seeds=["good"],
    over_seeds=None,
    control_over_seeds=None,
)


def rows(facts: Facts) -> list[list[str]]:
    """The cells of all tables of the page."""
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in page(facts).split("<tr>")[1:]]
    return [[" ".join(unescape(re.sub("<[^>]*>", "", cell)).split()) for cell in row] for row in cells]


def words(facts: Facts) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", page(facts))).split())


def test_each_cell_names_its_column_for_a_narrow_page() -> None:
    html = page(control(GAIN))
    tables = re.findall(r"<table>(.*?)</table>", html, re.DOTALL)
    assert len(tables) == 6
    for table in tables:
        heading, *lines = table.split("<tr>")[1:]
        names = [unescape(name) for name in re.findall(r"<th[^>]*>(.*?)</th>", heading, re.DOTALL)]
        for line in lines:
            labels = [unescape(label) for label in re.findall(r'<td(?: data-label="([^"]*)")?', line)]
            assert labels == names


LONG = "gsm8k-test-teacher-with-a-name-of-one-hundred-characters-without-a-space-" + "0123456789" * 3
#: Reports the width of the page, and elements that reach over its edges, from inside a frame of 360 pixels.
MEASURE = """<iframe src="report.html" style="width:360px;height:9000px;border:0"></iframe><script>
onload = () => {
  const page = frames[0].document;
  const outside = [...page.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect();
    const hides = getComputedStyle(element).overflowX != "visible" && element.scrollWidth > element.clientWidth;
    return box.width && (box.right > 360.5 || box.left < -0.5 || hides);
  });
  document.title = "measured " + page.documentElement.scrollWidth + " " + outside.map(e => e.tagName).join();
};
</script>"""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_nothing_is_cut_at_360_pixels(tmp_path: Path) -> None:
    named = replace(GAIN, benchmark=LONG)
    facts = replace(control(GAIN, named), name=LONG, before_after=[GAIN, named], breakdown={"domain": [GAIN, named]})
    (tmp_path / "report.html").write_text(page(facts), encoding="utf-8")
    (tmp_path / "measure.html").write_text(MEASURE)
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *flags, profile, "--virtual-time-budget=3000", f"file://{tmp_path}/measure.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert re.findall("<title>(.*)</title>", done.stdout) == ["measured 360 "], done.stderr


def test_a_gain_is_a_headline_with_its_numbers() -> None:
    summary = headline(FACTS)
    assert summary.sentence == (
        "Training on 1,234 examples raised right answers from 15.0 % to 45.0 % of 100 held-out questions."
    )
    assert summary.shown == [
        "This student answers more questions right than the base model: +30.0 points [+18.5, +40.5] over 100 "
        "questions, p\xa0<\xa00.001."
    ]
    assert summary.not_shown[0].startswith("Whether the filter matters: there is no control arm")
    assert not any("reasoning" in sentence for sentence in summary.not_shown)


def test_a_loss_is_called_one() -> None:
    summary = headline(replace(FACTS, before_after=[LOSS]))
    assert "lowered right answers from 45.0 % to 15.0 %" in summary.sentence
    assert summary.shown == [
        "This student answers fewer questions right than the base model: -30.0 points [-40.5, -18.5] over 100 "
        "questions, p\xa0<\xa00.001."
    ]


def test_what_chance_makes_is_not_shown() -> None:
    summary = headline(replace(FACTS, before_after=[STILL]))
    assert summary.sentence.endswith(
        "moved right answers from 15.0 % to 18.0 % of 100 held-out questions: no more than chance would."
    )
    assert summary.shown == []
    assert summary.not_shown[0].startswith("That the student became better or worse: +3.0 points [")


@pytest.mark.parametrize(("strict", "named"), [(40, False), (41, True)])
def test_a_gain_in_form_alone_is_named(strict: int, named: bool) -> None:
    # Right answers in any form rose by 30 points, so 30 in the asked form are no sign of learning the form.
    evaluations = [evaluation("before"), evaluation("after", correct_strict=strict)]
    sentence = "right answers in the asked form rose by 31.0 points, more than right answers in any form"
    assert (sentence in " ".join(headline(replace(FACTS, evaluations=evaluations)).not_shown)) is named


def control(*compared: Compared, state: str = "done") -> Facts:
    return replace(FACTS, control=Control("good-control", state, list(compared), {}))


def test_a_control_arm_says_whether_the_filter_matters() -> None:
    better = headline(control(GAIN)).shown
    assert better[1].startswith(
        "In this run the chosen traces taught more than as many tokens of unfiltered ones: +30.0 points"
    )
    assert headline(control(LOSS)).shown[1].startswith("In this run the chosen traces taught less than")
    assert headline(control(STILL)).not_shown[0].startswith("That the filter matters: against as many tokens")
    waiting = headline(control(state="fitting")).not_shown[0]
    assert waiting == "Whether the filter matters: its control arm good-control is fitting."
    assert control_gain(FACTS) is None
    assert control_gain(control()) is None


def test_several_benchmarks_are_summed_and_have_p_values_by_holm() -> None:
    both = family([SUMS, Compared("words", Paired(0, 0, 6, 0))])
    assert together(both) == Compared("all benchmarks", Paired(30, 5, 26, 45))
    # 5 or fewer of 25 flips: p is 0.0041, and of two tests it is the smaller, so it counts twice.
    cells = {row[0]: row[5] for row in rows(replace(FACTS, before_after=both)) if len(row) == 8}
    assert cells["sums"] == "p = 0.004, by Holm p = 0.008"
    assert cells["words"] == "p = 0.031, by Holm p = 0.031"
    assert cells["all benchmarks"] == "p < 0.001"


def test_gain_and_filter_are_one_family_of_tests() -> None:
    # Six flips of six: p is 0.031 alone and 0.062 as the smaller of two, so that neither is shown.
    weak = Compared("sums", Paired(0, 0, 6, 0))
    assert headline(replace(FACTS, before_after=[weak])).shown != []
    facts = replace(control(weak), before_after=[weak])
    assert headline(facts).shown == []
    assert "by Holm p\xa0=\xa00.062" in headline(facts).not_shown[0]
    assert {row[2] for row in rows(facts) if row[0] == "price of the teacher's traces"} == {"no gain is shown"}


def test_a_report_claims_a_recipe_over_its_seeds_alone() -> None:
    one_run = "What the recipe gives with another seed: this is one run, the intervals are over questions"
    assert any(sentence.startswith(one_run) for sentence in headline(FACTS).not_shown)
    # By hand: 6.25, 0.25 and 3.75 points have Student's interval 3.4 [-4.1, 10.9] and p = 0.189.
    filtered = OverSeeds("all benchmarks", (0.23, 0.255, 0.2525), (0.2925, 0.2575, 0.29))
    gained = OverSeeds("all benchmarks", (0.1475,) * 3, (0.2925, 0.2575, 0.29))
    facts = replace(FACTS, seeds=["a", "b", "c"], over_seeds=gained, control_over_seeds=filtered)
    summary = headline(facts)
    assert summary.shown[1] == (
        "The recipe changes the right answers of its students: +13.2 points [+8.4, +18.1] over 3 seeds, "
        "p\xa0=\xa00.007, by Holm p\xa0=\xa00.014 (a, b, c)."
    )
    assert (
        "The recipe's filter changes them, against as many tokens of unfiltered traces: +3.4 points [-4.1, +10.9] over "
        "3 seeds, p\xa0=\xa00.189, by Holm p\xa0=\xa00.189 (a, b, c)."
    ) in summary.not_shown
    assert not any(sentence.startswith(one_run) for sentence in summary.not_shown)


def test_each_figure_of_a_benchmark_is_in_its_cell() -> None:
    shown = rows(FACTS)
    assert [
        "sums",
        "100",
        "15.0 [9.3, 23.3]",
        "45.0 [35.6, 54.8]",
        "+30.0 [+18.5, +40.5]",
        "p < 0.001",
        "35",
        "5",
    ] in shown
    assert ["sums", "before", "10.0", "2.2", "31.5", "0.62", "–", "–", "–"] in shown
    assert ["sums", "after", "40.0", "2.2", "31.5", "0.62", "–", "@1 45.0 · @4 70.0", "@1 40.0"] in shown
    assert not [row for row in shown if row[:1] == ["all benchmarks"]]
    two = rows(replace(FACTS, before_after=[GAIN, Compared("words", Paired(1, 2, 3, 4))]))
    assert [row[1] for row in two if row[:1] == ["all benchmarks"]] == ["110"]


def test_the_control_s_table_has_the_control_before_the_round() -> None:
    shown = rows(control(Compared("sums", Paired(both=30, first=5, second=20, neither=45))))
    assert [
        "sums",
        "100",
        "35.0 [26.4, 44.7]",
        "50.0 [40.4, 59.6]",
        "+15.0 [+5.3, +24.1]",
        "p = 0.004",
        "20",
        "5",
    ] in shown


def shares(facts: Facts) -> list[str]:
    """What each mark of the pictures stands for, in order."""
    return [unescape(tip).partition(" [")[0] for tip in re.findall(r"<title>(.*? %.*?)</title>", page(facts))]


def test_the_picture_has_the_control_between_before_and_after() -> None:
    control_arm = control(Compared("sums", Paired(both=30, first=5, second=20, neither=45)))
    assert shares(FACTS) == ["before: 15.0 %", "after: 45.0 %"]
    assert shares(control_arm) == ["before: 15.0 %", "control: 35.0 %", "after: 45.0 %"]


def test_a_breakdown_is_drawn_where_it_has_more_than_one_cell() -> None:
    cells = [GAIN, replace(LOSS, benchmark="long")]
    parts = replace(FACTS, breakdown={"length": cells, "domain": [GAIN]})
    assert shares(parts)[2:] == ["before: 15.0 %", "after: 45.0 %", "before: 45.0 %", "after: 15.0 %"]
    assert "sums (100)" in words(parts)
    assert "long (100)" in words(parts)
    assert "By length of the question" in words(parts)
    assert "By domain" not in words(parts)


def test_stages_and_what_was_left_out_are_counted_largest_first() -> None:
    shown = rows(FACTS)
    assert ["1", "1,000", "20,000", "20", "2.8", "0.88"] in shown
    assert ["2", "234", "4,680", "20", "–", "–"] in shown
    assert "2,500 traces of teach, more, of which it took 1,234 examples." in words(FACTS)
    assert "Left out, by filter: too long 1,200, accepted 4." in words(FACTS)
    assert "35 gained, 5 lost." in words(FACTS)


def test_costs_are_shown_in_all_and_for_each_point_gained() -> None:
    # 30 points [18.5, 40.5]: what was spent, divided by the gain; a larger gain makes a point cheaper.
    shown = {row[0]: row[1:] for row in rows(FACTS)}
    assert shown["tokens that the teacher wrote, rejected traces included"] == ["60,000", "2,000 [1,481, 3,246]"]
    assert shown["… of which were trained on"][0] == "24,680"
    assert shown["engine time of the teacher"] == ["2.0 h", "4 min [3 min, 6 min]"]
    assert shown["price of the teacher's traces"] == ["12.50", "0.42 [0.31, 0.68]"]
    assert shown["time of the fit"] == ["90 s", "3 s [2 s, 5 s]"]
    assert "tokens that the student wrote to be measured" not in shown  # there are none


def test_each_tier_has_the_tokens_and_the_cost_of_an_accepted_trace() -> None:
    tiers = rows(FACTS)
    assert ["1", "teach", "cheap", "1,200", "900", "2,000", "30", "0.00125"] in tiers
    assert ["2", "teach-tier2", "strong", "300", "0", "0", "–", "–"] in tiers
    assert "Tiers" not in words(replace(FACTS, tiers=[]))


@pytest.mark.parametrize("compared", [LOSS, STILL])
def test_without_a_gain_there_is_no_price_of_one(compared: Compared) -> None:
    shown = {row[0]: row[1:] for row in rows(replace(FACTS, before_after=[compared]))}
    assert shown["price of the teacher's traces"] == ["12.50", "no gain is shown"]


def test_a_flip_stands_with_its_texts_and_the_trace_it_is_like() -> None:
    near = {
        "similarity": 0.456,
        "trace_id": 7,
        "teacher": "teacher",
        "method": "cot",
        "prompt_hash": "abcdef0123456789",
    }
    flip = Flip("lost", "How many?", None, "sums", "it was 4", None, [near | {"question": "How much?", "text": "5."}])
    text = words(replace(FACTS, flips=[flip]))
    assert "lost How many? Gold answer: none · sums Before it was 4 After (no answer)" in text
    assert "Trained on, similarity 0.46 Trace 7 by teacher, cot, prompt abcdef012345 How much? 5." in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(99.4, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h")],
)
def test_a_time_changes_its_unit_where_the_next_one_reads_better(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_text_of_just_the_longest_length_is_whole() -> None:
    assert cut("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    assert cut("x" * MAX_CHARACTERS + "y") == "x" * MAX_CHARACTERS + " … and 1 more characters"
