"""Thoughts that a student learns, and thoughts of a model that was given more than the question, which it does not."""

import pytest
from sqlalchemy import Connection, text

from db.session import transaction
from tests.integration.rounds import job, new_round, question, round_spec, trace
from tracemill.errors import TracemillError
from tracemill.stack import Stack
from trainer.fit import round_examples
from trainer.objectives import find
from trainer.select.choose import select

ANSWER = "3 + 4 = 7. The answer is 7."
PLAIN = f"<think>Add the two numbers.</think>{ANSWER}"
HINTED = f"<think>The hint says 7.</think>{ANSWER}"
WRONG = "<think>I must slip somewhere.</think>3 + 4 = 8. The answer is 8."


def _job(connection: Connection, name: str, method: str, ids: list[int]) -> int:
    job_id = job(connection, name, ids)
    values = {"id": job_id, "method": method, "negative": method == "contrast"}
    connection.execute(text("update jobs set method = :method, negative = :negative where id = :id"), values)
    return job_id


def _learnt(connection: Connection, objective: str, jobs: list[str]) -> list[tuple[str, str]]:
    """(role, text) of each example of a round."""
    spec = round_spec(select={"jobs": jobs}, fit={"objective": objective})
    round_id = new_round(connection, spec)
    select(connection, round_id, spec)
    return sorted((example.role, example.text) for example in round_examples(connection, round_id, find(objective)))


def test_a_student_learns_no_thoughts_of_a_model_that_saw_the_gold_answer(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, f"What is 3 + 4, asked a {n}th time?") for n in range(3)]
        for name, method, content in zip("abc", ("cot", "rationalize", "refine"), (PLAIN, HINTED, HINTED), strict=True):
            trace(connection, _job(connection, name, method, ids), ids["abc".index(name)], content)
        assert _learnt(connection, "sft", ["a", "b", "c"]) == [("sft", ANSWER), ("sft", ANSWER), ("sft", PLAIN)]


def test_a_pair_has_thoughts_on_both_sides_or_on_none(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, "What is 3 + 4?")]
        trace(connection, _job(connection, "a", "cot", ids), ids[0], PLAIN)
        trace(connection, _job(connection, "b", "contrast", ids), ids[0], WRONG)
        assert _learnt(connection, "preference", ["a", "b"]) == [
            ("chosen", ANSWER),
            ("rejected", "3 + 4 = 8. The answer is 8."),
        ]


def test_stored_log_probabilities_of_such_thoughts_are_refused(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, "What is 3 + 4?")]
        trace(connection, _job(connection, "a", "rationalize", ids), ids[0], HINTED)
        stored = "insert into trace_logprobs (trace_id, top_k, tokens, encoding, payload) select id, 8, 10, 'none', '' "
        connection.execute(text(f"{stored} from traces"))
        with pytest.raises(TracemillError, match="1 traces of rationalize have thoughts that must not be learnt"):
            _learnt(connection, "logits", ["a"])


@pytest.mark.parametrize(
    ("content", "answer", "learnt"),
    [
        (ANSWER, None, [ANSWER]),
        (PLAIN, ANSWER, [PLAIN]),
        (f"<think>{ANSWER}</think>", "", []),
        (f"<think>{ANSWER}", "", []),
        ("", None, []),
    ],
)
@pytest.mark.parametrize("accepted", [True, "any"])
def test_thoughts_without_an_answer_are_neither_learnt_nor_exported(
    clean: Stack, content: str, answer: str | None, learnt: list[str], accepted: bool | str
) -> None:
    with transaction() as connection:
        ids = [question(connection, f"What is 3 + 4, asked a {n}th time?") for n in range(2)]
        job_id = job(connection, "a", ids)
        trace(connection, job_id, ids[0], content)  # an older release accepted it
        connection.execute(text("update traces set answer_text = :answer"), {"answer": answer})
        trace(connection, job_id, ids[1], "7")
        spec = round_spec(select={"jobs": ["a"], "accepted": accepted})
        round_id = new_round(connection, spec)
        selection = select(connection, round_id, spec)
        texts = sorted(example.text for example in round_examples(connection, round_id, find("sft")))
        uses = connection.execute(text("select training_use from trace_scores order by trace_id")).scalars().all()
    assert texts == sorted([*learnt, "7"])
    assert selection.removed == ({} if learnt else {"answer_text": 1})
    assert uses == ["train" if learnt else "rejected", "train"]
