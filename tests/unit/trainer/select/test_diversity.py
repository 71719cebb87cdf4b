"""The order of a question's traces when a round prefers different ones."""

from typing import NamedTuple

from trainer.select.diversity import by_difference, farthest_first

SUM = "add three to four and write down the sum"
COUNT = "count up from four by three single steps"


class _Row(NamedTuple):
    trace_id: int
    question_id: int
    wrong: bool
    text: str


def test_each_next_text_differs_most_from_those_before() -> None:
    texts = [f"{SUM} seven", f"{SUM} 7", f"{COUNT} seven", f"{SUM} it is seven"]
    assert farthest_first(texts, 2) == [0, 2]
    assert farthest_first(texts, 4) == [0, 2, 3, 1]
    assert farthest_first(["", ""], 5) == [0, 1]


def test_only_traces_of_one_question_and_kind_are_compared() -> None:
    rows = [
        _Row(1, 7, False, SUM),
        _Row(2, 7, False, f"{SUM} again"),
        _Row(3, 7, False, COUNT),
        _Row(4, 7, True, SUM),
        _Row(5, 8, False, SUM),
    ]
    assert list(by_difference(iter(rows), 2)) == [(1, 0), (3, 1), (4, 0), (5, 0)]
    assert list(by_difference(iter(rows), 0)) == [(1, 0), (3, 1), (2, 2), (4, 0), (5, 0)]
