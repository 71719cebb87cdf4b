"""Which traces of a question a round takes, in a real Postgres: preferences, pass rates, labels, budgets."""

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from sqlalchemy import Connection, text

from db.session import transaction
from tests.integration.rounds import job, question, round_spec, trace
from tracemill.errors import TracemillError
from tracemill.stack import Stack
from trainer.select.choose import Selection, choose
from trainer.select.lengths import Lengths


def _choose(objective: str = "sft", **keys: Any) -> tuple[Selection, list[Any]]:
    """The selection, and the texts and tokens of its candidates."""
    with transaction() as connection:
        # Without `like` no row is measured.
        selection = choose(connection, round_spec(select=keys, fit={"objective": objective}), cast(Lengths, None))
        rows = connection.execute(
            text(
                "select t.text, t.question_id, t.tokens_out, p.text as rejected from candidates c "
                "join traces t on t.id = c.trace_id left join traces p on p.id = c.partner_id order by t.id"
            )
        ).all()
    assert selection.traces == sum(selection.removed.values()) + selection.kept
    return selection, list(rows)


def _texts(objective: str = "sft", **keys: Any) -> list[str]:
    return [row.text for row in _choose(objective, **keys)[1]]


def _answer(
    connection: Connection,
    job_id: int,
    question_id: int,
    content: str,
    index: int = 0,
    *,
    tokens: int = 10,
    signals: Mapping[str, float | None] | None = None,
    answer: str | None = None,
    kind: str = "number",
    accepted: bool = True,
) -> None:
    trace_id = trace(connection, job_id, question_id, content, index=index, accepted=accepted)
    row = {"id": trace_id, "tokens": tokens, "answer": answer, "kind": kind, "signals": json.dumps(signals or {})}
    connection.execute(text("update traces set tokens_out = :tokens, answer = :answer where id = :id"), row)
    statement = "update verdicts set kind = :kind, signals = cast(:signals as jsonb) where trace_id = :id"
    connection.execute(text(statement), row)


def _sized(tokens: Mapping[str, list[int]], accepted: bool = True, first_index: int = 0) -> None:
    """A job `teach` with a question for each name, and for each number a trace of so many tokens."""
    with transaction() as connection:
        ids = {name: question(connection, f"What is the weight of {name}?") for name in tokens}
        known = connection.execute(text("select id from jobs where name = 'teach'")).scalar()
        teach = known or job(connection, "teach", list(ids.values()))
        for name, sizes in tokens.items():
            for index, size in enumerate(sizes, first_index):
                content = f"{name} {'right' if accepted else 'wrong'} {size}"
                _answer(connection, teach, ids[name], content, index, tokens=size, accepted=accepted)


def test_the_shortest_traces_of_each_question_are_preferred(clean: Stack) -> None:
    _sized({"tea": [40, 10, 30, 20], "salt": [70, 90, 80]})
    keys: dict[str, Any] = {"prefer": "shortest", "max_per_question": 2}
    assert _texts(**keys) == ["tea right 10", "tea right 20", "salt right 70", "salt right 80"]
    selection, _ = _choose(**keys, seed=5)
    assert selection.removed == {"max_per_question": 3}


def test_the_shortest_of_near_duplicates_is_preferred(clean: Stack) -> None:
    story = "First the baker counts the loaves on the shelf and finds that there are twelve of them in all."
    with transaction() as connection:
        loaves = question(connection, "How many loaves are there?")
        teach = job(connection, "teach", [loaves])
        for index in range(6):
            _answer(connection, teach, loaves, f"{story} So it is {index}.", index, tokens=60 - index)
    for seed in range(3):
        assert _texts(prefer="shortest", near_duplicates=0.6, seed=seed) == [f"{story} So it is 5."]


def test_the_traces_with_the_highest_rating_are_preferred(clean: Stack) -> None:
    with transaction() as connection:
        addition = question(connection, "What is 3 + 4?")
        teach = job(connection, "teach", [addition])
        for index, rating in enumerate((0.4, None, 0.9, 0.6)):
            _answer(connection, teach, addition, f"rated {rating}", index, signals={"rating": rating} if rating else {})
    best: dict[str, Any] = {"prefer": "score", "score": "rating"}
    assert _texts(**best, max_per_question=1) == ["rated 0.9"]
    assert _texts(**best, max_per_question=3) == ["rated 0.4", "rated 0.9", "rated 0.6"]


def test_a_score_that_no_trace_has_is_an_error(clean: Stack) -> None:
    _sized({"tea": [10]})
    with pytest.raises(TracemillError, match=r"none of 1 traces has the score rating .*--judge ALIAS"):
        _choose(prefer="score", score="rating")


