r"""Sets of real numbers: intervals, unions of them, and inequalities of one variable, which are intervals too."""

from itertools import pairwise
from typing import Final

from tracemill.verification.answers.expressions.equality import approximate
from tracemill.verification.answers.expressions.scalars import BOTTOM, INFINITE, SCALARS, TOP, Verdict, every, scalars
from tracemill.verification.answers.expressions.tree import Node, names
from tracemill.verification.answers.expressions.values import Undecided

FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def bounded(node: Node) -> tuple[str, Node] | None:
    """(x, interval) of ``x < a``, ``a <= x < b`` or ``x != a``; None if it is not of this kind."""
    if node.op != "relation" or not all(item.op in SCALARS for item in node.args):
        return None
    kinds, items = str(node.value).split(), node.args
    if ">" in kinds[-1]:
        items, kinds = items[::-1], [FLIPPED.get(kind, kind) for kind in kinds[::-1]]
    if not set(kinds) <= {"<", "<="} and kinds != ["!="]:
        return None
    if kinds == ["!="]:
        (name, bound) = items if items[0].op == "name" else items[::-1]
        sides = (Node("tuple", (BOTTOM, bound), "()"), Node("tuple", (bound, TOP), "()"))
        return (str(name.value), Node("union", sides)) if name.op == "name" and not names(bound) else None
    if len(items) == 2:
        items, kinds = ((BOTTOM, *items), ["<", *kinds]) if items[0].op == "name" else ((*items, TOP), [*kinds, "<"])
    if len(items) != 3 or items[1].op != "name" or names(items[0]) or names(items[2]):
        return None
    brackets = ("[" if kinds[0] == "<=" else "(") + ("]" if kinds[1] == "<=" else ")")
    return str(items[1].value), Node("tuple", (items[0], items[2]), brackets)


#: An interval: (low, high, is low in it, is high in it)
Piece = tuple[Node, Node, bool, bool]


def region(node: Node) -> list[Piece]:
    """The intervals that make up a set of real numbers; [] if there is none in it."""
    items = node.args if node.op in ("union", "either") else (node,)
    pieces: list[Piece] = []
    for item in items:
        if item.op == "tuple" and len(item.args) == 2 and item.value != "<>":
            pieces.append((item.args[0], item.args[1], str(item.value)[0] == "[", str(item.value)[1] == "]"))
        elif item.op == "union" and (inner := region(item)):
            pieces += inner
        elif item.op == "set" and node.op == "union":
            pieces += [(element, element, True, True) for element in item.args]
        elif item.op in SCALARS and node.op == "either":
            pieces.append((item, item, True, True))
        else:
            return []
    single = any(piece[0] is not piece[1] for piece in pieces)
    return pieces if single and all(end.op in SCALARS for piece in pieces for end in piece[:2]) else []


def same_regions(gold: list[Piece], answer: list[Piece]) -> Verdict:
    """Do they make up the same set? Raises `Undecided` where pieces overlap or have variables in them."""
    wanted, given = _sorted(gold), _sorted(answer)
    if len(wanted) != len(given):
        return False
    ends = every(
        scalars(end, its_end)
        for ours, theirs in zip(wanted, given, strict=True)
        for end, its_end in zip(ours[:2], theirs[:2], strict=True)
    )
    closed = all(ours[2:] == theirs[2:] for ours, theirs in zip(wanted, given, strict=True))
    return ends if closed or ends is not True else False


def _sorted(pieces: list[Piece]) -> list[Piece]:
    """From low to high. Raises `Undecided` unless they lie apart."""
    placed = sorted((_place(piece[0]), _place(piece[1]), place) for place, piece in enumerate(pieces))
    for low, high, place in placed:
        if low > high or (low == high and not all(pieces[place][2:])):
            raise Undecided
    for (_, high, place), (low, _, following) in pairwise(placed):
        touching = abs(high - low) <= 1e-9 * max(1.0, abs(high))
        if high > low + 1e-9 * max(1.0, abs(high)) or (touching and (pieces[place][3] or pieces[following][2])):
            raise Undecided
    return [pieces[place] for _, _, place in placed]


def _place(end: Node) -> float:
    return INFINITE[end] * float("inf") if end in INFINITE else approximate(end)
