r"""Parse sums, products, integrals and limits.

Their variable becomes a ``bound`` node, so ``\sum_{k=1}^n k`` and ``\sum_{i=1}^n i`` are the same tree. Spellings with
two meanings (``\sum_k k + 1``, a limit before a sum) raise `ParseError`.
"""

import re
from abc import ABC, abstractmethod
from typing import Final

from tracemill.verification.answers.expressions.latex import Cursor, ParseError
from tracemill.verification.answers.expressions.tree import Node, names, number, walk

#: Operators that bind a variable. The last argument is the expression after them, the others are the bounds.
BIG: Final = frozenset({"sum", "prod", "int", "lim"})

_LETTER = r"(\\[a-z]{2,7}|[A-Za-z])"
_DIFFERENTIAL = re.compile(rf"(?<![\\A-Za-z])d\s?{_LETTER}(?![A-Za-z])")
_GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
#: The differential in a numerator: \int \frac{dx}{x}.
_IN_NUMERATOR = re.compile(rf"\\frac\s?\{{([^{{}}]*?)\\differential {_LETTER}\s?\}}\s?({_GROUP})")
_SIDE = re.compile(r"\^\s?(?:\{\s?([-+])\s?\}|([-+]))\s?(?=\})")


def mark_ends(text: str) -> str:
    """Rewrite differentials after an integral sign, and the sides of limits, as commands of their own."""
    if r"\int" in text or "∫" in text:
        text = _DIFFERENTIAL.sub(r"\\differential \1", text)
        text = _IN_NUMERATOR.sub(_behind_fraction, text)
    return _SIDE.sub(r" \\side \1\2", text) if r"\lim" in text else text


def _behind_fraction(match: re.Match[str]) -> str:
    return rf"\frac{{{match[1].strip() or 1}}}{match[3]}\differential {match[2]}"


class BigOperators(Cursor, ABC):
    """Methods of the parser of terms (`terms`), each called after the sign of its operator."""

    depth: int

    @abstractmethod
    def increase_depth(self) -> None: ...

    @abstractmethod
    def sum(self) -> Node: ...

    @abstractmethod
    def product(self) -> Node: ...

    @abstractmethod
    def atom(self, mixed: bool = True) -> Node: ...

    def big(self, op: str) -> Node:
        self.increase_depth()
        node = self.limit() if op == "lim" else self.integral() if op == "int" else self.series(op)
        self.depth -= 1
        return node

    def series(self, op: str) -> Node:
        variable = lower = upper = None
        while self.token.kind in ("_", "^"):
            if self.take().kind == "^":
                upper = self.bound()
            else:
                self.take("{")
                variable = self.variable()
                if self.token.kind != "=":
                    self.take("gets")
                else:
                    self.take()
                lower = self.sum()
                self.take("}")
        if variable is None or lower is None or upper is None:
            raise ParseError
        return _bind(op, variable, (lower, upper), self.body())

    def integral(self) -> Node:
        """Parse an integral; one without bounds has the integrand and its free variable as arguments."""
        bounds: dict[str, Node] = {}
        while self.token.kind in ("_", "^"):
            script = self.take().kind
            bounds[script] = self.bound()
        body = number("1") if self.token.kind == "differential" else self.sum()
        self.take("differential")
        variable = self.variable()
        if not bounds:
            return Node("antiderivative", (body, variable))
        if len(bounds) == 1:
            raise ParseError
        return _bind("int", variable, (bounds["_"], bounds["^"]), body)

    def limit(self) -> Node:
        self.take("_"), self.take("{")
        variable = self.variable()
        self.take("to")
        point, side = self.sum(), ""
        if self.token.kind == "side":
            side = (self.take(), self.take().kind)[1]
        self.take("}")
        return _bind("lim", variable, (point, Node("side", (), side)), self.body())

    def body(self) -> Node:
        """Parse the product after an operator. A term after it may belong to the operator or not."""
        body = self.product()
        if self.token.kind in ("+", "-", "pm", "mp"):
            raise ParseError
        return body

    def bound(self) -> Node:
        if self.token.kind != "{":
            return self.atom(mixed=False)
        self.take()
        node = self.sum()
        self.take("}")
        return node

    def variable(self) -> Node:
        token = self.take()
        if token.kind != "name" and (token.kind, token.text) != ("constant", "i"):
            raise ParseError
        return Node(token.kind, (), token.text)


def _bind(op: str, variable: Node, bounds: tuple[Node, ...], body: Node) -> Node:
    if any(str(variable.value) in names(bound) for bound in bounds):
        raise ParseError
    level = 1 + max((int(item.value) for item in walk(body) if item.op == "bound"), default=0)
    return Node(op, (*bounds, substitute(body, variable, Node("bound", (), level))), level)


def substitute(node: Node, old: Node, new: Node) -> Node:
    """Return `node` with `new` in place of each `old`."""
    if node == old:
        return new
    return Node(node.op, tuple(substitute(item, old, new) for item in node.args), node.value)
