"""The selection of traces in a real Postgres: allowed traces, and traces that no round may train on."""

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.integration.rounds import job, new_round, question, round_spec, trace
from tracemill.errors import TracemillError
from tracemill.stack import Stack
from trainer.select.choose import select


def _examples(round_id: int) -> list[int]:
    with transaction() as connection:
        rows = connection.execute(
            text("select trace_id from examples where round_id = :id order by position"), {"id": round_id}
        )
        return [row.trace_id for row in rows]


def _many(questions: int, samples: int) -> None:
    """A job `teach` whose traces are all accepted."""
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?") for n in range(questions)]
        teach = job(connection, "teach", ids)
        for number, question_id in enumerate(ids):
            for index in range(samples):
                trace(connection, teach, question_id, f"{number} by way {index}", index=index)


def test_only_accepted_traces_of_teach_jobs_are_examples(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?") for n in range(4)]
        benchmark = question(connection, "What is 9 + 1?")
        teach = job(connection, "teach", ids)
        good = trace(connection, teach, ids[0], "right")
        trace(connection, teach, ids[1], "wrong", accepted=False)
        trace(connection, teach, ids[2], "not verified", accepted=None)
        other = job(connection, "other", ids)
        trace(connection, other, ids[3], "of a job that the round does not name")
        before = job(connection, "before", [benchmark], evaluate=True)
        trace(connection, before, benchmark, "an accepted answer in an evaluation")
        spec = round_spec(select={"jobs": ["teach", "before"]})
        round_id = new_round(connection, spec)
        selection = select(connection, round_id, spec)
    assert _examples(round_id) == [good]
    assert (selection.traces, selection.removed, selection.kept) == (3, {"unverified": 1, "accepted": 1}, 1)


def test_no_round_trains_on_an_evaluation_question_in_any_spelling(clean: Stack) -> None:
    with transaction() as connection:
        duplicate = question(connection, "What is 3 + 4?", "benchmark")
        job(connection, "an evaluation that the round does not name", [duplicate], evaluate=True)
        same = question(connection, "what is  3+4 ?", "training")
        fresh = question(connection, "What is 3 + 5?", "training")
        teach = job(connection, "teach", [duplicate, same, fresh])
        for question_id in (duplicate, same):
            trace(connection, teach, question_id, "3 + 4 = 7. The answer is 7.")
        good = trace(connection, teach, fresh, "3 + 5 = 8. The answer is 8.")
        spec = round_spec()
        round_id = new_round(connection, spec)
        selection = select(connection, round_id, spec)
    assert _examples(round_id) == [good]
    assert (selection.removed, selection.examples) == ({"overlapping": 2}, 1)


def test_a_text_counts_once_for_its_question(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?") for n in range(2)]
        teach = job(connection, "teach", ids)
        for index, content in enumerate(("same", "same", "other", "same")):
            trace(connection, teach, ids[0], content, index=index)
        trace(connection, teach, ids[1], "same")
        spec = round_spec()
        selection = select(connection, new_round(connection, spec), spec)
    assert (selection.removed, selection.examples) == ({"repeated": 2}, 3)


def test_the_seed_chooses_and_chooses_the_same_again(clean: Stack) -> None:
    _many(questions=6, samples=5)
    chosen = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        spec = round_spec(name, select={"max_per_question": 2, "limit": 7, "seed": seed})
        with transaction() as connection:
            round_id = new_round(connection, spec)
            selection = select(connection, round_id, spec)
        assert (selection.removed, selection.examples) == ({"max_per_question": 18, "limit": 5}, 7)
        chosen.append(_examples(round_id))
    assert chosen[0] == chosen[1] != chosen[2]


def test_zero_means_no_bound(clean: Stack) -> None:
    _many(questions=2, samples=9)
    spec = round_spec(select={"max_per_question": 0, "limit": 0})
    with transaction() as connection:
        assert select(connection, new_round(connection, spec), spec).examples == 18


def test_a_second_selection_replaces_the_examples(clean: Stack) -> None:
    _many(questions=2, samples=2)
    spec = round_spec()
    with transaction() as connection:
        round_id = new_round(connection, spec)
        assert select(connection, round_id, spec) == select(connection, round_id, spec)
    assert len(_examples(round_id)) == 4


@pytest.mark.parametrize(
    ("accepted", "message"),
    [(None, "1 are not verified yet"), (False, "1 are not accepted"), (True, "also in an evaluation")],
)
def test_no_example_is_an_error_that_names_the_filter(clean: Stack, accepted: bool | None, message: str) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 3 + 4?")
        job(connection, "before", [question_id], evaluate=True)
        teach = job(connection, "teach", [question_id])
        trace(connection, teach, question_id, "7", accepted=accepted)
    spec = round_spec()
    with transaction() as connection, pytest.raises(TracemillError, match=message):
        select(connection, new_round(connection, spec), spec)


def test_reworded_evaluation_questions_are_removed_and_reported(clean: Stack) -> None:
    evaluation_question = (
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May. How many in all?"
    )
    written = {
        "exact": evaluation_question,
        "normalised": evaluation_question.upper().replace(", ", " , "),
        "ngram": evaluation_question.replace("in April, and then she", "during April, and she"),
        "": evaluation_question.replace("48", "52"),
    }
    with transaction() as connection:
        benchmark = question(connection, evaluation_question, "benchmark")
        job(connection, "an evaluation that the round does not name", [benchmark], evaluate=True)
        planted = {rule: question(connection, each, "training") for rule, each in written.items()}
        teach = job(connection, "teach", list(planted.values()))
        for question_id in planted.values():
            trace(connection, teach, question_id, f"A trace for {question_id}. The answer is 72.")
        spec = round_spec(select={"accepted": "any", "overlap": 0.6})
        round_id = new_round(connection, spec)
        selection = select(connection, round_id, spec)
        reported = connection.execute(text("select * from round_exclusions order by question_id")).all()
        kept = connection.execute(text("select question_id from round_lineage")).scalars().all()
    assert kept == [planted.pop("")]
    assert (selection.removed, selection.overlaps) == ({"overlapping": 3}, {"exact": 1, "normalised": 1, "ngram": 1})
    assert [(row.rule, row.question_id, row.evaluation_question) for row in reported] == [
        (rule, question_id, evaluation_question) for rule, question_id in planted.items()
    ]
    assert [row.share for row in reported[:2]] == [1, 1]
    assert 0.6 < reported[2].share < 1


def test_an_evaluation_question_inside_a_long_prompt_is_removed(clean: Stack) -> None:
    planted = (
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May. How many in all?"
    )
    shots = "\n".join(f"Q: What is {n} + {n}? A: {2 * n}." for n in range(300))
    prompts = [f"{shots}\nQ: {planted}\n{shots}", f"{shots}\nQ: {planted}", shots]
    with transaction() as connection:
        benchmark = question(connection, planted, "benchmark")
        job(connection, "an evaluation that the round does not name", [benchmark], evaluate=True)
        ids = [question(connection, each, "training") for each in prompts]
        teach = job(connection, "teach", ids)
        for question_id in ids:
            trace(connection, teach, question_id, "The answer is 72.")
        spec = round_spec()
        round_id = new_round(connection, spec)
        selection = select(connection, round_id, spec)
        kept = connection.execute(text("select question_id from round_lineage")).scalars().all()
        reported = connection.execute(text("select question_id, share from round_exclusions order by 1")).all()
    assert (kept, selection.removed, selection.overlaps) == (ids[2:], {"overlapping": 2}, {"ngram": 2})
    assert list(map(tuple, reported)) == [(ids[0], 1), (ids[1], 1)]


def test_a_second_selection_replaces_the_exclusions(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?") for n in range(2)]
        job(connection, "before", ids[:1], evaluate=True)
        teach = job(connection, "teach", ids)
        for question_id in ids:
            trace(connection, teach, question_id, "2")
        spec = round_spec()
        round_id = new_round(connection, spec)
        for _ in range(2):
            assert select(connection, round_id, spec).overlaps == {"exact": 1}
        assert connection.execute(text("select count(*) from exclusions")).scalar() == 1
