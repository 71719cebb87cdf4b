r"""Compare rows and grids of numbers, and lists that a gold answer writes line by line.

"1 2 3" is a row of three numbers, not a product and not a sum. A grid has several rows. Both are compared cell by cell,
in order, and with nothing but rows. A gold answer of several lines with one value each, and a JSON list of texts, are
lists of values.
"""

import json
import re
from fractions import Fraction

from tracemill.verification.answers import quantities
from tracemill.verification.answers.normalize import plain, tidy

MAX_CELLS = 10_000
_MAX_LINES = 50  # of a gold answer that lists its values
_MAX_LINE = 200  # characters

_CELL = re.compile(r"[-+−]?\d{1,40}(?:\.\d{1,40})?(?:/\d{1,40})?$")
_BOARD = re.compile(r"[._#*|+XOxo@\-]{2,200}$")
_FENCE = re.compile(r"\n[ \t]*```\s*$")
_ASKS_VALUES = re.compile(r"\b(?:all|both|values|solutions|roots|numbers|integers|primes)\b", re.IGNORECASE)
_HAS_CELLS = re.compile(r"\d[\s\\]+[-+−\d]|\d,\s")
_BLANKS = re.compile(r"\\[ ,;]|\\quad|[ \t\u00a0]+")
_LINE_END = re.compile(r"\n|\\\\(?:\[[^\]]{0,9}\])?|\],?\s*\[")

Verdict = tuple[bool | None, str]
Rows = list[list[Fraction]]


def compare_rows(gold: str, answer: str) -> Verdict | None:
    """Compare as rows of numbers; None if neither is one. Both are texts before `normalize.plain`."""
    if not _HAS_CELLS.search(gold) and not _HAS_CELLS.search(answer):
        return None
    gold_rows = read_rows(gold, r"[\s]+")
    if gold_rows is None and _is_row(row := _json_list(gold)) and len(row or []) > 2 and read_rows(answer, r"[\s]+"):
        gold_rows = read_rows(gold, r"[\s,]+")
    if gold_rows is None:
        return _compare_number(gold, answer)
    answer_rows = read_rows(answer, r"[\s,;&]+")
    if answer_rows is None:
        if quantities.read(plain(answer)) is not None:
            return False, "one number where a row is asked"
        return None, "a row of numbers is asked"
    gold_cells, answer_cells = ([cell for row in rows for cell in row] for rows in (gold_rows, answer_rows))
    if gold_rows == answer_rows:
        return True, "the same cells"
    return (None, "the same cells in other rows") if gold_cells == answer_cells else (False, "other cells")


def compare_boards(gold: str, answer: str) -> Verdict | None:
    """Compare boards of single characters, such as ". X" above "O ."; None if `gold` is no board."""
    gold_lines, answer_lines = ([line.split() for line in value.strip().split("\n")] for value in (gold, answer))
    cells = [cell for line in gold_lines for cell in line]
    has_rows = all(len(line) > 1 for line in gold_lines) and not all(cell.isdigit() for cell in cells)
    if len(gold_lines) < 2 or (all(cell.isalnum() for cell in cells) and not has_rows):
        return None
    if not all(len(cell) == 1 for cell in cells) and not all(_BOARD.match("".join(line)) for line in gold_lines):
        return None
    return (True, "the same cells") if gold_lines == answer_lines else (None, "another board")


def _compare_number(gold: str, answer: str) -> Verdict | None:
    """Compare a number with a row; None unless `gold` is one number and `answer` a row."""
    if read_rows(answer, r"[\s]+") is None or quantities.read(plain(gold)) is None:
        return None
    return False, "several numbers where one is asked"


