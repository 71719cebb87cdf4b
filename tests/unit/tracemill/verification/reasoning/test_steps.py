"""The steps of a trace."""

from time import thread_time

import pytest

from tracemill.verification.reasoning.steps import split

SPLITS = [
    ("3 + 4 = 7. 7 * 2 = 14. The answer is 14.", ["3 + 4 = 7.", "7 * 2 = 14.", "The answer is 14."]),
    ("She paid $3.50, i.e. half. Mr. Lee paid 4.", ["She paid $3.50, i.e. half.", "Mr. Lee paid 4."]),
    ("3 + 4 = 7\n7 * 2 = 14\n#### 14", ["3 + 4 = 7", "7 * 2 = 14"]),
    ("1. Add:\n   3 + 4 = 7\n2. Double it.\n\nThe answer is 14.", ["1. Add:\n   3 + 4 = 7", "2. Double it.",
    "The answer is 14."]),
    ("1) add 3\n2) add 4", ["1) add 3", "2) add 4"]),
    ("We add.\nStep 1: 3 + 4 = 7\nso 7.\nStep 2: 7 * 2 = 14", ["We add.", "Step 1: 3 + 4 = 7\nso 7.",
    "Step 2: 7 * 2 = 14"]),
    ("**Step 1** add\n\n3 + 4 = 7\n\n**Step 2** double\n\n7 * 2 = 14\n\nThe answer is 14.",
     ["**Step 1** add\n\n3 + 4 = 7", "**Step 2** double\n\n7 * 2 = 14", "The answer is 14."]),
    ("### Step 1: Add\n\n3 + 4 = 7\n\n### Step 2: Double\n\n7 * 2 = 14",
     ["### Step 1: Add\n\n3 + 4 = 7", "### Step 2: Double\n\n7 * 2 = 14"]),
    ("First, add 3 and 4.\nSecond, double 7.\nFinally, stop.", ["First, add 3 and 4.", "Second, double 7.",
    "Finally, stop."]),
    ("- 3 + 4 = 7\n- 7 * 2 = 14", ["- 3 + 4 = 7", "- 7 * 2 = 14"]),
    ("We add the two\nnumbers.\n\nWe double 7\nand are done.\n\nThe answer is 14.",
     ["We add the two\nnumbers.", "We double 7\nand are done.", "The answer is 14."]),
    ("We have\n\\[\n3 + 4 = 7\n\\]\nand then\n$$7 * 2 = 14$$", ["We have\n\\[\n3 + 4 = 7\n\\]",
    "and then\n$$7 * 2 = 14$$"]),
    ("x is\n\\begin{align*}\nx &= 3 + 4 \\\\\n&= 7\n\\end{align*}\nDone",
    ["x is\n\\begin{align*}\nx &= 3 + 4 \\\\\n&= 7\n\\end{align*}", "Done"]),
    ("It is 3 + 4\n= 7\nThen 14", ["It is 3 + 4\n= 7", "Then 14"]),
    ("Code:\n```python\na = 1\n\nb = 2\n```\nThe end is 3.", ["Code:\n```python\na = 1\n\nb = 2\n```",
    "The end is 3."]),
    ("<think>\n3 + 4 = 7, I think.\n\n7 * 2 = 14\n</think>\nThe answer is 14.", ["3 + 4 = 7, I think.",
    "7 * 2 = 14"]),
    ("<think>easy</think>\n3 + 4 = 7\n7 * 2 = 14", ["3 + 4 = 7", "7 * 2 = 14"]),
    ("<think>3 + 4 = 7\ncut off", ["3 + 4 = 7", "cut off"]),
    ("**Adding:**\n3 + 4 = 7\nThen 14", ["**Adding:**\n3 + 4 = 7", "Then 14"]),
    ("#### 14", ["#### 14"]), ("", []), (" \n\n ", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "steps"), SPLITS)
def test_a_text_is_split_where_its_steps_begin(text: str, steps: list[str]) -> None:
    assert split(text) == steps


UNITS = ["1. ", "1. a\n", "\n", "a. ", "```", "```\n", "\\[\n", "$$", "=\n", "Step 1\n", " ", "<think>", "</think>",
         "First\nSecond\n", "- a\n\n", "A. B", "**a**\n", "a:\n", "#### \n", "\\begin{a}\n"]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_splitting_a_megabyte_takes_under_four_seconds(unit: str) -> None:
    start = thread_time()
    steps = split(unit * (1_000_000 // len(unit)))
    assert thread_time() - start < 4
    assert len(steps) <= 2000
    assert all(steps)


@pytest.mark.parametrize(("lines", "steps"), [(1999, 1999), (2000, 2000), (2001, 2000)])
def test_step_2000_holds_all_text_after_it(lines: int, steps: int) -> None:
    parts = split("\n".join(f"line {number}" for number in range(lines)))
    assert len(parts) == steps
    assert parts[-1].splitlines()[-1] == f"line {lines - 1}"