def test_the_traces_that_differ_most_are_preferred(clean: Stack) -> None:
    ways = {
        "sum one": "add three to four and write down the sum of both which is seven",
        "sum two": "add three to four and write down the sum of both which is 7",
        "sum three": "add three to four and write down the sum of both it is seven",
        "count": "count up from four by three single steps five then six then seven",
        "double": "take twice three and one more because four is three and one so seven",
    }
    with transaction() as connection:
        ids = [question(connection, f"What is 3 + 4, {name}?") for name in ("Ann", "Bob")]
        teach = job(connection, "teach", ids)
        for index, content in enumerate(ways.values()):
            _answer(connection, teach, ids[0], content, index)
        _answer(connection, teach, ids[1], "the only one")
    for seed in range(4):
        *chosen, last = _texts(prefer="diverse", max_per_question=3, seed=seed)
        assert last == "the only one"
        assert len([each for each in chosen if each.startswith("add three")]) == 1
        assert {ways["count"], ways["double"]} < set(chosen)


def test_pairs_join_the_shortest_right_trace_with_the_shortest_wrong_one(clean: Stack) -> None:
    _sized({"tea": [40, 10, 30]})
    _sized({"tea": [25, 15]}, accepted=False, first_index=3)
    _, rows = _choose("preference", prefer="shortest", max_per_question=1)
    assert [(row.text, row.rejected) for row in rows] == [("tea right 10", "tea wrong 15")]


def test_every_question_keeps_its_preferred_trace_before_any_keeps_two(clean: Stack) -> None:
    _sized({"tea": [5, 10, 11], "salt": [10, 40, 50], "oats": [10, 60, 70], "rice": [10]})
    keys: dict[str, Any] = {"prefer": "shortest", "max_per_question": 0}
    preferred = ["tea right 5", "salt right 10", "oats right 10", "rice right 10"]
    assert _texts(**keys, limit=4) == preferred
    assert _texts(**keys, tokens=35) == preferred
    assert _texts(**keys, tokens=34) != preferred
    selection, _ = _choose(**keys, tokens=35)
    assert (selection.tokens, selection.removed) == (35, {"tokens": 6})


def test_a_band_of_pass_rates_includes_both_ends_and_no_unknown_rate(clean: Stack) -> None:
    with transaction() as connection:
        ids = {accepted: question(connection, f"Solved {accepted} times of ten?") for accepted in (0, 1, 2, 7, 8, None)}
        teach = job(connection, "teach", list(ids.values()))
        for accepted, question_id in ids.items():
            _answer(connection, teach, question_id, f"{accepted} of 10")
            if accepted is not None:
                connection.execute(
                    text("update job_questions set settled = 10, accepted = :n where question_id = :id"),
                    {"n": accepted, "id": question_id},
                )
    keys: dict[str, Any] = {"at_least": {"pass_rate": 0.1}, "at_most": {"pass_rate": 0.7}}
    selection, rows = _choose(**keys)
    assert [row.text for row in rows] == ["1 of 10", "2 of 10", "7 of 10"]
    assert selection.removed == {"at_least.pass_rate": 2, "at_most.pass_rate": 1}


def test_labels_are_balanced_among_those_of_their_kind(clean: Stack) -> None:
    answers = {
        "boolean": ["yes", "Yes", "True", "yes.", "no"],
        "choice": ["A", "(A)", "A. Paris", "B", "b)", "C", "Rome"],
        "number": ["1"] * 9,
    }
    with transaction() as connection:
        numbered = [(kind, answer) for kind, given in answers.items() for answer in given]
        ids = [question(connection, f"Question number {n} of this kind?") for n in range(len(numbered))]
        teach = job(connection, "teach", ids)
        for question_id, (kind, answer) in zip(ids, numbered, strict=True):
            _answer(connection, teach, question_id, f"{kind} {question_id}", answer=answer, kind=kind)
        # The answer is the text of the option, and the gold answer has its letter.
        connection.execute(text("update questions set gold = '(B) Rome' where id = :id"), {"id": ids[11]})
    everything, _ = _choose()
    assert everything.labels == {"boolean no": 1, "boolean yes": 4, "choice A": 3, "choice B": 3, "choice C": 1}
    selection, _ = _choose(label_balance=0)
    assert selection.labels == {"boolean no": 1, "boolean yes": 1, "choice A": 3, "choice B": 3, "choice C": 1}
    assert (selection.removed, selection.examples) == ({"label_balance": 3}, 18)


@pytest.mark.parametrize("prefer", ["random", "shortest", "diverse"])
def test_the_seed_alone_decides_between_equal_traces(clean: Stack, prefer: str) -> None:
    _sized({f"grain {n}": [10] for n in range(3)})
    with transaction() as connection:
        rows = connection.execute(text("select job_id, question_id from job_questions")).all()
        for row in rows:
            for index in range(1, 6):
                _answer(connection, row.job_id, row.question_id, f"{row.question_id} by way {index}", index)
    keys: dict[str, Any] = {"prefer": prefer, "max_per_question": 2, "limit": 5}
    first, again, other = (_texts(**keys, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