def read_rows(value: str, separators: str) -> Rows | None:
    """Return the rows of a grid; None if `value` is no grid, or if it is one number."""
    value = _without_marks(value)
    if len(value) > MAX_CELLS * 4 or not any(char.isdigit() for char in value[:20]):
        return None
    lines = [line.strip(" []|,\t\r") for line in _LINE_END.split(value)]
    rows = [[cell for cell in re.split(separators, _BLANKS.sub(" ", line)) if cell] for line in lines if line]
    if not any(len(row) > 1 for row in rows) or not all(_CELL.match(cell) for row in rows for cell in row):
        return None
    if len(rows) == 1 and quantities.read(plain(value)) is not None:
        return None  # 12 000, 1 1/2
    return [[Fraction(cell.replace("−", "-")) for cell in row] for row in rows] if _no_zero_below(rows) else None


def _no_zero_below(rows: list[list[str]]) -> bool:
    return not any(re.search(r"/0+$", cell) for row in rows for cell in row)


def _without_marks(value: str) -> str:
    value = re.sub(r"```\w{0,10}", "", value[: MAX_CELLS * 5])
    return tidy(value)


def grid_at_end(text: str) -> str | None:
    """Return the grid of numbers in the last lines of a text, which may be a block of code; None if there is none."""
    if "\n" not in text:
        return None
    lines = _FENCE.sub("", text.rstrip()).rstrip().split("\n")[-_MAX_LINES:]
    rows: list[str] = []
    while lines and (cells := lines[-1].split()) and len(cells) > 1 and all(map(_CELL.match, cells)):
        if rows and len(rows[0].split()) != len(cells):
            return None
        rows.insert(0, lines.pop().strip())
    return "\n".join(rows) if len(rows) > 1 else None


def as_list(gold: str) -> str:
    """Return a gold answer that lists values line by line, or as JSON texts, as one line: "5, 6"."""
    if "\n" not in gold and gold.lstrip()[:1] != "[":
        return gold
    items = _json_texts(gold) or [line.strip() for line in gold.strip().split("\n")]
    items = [plain(item).rstrip(",;") for item in items if item.strip()]
    if len(items) == 1 and gold.lstrip()[:1] == "[":
        return items[0]
    if not 1 < len(items) <= _MAX_LINES or any(len(item) > _MAX_LINE or r"\begin" in item for item in items):
        return gold
    return ", ".join(items)


def without_brackets(gold: str, answer: str, question: str | None) -> str:
    """Return the values of a JSON list of two numbers, which may be an interval, if the question asks for values."""
    pair = _json_list(gold) if "[" not in answer and "(" not in answer else None
    is_pair = pair is not None and len(pair) == 2 and _is_row(pair)
    return tidy(gold).strip("[] ") if is_pair and question and _ASKS_VALUES.search(question[-5_000:]) else gold


def _json_texts(value: str) -> list[str]:
    value = value.strip()
    if not (value.startswith("[") and value.endswith("]")):
        return []
    if '"' not in value:
        value = value.replace("'", '"')
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return []
    return items if isinstance(items, list) and all(isinstance(item, str) for item in items) else []


def compare_json(gold: str, answer: str) -> Verdict | None:
    """Compare lists of lists, and lists of more than one text, as JSON writes them; None if `gold` is no such list."""
    gold_list = _json_list(gold)
    is_list_of_texts = gold_list is not None and len(gold_list) > 1 and all(isinstance(item, str) for item in gold_list)
    is_nested = gold_list is not None and any(isinstance(item, list) and not _is_row(item) for item in gold_list)
    if not (is_nested or (is_list_of_texts and not any(re.search(r"\d|\\", str(item)) for item in gold_list or []))):
        return None
    answer_list = _json_list(answer)
    if answer_list is None:
        return None if is_list_of_texts else (None, "a list is asked")
    return (True, "the same list") if gold_list == answer_list else (None, "another list")


def _is_row(item: object) -> bool:
    return isinstance(item, list) and all(isinstance(cell, int | float) for cell in item)


def _json_list(value: str) -> list[object] | None:
    value = tidy(value).strip()
    if not (value.startswith("[") and value.endswith("]")):
        return None
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) else None
