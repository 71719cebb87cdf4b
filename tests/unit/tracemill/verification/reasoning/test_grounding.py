"""Numbers of a trace have a source, and its answer follows from its reasoning."""

import json
import re
from pathlib import Path
from time import thread_time

import pytest

from tracemill.verification.reasoning import read
from tracemill.verification.reasoning.grounding import concludes, ungrounded
from tracemill.verification.reasoning.steps import split

SOLUTIONS = [json.loads(line) for line in (Path(__file__).parent / "solutions.jsonl").read_text().splitlines()]
APPLES = "There are 35 apples in each of three boxes; 20% of them rot. How many are good?"

GROUNDED = [
    ["3 * 35 = 105 apples", "105 * 0.2 = 21", "105 - 21 = 84"], ["80% of 105, which is 3 * 35, are good"],
    ["1. 35 * 3 = 105", "2. 105 * 80% = 84"], ["Step 7: 35 * 3 = 105"], ["The 3rd box has 35"], ["x2 = 35 * 3"],
    ["35 * 3 is 105, and 105/100 = 1.05"], ["35^4 is big"],
]  # fmt: skip
PLANTED = [
    (["There are 37 apples"], [(0, "37")]), (["35 * 3 = 105", "105 - 19 = 86"], [(1, "19")]),
    (["35 * 4 = 140"], [(0, "4")]), (["35 * 3 = 105", "The total is 17 + 105"], [(1, "17")]),
    (["Total = 37 + 35"], [(0, "37")]),
]  # fmt: skip


@pytest.mark.parametrize("steps", GROUNDED)
def test_numbers_of_the_question_and_of_results_are_grounded(steps: list[str]) -> None:
    assert ungrounded(APPLES, steps) == []


@pytest.mark.parametrize(("steps", "expected"), PLANTED)
def test_an_ungrounded_number_is_reported_at_its_step(steps: list[str], expected: list[tuple[int, str]]) -> None:
    assert ungrounded(APPLES, steps) == expected


@pytest.mark.parametrize(
    ("question", "step"),
    [("for two weeks", "2 * 7 = 14"), ("forty-five frogs", "45 + 1 = 46"), ("half of a dozen", "12 / 2 = 6"),
     ("for 3 hours", "3 * 60 = 180"), ("3/4 of them", "1 - 3/4 = 0.25"), ("in a year", "12 * 2 = 24")],
)  # fmt: skip
def test_words_and_units_give_numbers(question: str, step: str) -> None:
    assert ungrounded(question, [step]) == []


def test_95_percent_of_shipped_solutions_are_grounded() -> None:
    alarms = [bool(ungrounded(solution["question"], split(solution["trace"]))) for solution in SOLUTIONS]
    assert sum(alarms) <= 0.05 * len(alarms)


def test_85_percent_of_changed_numbers_are_reported() -> None:
    reported = []
    for solution in SOLUTIONS:
        steps = split(solution["trace"])
        given = set(re.findall(r"\d+", solution["question"]))
        for index, step in enumerate(steps):
            for match in re.finditer(r"(?<![\d.,/=])(?<!= )(?<!= \$)\d{2,3}(?![\d.,/%^]\d|\d)", step):
                for change in (-4, 3, 7, 11):
                    wrong = str(int(match[0]) + change)
                    if match[0] in given and wrong not in given:
                        changed = step[: match.start()] + wrong + step[match.end() :]
                        findings = ungrounded(solution["question"], [*steps[:index], changed, *steps[index + 1 :]])
                        reported.append((index, wrong) in findings)
    assert len(reported) >= 200
    assert sum(reported) >= 0.85 * len(reported)


CONCLUSIONS: list[tuple[list[str], str, bool | None]] = [
    (["3 + 4 = 7", "7 * 2 = 14"], "14", True), (["3 + 4 = 7", "7 * 2 = 14"], "15", False),
    (["3 + 4 = 7", "7 * 2 = 14", "The answer is 15."], "15", False), (["1200 + 34 = 1234"], "$1,234.00", True),
    ([r"1/2 + 1/4 = \frac{3}{4}"], "0.75", True), (["3/4 = 0.75"], r"\frac{3}{4}", True),
    (["5/20 = 0.25"], "25%", True),
    (["29/2 = 14.5", "so 15 buses"], "15", True), (["3 + 4 = 7 apples"], "7 apples", True),
    (["x = 5"], "x = 5", True),
    (["3 + 4 = 7"], "seven", None), (["We think."], "7", None), (["Half of 14 is what we want, 7"], "7", True),
    (["3 + 4 = 7"], "7 or 8", None), (["3 + 4 = y"], "7", None), ([], "7", None), (["-3 - 4 = -7"], "-7", True),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "answer", "expected"), CONCLUSIONS)
def test_the_answer_must_equal_the_last_derived_value(steps: list[str], answer: str, expected: bool | None) -> None:
    assert concludes(steps, answer) is expected


def test_no_shipped_solution_contradicts_its_answer() -> None:
    verdicts = [concludes(split(solution["trace"]), solution["answer"]) for solution in SOLUTIONS]
    assert False not in verdicts
    assert verdicts.count(True) >= 0.9 * len(verdicts)


def test_read_returns_the_results_of_every_check() -> None:
    reasoning = read(APPLES, ["35 * 3 = 106", "106 - 19 = 87"], "88")
    assert [finding.step for finding in reasoning.equations.false] == [0]
    assert reasoning.ungrounded == [(1, "19")]
    assert reasoning.concludes is False
    assert read(None, ["1 + 1 = 2"], None).ungrounded is None


@pytest.mark.parametrize(
    ("question", "text", "unused"),
    [
        ("What is 3 + 4 + 4?", "3 + 4 = 7. 7 + 4 = 11.", 0),
        ("What is 3 + 4 + 4?", "3 + 4 = 7.", 1),  # the other 4
        ("What is 3 + 4 + 4?", "The answer is 11.", 3),
        ("What is 3 + 4 + 4?", "4 = 4. 3 = 3. The answer is 11.", 3),
        ("Tom has 1,200 pens and 2.50 dollars.", "1200 * 2.5 = 3000", 0),
        ("Tom has three pens and buys 4.", "So he has 7.", 1),
        ("Is it so?", "Yes.", 0),
        (f"What is {'9' * 5_000} + 4?", "I add 4.", 1),  # too long to read
    ],
)
def test_numbers_of_the_question_without_an_equation_are_counted(question: str, text: str, unused: int) -> None:
    assert read(question, [text], None).unused == unused
    assert read(None, [text], None).unused is None


@pytest.mark.parametrize(
    "unit", ["1+1=", "1 ", "= ", "1=1\n", "a", "1 is ", "12,345", ".5", "1/", "half of 3 %", "answer 1 "]
)
def test_reading_a_megabyte_takes_under_four_seconds(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    start = thread_time()
    read(text, [text], text)
    assert thread_time() - start < 4


def test_an_answer_after_a_number_of_thousands_of_digits_is_no_error() -> None:
    assert concludes([f"It is {'9' * 5_000}"], "4") is False
