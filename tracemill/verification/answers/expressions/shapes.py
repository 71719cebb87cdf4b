"""Compare lists, sets, points, matrices, ratios and named values."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from tracemill.verification.answers.expressions.intervals import inequality_interval, intervals_of, same_unions
from tracemill.verification.answers.expressions.relations import same_relations
from tracemill.verification.answers.expressions.scalars import SCALARS, Verdict, conjunction, same_scalars
from tracemill.verification.answers.expressions.tree import Node, names, negative, walk
from tracemill.verification.answers.expressions.values import Undecided

MAX_PAIRS: Final = 100  # pairs of elements of two lists that are compared


def same_answers(gold: Node, answer: Node) -> Verdict:
    """Are two answers the same? Raises `Undecided`."""
    if gold == answer:
        return True
    gold_assignments, answer_assignments = _assignments(gold), _assignments(answer)
    if gold_assignments and answer_assignments:
        return (
            conjunction(
                _same_contents(gold_assignments[gold_name], answer_assignments[gold_name])
                for gold_name in gold_assignments
            )
            if gold_assignments.keys() == answer_assignments.keys()
            else None
        )
    (gold_name, gold_content), (answer_name, answer_content) = _named_value(gold), _named_value(answer)
    if gold_name == answer_name:
        return _same_contents(gold_content, answer_content)
    unnamed = gold if gold_name is None else answer
    if (gold_name and answer_name) or unnamed.op == "relation":
        return same_relations(gold, answer)
    return (
        None
        if {gold_name, answer_name} & names(unnamed) or _has_relation(unnamed)
        else _same_contents(gold_content, answer_content)
    )


def _assignments(node: Node) -> dict[str, Node]:
    """Return the values by name in ``x = 1, y = 2``; {} if `node` is no such list."""
    pairs = [_assignment(item) for item in node.args] if node.op == "list" else []
    assignments = dict(pair for pair in pairs if pair)
    return assignments if len(assignments) == len(node.args) else {}


def _assignment(node: Node) -> tuple[str, Node] | None:
    """Return (x, S) for ``x = S`` and ``x in S``; otherwise None."""
    if node.op != "relation" or node.value not in ("=", "in"):
        return None
    left, right = node.args
    if right.op == "name" and left.op != "name" and node.value == "=":
        left, right = right, left
    if names(left) & names(right):
        return None
    if left.op == "name":
        return str(left.value), right
    return (repr(left), right) if left.op == "tuple" and all(item.op == "name" for item in left.args) else None


def _named_value(node: Node) -> tuple[str | None, Node]:
    """Return (name, value) for a statement about a name; otherwise (None, `node`)."""
    if node.op in ("list", "either"):
        # "x = 1, x = 2" and "x = 1, 2". For inequalities only "x < 1 or x > 2", because there a comma means "and".
        pairs = [
            _assignment(item) or (inequality_interval(item) if node.op == "either" else None) for item in node.args
        ]
        distinct_names = {pair[0] for pair in pairs if pair}
        if (
            pairs[0]
            and len(distinct_names) == 1
            and all(pair or item.op in SCALARS for pair, item in zip(pairs, node.args, strict=True))
        ):
            return distinct_names.pop(), Node(
                node.op, tuple(pair[1] if pair else item for pair, item in zip(pairs, node.args, strict=True))
            )
        return None, node
    return _assignment(node) or inequality_interval(node) or (None, node)


def _has_relation(node: Node) -> bool:
    return any(item.op == "relation" for item in walk(node))


def _same_contents(gold: Node, answer: Node) -> Verdict:
    gold_intervals, answer_intervals = intervals_of(gold), intervals_of(answer)
    if gold_intervals and answer_intervals and (gold.op, answer.op) != ("tuple", "tuple"):
        return same_unions(gold_intervals, answer_intervals)
    gold_items, answer_items = _items(gold), _items(answer)
    are_lists = [
        len(items) > 1 or list_node.op == "set" for items, list_node in ((gold_items, gold), (answer_items, answer))
    ]
    if not any(are_lists):
        return _same_single(gold_items[0], answer_items[0])
    if all(are_lists):
        return _same_unordered(gold_items, answer_items)
    single, several, list_node = (
        (answer_items[0], gold_items, gold) if are_lists[0] else (gold_items[0], answer_items, answer)
    )
    return _same_single_and_list(single, several, list_node)


def _items(node: Node) -> list[Node]:
    r"""Return the items of a list or set; an item with ``\pm`` gives two."""
    items = node.args if node.op in ("list", "either", "set") else (node,)
    return [signed for item in items for signed in _with_signs(item)]


def _with_signs(node: Node) -> list[Node]:
    signs = sum(item.op == "pm" for item in walk(node))
    if signs > 1 or (signs == 0 and any(item.op == "mp" for item in walk(node))):
        raise Undecided  # ±a ± b may be two or four
    return [_with_sign(node, "pm"), _with_sign(node, "mp")] if signs else [node]


def _with_sign(node: Node, plus: str) -> Node:
    if node.op in ("pm", "mp"):
        return node.args[0] if node.op == plus else negative(node.args[0])
    return Node(node.op, tuple(_with_sign(item, plus) for item in node.args), node.value)


def _same_single(gold: Node, answer: Node) -> Verdict:
    """Compare two answers that are no lists."""
    if gold == answer:
        return True
    ops = gold.op, answer.op
    if gold.op in SCALARS and answer.op in SCALARS:
        return same_scalars(gold, answer)
    if ops == ("tuple", "tuple"):
        return _same_tuples(gold, answer)
    if ops == ("matrix", "matrix"):
        return _same_matrices(gold, answer)
    if ops == ("relation", "relation"):
        (gold_name, gold_content), (answer_name, answer_content) = _named_value(gold), _named_value(answer)
        return (
            _same_contents(gold_content, answer_content)
            if gold_name and gold_name == answer_name
            else same_relations(gold, answer)
        )
    if ops == ("ratio", "ratio"):
        return _same_ratios(gold, answer)
    if ops == ("union", "union"):
        return True if _same_unordered(gold.args, answer.args) else None
    if "relation" in ops or "ratio" in ops:
        return None
    if "tuple" in ops and "matrix" in ops:
        cells = [_cells(node) if node.op == "matrix" else node.args for node in (gold, answer)]
        if (
            len(cells[0]) == len(cells[1])
            and conjunction(_same_single(*pair) for pair in zip(*cells, strict=True)) is not False
        ):
            return None  # a point and a vector, or rows in brackets, are the same by some conventions
    return False if set(ops) & {"tuple", "matrix", "union", "empty"} else None


def _same_single_and_list(single: Node, items: Sequence[Node], list_node: Node) -> Verdict:
    if single.op == "tuple" and all(item.op in SCALARS for item in items):
        return False if _same_unordered(single.args, items) is False else None
    if single.op == "relation" or any(item.op == "relation" for item in items):
        return None
    are_numbers = len(items) == 2 and all(item.op in ("number", "decimal") for item in (single, *items))
    if are_numbers and list_node.op == "list" and Fraction(single.value).denominator > 1:
        return None  # 3,5 may be a decimal comma
    return False if any(_same_single(single, item) is False for item in items) else None


def _same_unordered(gold: Sequence[Node], answer: Sequence[Node]) -> Verdict:
    if len(gold) * len(answer) > MAX_PAIRS:
        return None
    table = [[_same_single(gold_item, answer_item) for answer_item in answer] for gold_item in gold]
    columns = list(zip(*table, strict=True))
    if any(all(verdict is False for verdict in line) for line in [*table, *columns]):
        return False
    if len(gold) == len(answer) and all(line.count(True) == 1 and line.count(False) == len(line) - 1 for line in table):
        return True if all(line.count(True) == 1 for line in columns) else None
    return None


def _same_tuples(gold: Node, answer: Node) -> Verdict:
    if len(gold.args) != len(answer.args):
        return False
    verdict = conjunction(_same_single(*pair) for pair in zip(gold.args, answer.args, strict=True))
    kinds = str(gold.value), str(answer.value)
    if verdict is False or kinds[0] == kinds[1] or set(kinds) == {"()", "<>"}:
        return verdict
    # Different brackets make different intervals, unless the gold answer may be a point or a list.
    is_interval = len(gold.args) == 2 and (kinds[0] not in ("()", "<>") or kinds[1] not in ("()", "<>", "[]"))
    return False if is_interval and "<>" not in kinds else None


def _cells(matrix: Node) -> tuple[Node, ...]:
    return tuple(cell for row in matrix.args for cell in row.args)


def _same_matrices(gold: Node, answer: Node) -> Verdict:
    if [len(row.args) for row in gold.args] != [len(row.args) for row in answer.args]:
        return False
    return conjunction(_same_single(*pair) for pair in zip(_cells(gold), _cells(answer), strict=True))


def _same_ratios(gold: Node, answer: Node) -> Verdict:
    if len(gold.args) != len(answer.args):
        return False
    (gold_first, *gold_rest), (answer_first, *answer_rest) = gold.args, answer.args
    verdict = conjunction(
        same_scalars(Node("*", (gold_first, answer_term)), Node("*", (gold_term, answer_first)))
        for gold_term, answer_term in zip(gold_rest, answer_rest, strict=True)
    )
    is_time = len(gold.args) == 2 and any(_may_be_time(node) for node in (gold, answer))
    return None if is_time and verdict else verdict


def _may_be_time(node: Node) -> bool:
    hour, minute = (item.value for item in node.args)
    return isinstance(hour, int) and isinstance(minute, int) and 0 <= hour <= 24 and 10 <= minute < 60
