"""Every value that the views of rounds show, column by column, against the one worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.integration.scenario import at, question_text
from tests.integration.views import Row, rows, table
from tracemill.statistics import mean_share

pytestmark = pytest.mark.integration


def test_a_round_has_one_row_with_its_state_and_its_training(filled: None) -> None:
    header = "round_id round state student objective examples loss error created_at finished_at"
    loss = [[1, 2.5], [2, 1.5]]
    ended = {1: at(6001), 2: at(6002), 3: None, 4: at(6004)}
    names = ((1, "r1", "done"), (2, "r1-control", "done"), (3, "r2", "fitting"), (4, "r3", "done"))
    assert rows("round_progress") == table(
        header, *((*name, "student", "sft", None, loss, None, at(5000 + name[0]), ended[name[0]]) for name in names)
    )


def test_an_example_has_one_row_for_each_evaluation_of_its_round(filled: None) -> None:
    examples = table(
        "round round_state role position question_id question trace_id job method text curriculum_stage adapter_path",
        ("r1", "done", "chosen", 0, 12, question_text(12), 103, "teach", "cot", "text 103", 0, "/adapters/r1"),
        ("r1", "done", "rejected", 0, 11, "question 11", 112, "wrong", "contrast", "text 112", 0, "/adapters/r1"),
        ("r1", "done", "chosen", 1, 11, "question 11", 101, "teach", "cot", "text 101", 0, "/adapters/r1"),
        ("r1", "done", "rejected", 1, 31, question_text(31), 113, "wrong", "contrast", "text 113", 0, "/adapters/r1"),
        ("r1", "done", "sft", 2, 11, "question 11", 108, "teach", "cot", "text 108", 1, "/adapters/r1"),
        ("r2", "fitting", "sft", 7, 11, "question 11", 102, "teach", "cot", "text 102", 2, None),
    )
    examples = [example | {"thoughts": f"thoughts {example['trace_id']}"} for example in examples]
    before, after, nothing = table(
        "evaluation_stage evaluation_job evaluated accuracy low high benchmark",
        ("before", "exam", 8, 0.125, 0.0625, 0.25, "exam"),
        ("after", "r1/exam", 8, 0.25, 0.125, 0.5, "exam"),
        (None,) * 7,
    )
    prompts = {"teacher_prompt_hash": "teach-prompt", "student_prompt_hash": "ask-prompt", "teacher": "teacher"}
    shared = prompts | {"teacher_prompt": [{"role": "user", "content": "teacher: {question}"}]}
    *measured, unmeasured = examples
    assert rows("round_lineage") == [
        *(example | evaluation | shared for example in measured for evaluation in (before, after)),
        unmeasured | nothing | shared,
    ]


def test_an_excluded_question_is_shown_beside_the_one_it_overlaps(filled: None) -> None:
    assert rows("round_exclusions") == [
        {
            "round": "r1",
            "question_id": question_id,
            "question": f"question {question_id}",
            "dataset": f"data {question_id}",
            "rule": rule,
            "share": share,
            "evaluation_question_id": other,
            "evaluation_question": question_text(other),
            "evaluation_dataset": "held-out",
        }
        for question_id, rule, share, other in ((41, "exact", 1.0, 31), (42, "ngram", 0.625, 33))
    ]


#: Of the questions 31 to 38: domain, difficulty and length. Question 31 has three right answers of four elsewhere, one
#: that nobody could decide apart; 32 has none of one, 33 one of one; 34 and 35 have a level of their data set.
EXAM = (
    ("math", "easy", "short"),
    ("math", "hard", "medium"),
    ("code", "easy", "medium"),
    ("math", "level 3", "long"),
    ("math", "level 4", "short"),
    *[("legal", "unknown", "short")] * 3,
)
#: Of each question: correct, correct_strict, trace_id, samples_correct.
BEFORE = (
    (True, True, 201, 2),
    (True, True, 204, 1),
    (False, False, 206, 0),
    (False, False, 207, 1),
    (False, False, 209, 0),
    (False, False, 210, 0),
    (False, False, None, 0),
    (False, False, 211, 0),
)
AFTER = (
    (True, True, 301, 1),
    (False, False, 302, 1),
    (True, False, 304, 1),
    (True, True, 305, 1),
    (True, True, 306, 1),
    (False, False, None, 0),
    (True, False, 307, 1),
    (False, False, 308, 0),
)
CONTROL = (
    (True, True, 401, 1),
    (True, True, 402, 1),
    *[(False, False, None, 0)] * 2,
    (True, False, 405, 1),
    *[(False, False, None, 0)] * 3,
)


NOTHING = ((False, False, None, 0),) * 8
#: The same questions in `other-exam`: here the answers of `exam` are those given elsewhere.
OTHER_EXAM = tuple(
    (domain, difficulty, length)
    for (domain, _, length), difficulty in zip(
        EXAM, ("easy", "medium", "hard", "level 3", "level 4", "hard", "unknown", "hard"), strict=True
    )
)
OTHER_BEFORE = ((True, True, 501, 2), NOTHING[0], (True, True, 504, 1), *NOTHING[:5])


def answers(
    name: str,
    stage: str,
    job: str,
    given: Sequence[tuple[bool, bool, int | None, int]],
    benchmark: str = "exam",
) -> list[Row]:
    """The rows of round_answers for one evaluation."""
    groups = EXAM if benchmark == "exam" else OTHER_EXAM
    shown = []
    for question, (correct, strict, n, right), (domain, difficulty, length) in zip(
        range(31, 39), given, groups, strict=True
    ):
        verified = n is not None and n != 308
        written = n is not None
        shown.append(
            {
                "round": name,
                "stage": stage,
                "benchmark": benchmark,
                "job": job,
                "question_id": question,
                "question": question_text(question),
                "gold": f"gold {question}",
                "domain": domain,
                "difficulty": difficulty,
                "length": length,
                "correct": correct,
                "correct_strict": strict,
                "trace_id": n,
                "text": f"text {n}" if written else None,
                "thoughts": f"thoughts {n}" if written else None,
                "answer": f"answer {n}" if written else None,
                "steps": (n or 0) + 5 if verified else None,
                "faithfulness": (n or 0) / 16 if verified else None,
                "coherence": (n or 0) / 32 if verified else None,
                "tokens_out": 10 * (n or 0) if written else None,
                "finish_reason": f"reason {n}" if written else None,
                "samples": 3,
                "samples_correct": right,
                "share": pytest.approx(right / 3),
            }
        )
    return shown


def test_a_question_has_one_row_a_stage_however_many_samples_it_has(filled: None) -> None:
    assert rows("round_answers") == [
        *answers("r1", "before", "exam", BEFORE),
        *answers("r1", "after", "r1/exam", AFTER),
        *answers("r1-control", "before", "exam", BEFORE),
        *answers("r1-control", "after", "r1-control/exam", CONTROL),
        *answers("r3", "before", "exam", BEFORE),
        *answers("r3", "before", "other-exam", OTHER_BEFORE, "other-exam"),
        *answers("r3", "after", "r3/exam", NOTHING),
        *answers("r3", "after", "r3/other-exam", NOTHING, "other-exam"),
    ]


def test_a_flip_shows_the_question_and_both_answers(filled: None) -> None:
    expected = []
    for name, benchmark, flip, question, before, after in (
        ("r1", "exam", "lost", 32, 204, 302),
        ("r1", "exam", "gained", 33, 206, 304),
        ("r1", "exam", "gained", 34, 207, 305),
        ("r1", "exam", "gained", 35, 209, 306),
        ("r1", "exam", "gained", 37, None, 307),
        ("r1-control", "exam", "gained", 35, 209, 405),
        ("r3", "exam", "lost", 31, 201, None),
        ("r3", "exam", "lost", 32, 204, None),
        ("r3", "other-exam", "lost", 31, 501, None),
        ("r3", "other-exam", "lost", 33, 504, None),
    ):
        domain, difficulty, length = (EXAM if benchmark == "exam" else OTHER_EXAM)[question - 31]
        expected.append(
            {
                "round": name,
                "benchmark": benchmark,
                "flip": flip,
                "question_id": question,
                "question": question_text(question),
                "gold": f"gold {question}",
                "domain": domain,
                "difficulty": difficulty,
                "length": length,
                "before_trace_id": before,
                "before_answer": before and f"answer {before}",
                "before_text": before and f"text {before}",
                "before_thoughts": before and f"thoughts {before}",
                "after_trace_id": after,
                "after_answer": after and f"answer {after}",
                "after_text": after and f"text {after}",
                "after_thoughts": after and f"thoughts {after}",
            }
        )
    assert rows("round_flips") == expected


def test_results_are_counts_means_and_wilson_intervals_of_a_cell(filled: None) -> None:
    cells = ((33,), (36, 37, 38), (35,), (31,), (32,), (34,))
    shown = table(
        "round stage correct correct_strict any_correct right traces",
        *(("r1", "before", *line) for line in ((0, 0, 0, 0, [206]), (0, 0, 0, 0, [210, 211]), (0, 0, 0, 0, [209]))),
        *(("r1", "before", *line) for line in ((1, 1, 1, 2, [201]), (1, 1, 1, 1, [204]), (0, 0, 1, 1, [207]))),
        *(("r1", "after", *line) for line in ((1, 0, 1, 1, [304]), (1, 0, 1, 1, [307]), (1, 1, 1, 1, [306]))),
        *(("r1", "after", *line) for line in ((1, 1, 1, 1, [301]), (0, 0, 1, 1, [302]), (1, 1, 1, 1, [305]))),
    )
    expected = []
    for number, row in enumerate(shown):
        questions = cells[number % len(cells)]
        domain, difficulty, length = EXAM[questions[0] - 31]
        n = sum(row["traces"]) / len(row.pop("traces"))
        # Of three samples a question, `right` are right, all of them to one question.
        of_one = row.pop("right") / 3
        accuracy, low, high = mean_share(len(questions), of_one, of_one**2, 3)
        cell = {"benchmark": "exam", "domain": domain, "difficulty": difficulty, "length": length}
        measures = {"steps": n + 5, "faithfulness": n / 16, "coherence": n / 32, "tokens_out": 10 * n}
        share = {"accuracy": pytest.approx(accuracy), "low": pytest.approx(low, abs=1e-6)}
        expected.append(
            row | cell | measures | share | {"high": pytest.approx(high, abs=1e-6), "questions": len(questions)}
        )
    # 308 has no verdict that counts: its tokens count, its steps do not.
    expected[7]["tokens_out"] = 3075.0

    def key(row: Row) -> tuple[Any, ...]:
        return row["round"], row["stage"], row["domain"], row["length"], row["difficulty"]

    assert sorted((row for row in rows("round_results") if row["round"] == "r1"), key=key) == sorted(expected, key=key)
