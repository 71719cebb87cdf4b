"""Rows, grids and lists: they are compared with nothing but rows, and in order where an order is asked."""

from time import thread_time

import pytest

from tracemill.verification.answers.compare import compare
from tracemill.verification.checks import Item, check

GRID = "8 1 6\n3 5 7\n4 9 2"


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        (GRID, GRID, True), (GRID, "8 1 6\\\\3 5 7\\\\4 9 2", True), (GRID, "[[8, 1, 6], [3, 5, 7], [4, 9, 2]]", True),
        (GRID, "4 9 2\n3 5 7\n8 1 6", False), (GRID, "6 1 8\n7 5 3\n2 9 4", False), (GRID, "45", False),
        (GRID, "8 1 6 3 5 7 4 9 2", None), (GRID, "a magic square", None),
        ("4 6 9", "4 6 9", True), ("4 6 9", "4, 6, 9", True), ("4 6 9", "[4, 6, 9]", True), ("4 6 9", "9 6 4", False),
        ("4 6 9", "19", False), ("4 6 9", "216", False), ("4 6 9", "4 6", False), ("19", "4 6 9", False),
        ("4 -1", "4-1", None),
        ("(1 3)(2 4)", "(1 2)(3 4)", None), ("[4 6 9]", "19", False), ("0 0 1", "1", False), ("3", "1 2", False),
        (". X\nO .", ". X\nO .", True), (". X\nO .", "X .\n. O", None), ("..#\n.#.", ".#.\n..#", None),
    ],
)  # fmt: skip
def test_a_grid_never_becomes_a_number(gold: str, answer: str, expected: bool | None) -> None:
    assert compare(gold, answer, "expression")[0] is expected


@pytest.mark.parametrize(
    "trace",
    [
        f"The square is\n{GRID}", f"Answer:\n{GRID}", f"It is\n```text\n{GRID}\n```", f"<answer>\n{GRID}\n</answer>",
        f"Row sums: 15 each.\n\n{GRID}\n",
    ],
)  # fmt: skip
def test_a_grid_at_the_end_of_a_trace_is_read_whole(trace: str) -> None:
    assert check(Item(trace, GRID)).correct is True
    assert check(Item(trace.replace("4 9 2", "4 2 9"), GRID)).correct is False


@pytest.mark.parametrize(
    ("gold", "answer"), [("12 500", "12500"), ("12500", "12 500"), ("2.5", "2 1/2"), ("3 1/2", "7/2"), ("7", " 7 ")]
)
def test_thousands_with_spaces_and_mixed_numbers_are_no_rows(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is True


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("8\n9", "8, 9", True), ("8\n9", "9 and 8", True), ("8\n9", "x=8, x=9", True), ("8\n9", "8", False),
        ("8\n9", "17", False), ("8\n9", "72", False), ("8\n9", "89", False), ("8\n9", "(8)(9)", False),
        ("a\nb", "ab", False),
        ("\\sqrt5\n\\sqrt7", "\\sqrt5\\sqrt7", False), ("$(1,4)$\n$(4,1)$", "(4,1), (1,4)", True),
        ('["42"]', "42", True),
        ("['42']", "41", False), ('["8", "9"]', "9, 8", True), ("Ann\nBob", "Bob, Ann", True),
        ('["go up", "go left"]', '["go up", "go left"]', True), ('["go up", "go left"]', '["go left", "go up"]', None),
        ('[["ab", "ba"], ["cd"]]', '[["ab"], ["ba", "cd"]]', None), ('["a b", "c"]', '"c", ["a b"', None),
    ],
)  # fmt: skip
def test_a_gold_of_several_lines_is_a_list_of_values(gold: str, answer: str, expected: bool | None) -> None:
    correct = compare(gold, answer, "expression")[0]
    assert correct is expected or (expected is False and correct is None)


RANKED = "Which metals are meant? Order them by weight, lightest first."


@pytest.mark.parametrize(
    ("gold", "answer", "question", "expected"),
    [
        ("tin, zinc, lead", "tin, zinc, lead", RANKED, True), ("tin, zinc, lead", "lead, zinc, tin", RANKED, False),
        ("tin, zinc, lead", "tin, zinc and lead", RANKED, True),
        ("tin, zinc, lead", "lead, tin and zinc", "Name them.", True),
        ("1, 3, 9", "9, 3, 1", "Give the roots in increasing order.", False),
        ("1, 3, 9", "9, 3, 1", "Find the roots.", True),
        ("3, 6, 12", "12, 6, 3", "What are the next three terms?", False),
        ("C, A, B", "A, C, B", "Rank the rivers.", False),
        ("1, 3, 9", "9, 3, 1", "Find the roots in any order.", True),
        ("u, v", "v, u", "The sequence has two limits.", None),
    ],
)  # fmt: skip
def test_values_stay_in_the_order_that_the_question_asks(
    gold: str, answer: str, question: str, expected: bool | None
) -> None:
    assert compare(gold, answer, "text", question)[0] is expected


@pytest.mark.parametrize("unit", ["1 ", "1 2\n", "[1,", '["a",', ". X\n", "a, ", "a > ", "((", "1\\\\"])
def test_rows_and_lists_of_50000_characters_take_under_two_seconds(unit: str) -> None:
    text = unit * (50_000 // len(unit))
    start = thread_time()
    compare(text, text + "1", "expression", "Sort them.")
    assert thread_time() - start < 2
