"""What two answers are, and what that makes of their parts: lists, sets, points, matrices, ratios, names."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from tracemill.verification.answers.expressions.intervals import bounded, region, same_regions
from tracemill.verification.answers.expressions.relations import relations
from tracemill.verification.answers.expressions.scalars import SCALARS, Verdict, every, scalars
from tracemill.verification.answers.expressions.tree import Node, names, negative, walk
from tracemill.verification.answers.expressions.values import Undecided

MAX_PAIRS: Final = 100  # of elements of two lists compared


def answers(gold: Node, answer: Node) -> Verdict:
    """Are two answers the same? Raises `Undecided`."""
    if gold == answer:
        return True
    ours, theirs = _assignments(gold), _assignments(answer)
    if ours and theirs:
        return every(_contents(ours[name], theirs[name]) for name in ours) if ours.keys() == theirs.keys() else None
    (name, content), (other, its_content) = _named(gold), _named(answer)
    if name == other:
        return _contents(content, its_content)
    whole = gold if name is None else answer
    if (name and other) or whole.op == "relation":
        return relations(gold, answer)
    return None if {name, other} & names(whole) or _has_relation(whole) else _contents(content, its_content)


def _assignments(node: Node) -> dict[str, Node]:
    """What each name is in ``x = 1, y = 2``; {} if `node` is nothing of the kind."""
    pairs = [_assigned(item) for item in node.args] if node.op == "list" else []
    found = dict(pair for pair in pairs if pair)
    return found if len(found) == len(node.args) else {}


def _assigned(node: Node) -> tuple[str, Node] | None:
    """(x, S) of ``x = S`` and ``x in S``."""
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


def _named(node: Node) -> tuple[str | None, Node]:
    """(name, what it is said to be); (None, `node`) if it is no such statement."""
    if node.op in ("list", "either"):
        # "x = 1, x = 2" and "x = 1, 2"; of inequalities only "x < 1 or x > 2", as a comma means "and" there.
        pairs = [_assigned(item) or (bounded(item) if node.op == "either" else None) for item in node.args]
        found = {pair[0] for pair in pairs if pair}
        if (
            pairs[0]
            and len(found) == 1
            and all(pair or item.op in SCALARS for pair, item in zip(pairs, node.args, strict=True))
        ):
            return found.pop(), Node(
                node.op, tuple(pair[1] if pair else item for pair, item in zip(pairs, node.args, strict=True))
            )
        return None, node
    return _assigned(node) or bounded(node) or (None, node)


def _has_relation(node: Node) -> bool:
    return any(item.op == "relation" for item in walk(node))


def _contents(gold: Node, answer: Node) -> Verdict:
    pieces, its_pieces = region(gold), region(answer)
    if pieces and its_pieces and (gold.op, answer.op) != ("tuple", "tuple"):
        return same_regions(pieces, its_pieces)
    wanted, given = _items(gold), _items(answer)
    many = [len(items) > 1 or node.op == "set" for items, node in ((wanted, gold), (given, answer))]
    if not any(many):
        return _one(wanted[0], given[0])
    if all(many):
        return _unordered(wanted, given)
    single, several, node = (given[0], wanted, gold) if many[0] else (wanted[0], given, answer)
    return _one_of_many(single, several, node)


def _items(node: Node) -> list[Node]:
    r"""The items of a list or set, one for each sign of ``\pm``."""
    items = node.args if node.op in ("list", "either", "set") else (node,)
    return [signed for item in items for signed in _signs(item)]


def _signs(node: Node) -> list[Node]:
    signs = sum(item.op == "pm" for item in walk(node))
    if signs > 1 or (signs == 0 and any(item.op == "mp" for item in walk(node))):
        raise Undecided  # ±a ± b may be two or four
    return [_signed(node, "pm"), _signed(node, "mp")] if signs else [node]


def _signed(node: Node, plus: str) -> Node:
    if node.op in ("pm", "mp"):
        return node.args[0] if node.op == plus else negative(node.args[0])
    return Node(node.op, tuple(_signed(item, plus) for item in node.args), node.value)


def _one(gold: Node, answer: Node) -> Verdict:
    """Two answers that are no lists."""
    if gold == answer:
        return True
    ops = gold.op, answer.op
    if gold.op in SCALARS and answer.op in SCALARS:
        return scalars(gold, answer)
    if ops == ("tuple", "tuple"):
        return _tuples(gold, answer)
    if ops == ("matrix", "matrix"):
        return _grids(gold, answer)
    if ops == ("relation", "relation"):
        (name, content), (other, its_content) = _named(gold), _named(answer)
        return _contents(content, its_content) if name and name == other else relations(gold, answer)
    if ops == ("ratio", "ratio"):
        return _ratios(gold, answer)
    if ops == ("union", "union"):
        return True if _unordered(gold.args, answer.args) else None
    if "relation" in ops or "ratio" in ops:
        return None
    if "tuple" in ops and "matrix" in ops:
        flat = [_cells(node) if node.op == "matrix" else node.args for node in (gold, answer)]
        if len(flat[0]) == len(flat[1]) and every(_one(*pair) for pair in zip(*flat, strict=True)) is not False:
            return None  # a point and a vector, or rows in brackets: the same to some
    return False if set(ops) & {"tuple", "matrix", "union", "empty"} else None


def _one_of_many(single: Node, several: Sequence[Node], node: Node) -> Verdict:
    if single.op == "tuple" and all(item.op in SCALARS for item in several):
        return False if _unordered(single.args, several) is False else None
    if single.op == "relation" or any(item.op == "relation" for item in several):
        return None
    numbers = len(several) == 2 and all(item.op in ("number", "decimal") for item in (single, *several))
    if numbers and node.op == "list" and Fraction(single.value).denominator > 1:
        return None  # 3,5 may be a decimal comma
    return False if any(_one(single, item) is False for item in several) else None


def _unordered(gold: Sequence[Node], answer: Sequence[Node]) -> Verdict:
    if len(gold) * len(answer) > MAX_PAIRS:
        return None
    table = [[_one(wanted, given) for given in answer] for wanted in gold]
    columns = list(zip(*table, strict=True))
    if any(all(verdict is False for verdict in line) for line in [*table, *columns]):
        return False
    if len(gold) == len(answer) and all(line.count(True) == 1 and line.count(False) == len(line) - 1 for line in table):
        return True if all(line.count(True) == 1 for line in columns) else None
    return None


def _tuples(gold: Node, answer: Node) -> Verdict:
    if len(gold.args) != len(answer.args):
        return False
    verdict = every(_one(*pair) for pair in zip(gold.args, answer.args, strict=True))
    kinds = str(gold.value), str(answer.value)
    if verdict is False or kinds[0] == kinds[1] or set(kinds) == {"()", "<>"}:
        return verdict
    # Brackets that differ: other intervals, unless the gold may be a point or a list.
    is_interval = len(gold.args) == 2 and (kinds[0] not in ("()", "<>") or kinds[1] not in ("()", "<>", "[]"))
    return False if is_interval and "<>" not in kinds else None


def _cells(matrix: Node) -> tuple[Node, ...]:
    return tuple(cell for row in matrix.args for cell in row.args)


def _grids(gold: Node, answer: Node) -> Verdict:
    if [len(row.args) for row in gold.args] != [len(row.args) for row in answer.args]:
        return False
    return every(_one(*pair) for pair in zip(_cells(gold), _cells(answer), strict=True))


def _ratios(gold: Node, answer: Node) -> Verdict:
    if len(gold.args) != len(answer.args):
        return False
    (first, *rest), (its_first, *its_rest) = gold.args, answer.args
    verdict = every(
        scalars(Node("*", (first, theirs)), Node("*", (ours, its_first)))
        for ours, theirs in zip(rest, its_rest, strict=True)
    )
    is_time = len(gold.args) == 2 and all(_may_be_time(node) for node in (gold, answer))
    return None if is_time and verdict else verdict


def _may_be_time(node: Node) -> bool:
    hour, minute = (item.value for item in node.args)
    return isinstance(hour, int) and isinstance(minute, int) and 0 <= hour <= 24 and 10 <= minute < 60
