r"""The terms of a mathematical answer: sums, products, powers, roots and functions, by recursive descent.

Spellings with two meanings (``1/2x``, ``\sin x/2``, ``n!!``, ``f(x)``) are `Unread`.
"""

from abc import ABC, abstractmethod
from typing import Final

from tracemill.verification.answers.expressions.latex import Cursor, Token, Unread
from tracemill.verification.answers.expressions.tree import Node, inverse, negative, number, product, repeating

MAX_DEPTH: Final = 30  # of groups, roots and functions

_ARCS = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
# A letter that stands for a function as often as for a number: f(2x) is not 2f(x).
_MAYBE_FUNCTIONS = frozenset(["f", "g", "h", "F", "G", "H", "O", "P", "Q", "T", "phi", "psi", "varphi", "Phi", "Psi"])
# What starts a factor without a sign between it and the one before. Never a number: "x2" has two meanings.
_OPERANDS = frozenset(
    ["name", "constant", "function", "frac", "binom", "sqrt", "surd", "(", "lvert", "begin", "infinity"]
)


class Terms(Cursor, ABC):
    """sum → product → factor → power → atom; what stands in brackets is for the reader of whole answers."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.bars = 0  # open "|"
        self.depth = 0

    def deeper(self) -> None:
        """One group, root or function further in."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unread

    @abstractmethod
    def sequence(self) -> Node:
        """What stands in a group."""

    @abstractmethod
    def bracket(self, opening: str) -> Node:
        """A point, an interval, a set or a group; its opening bracket is taken."""

    @abstractmethod
    def matrix(self, name: str) -> Node:
        """A matrix; its ``\\begin{name}`` is taken."""

    def sum(self) -> Node:
        terms = [] if self.token.kind in ("pm", "mp") else [self.product()]
        while self.token.kind in ("+", "-", "pm", "mp"):
            kind = self.take().kind
            term = self.product()
            terms.append(term if kind == "+" else negative(term) if kind == "-" else Node(kind, (term,)))
        return Node("+", tuple(terms)) if len(terms) > 1 else terms[0]

    def product(self) -> Node:
        factors = [self.factor()]
        divided = False
        while True:
            kind = self.token.kind
            if kind in ("*", "/") and self.kind_after() != "unit":
                if divided and kind == "/":
                    raise Unread  # a/b/c
                divided = self.take().kind == "/"
                factor = self.factor()
                factors.append(inverse(factor) if divided else factor)
            elif kind in _OPERANDS or (kind == "|" and not self.bars):
                if divided or (kind == "(" and factors[-1].op == "name" and factors[-1].value in _MAYBE_FUNCTIONS):
                    raise Unread  # 1/2x, f(x)
                factors.append(self.factor())
            else:
                return product(factors)

    def factor(self) -> Node:
        if self.token.kind in ("+", "-"):
            return negative(self.power()) if self.take().kind == "-" else self.power()
        return self.power()

    def power(self) -> Node:
        node = self.atom()
        if self.token.kind == "_":
            node = self.subscript(node)
        marks = 0
        while self.token.kind in ("^", "!", "degree", "%"):
            marks += 1
            kind = self.take().kind
            if kind == "^" and self.token.kind == "{" and self.kind_after() == "degree" and self.kind_after(2) == "}":
                for _ in "{°}":
                    self.take()
                kind = "degree"
            elif kind == "^" and self.token.kind == "degree":
                kind = self.take().kind
            if marks > 1 and (kind != "^" or marks > 2 or node.op != "!"):
                raise Unread  # n!!, a^b^c, a^b!
            if kind == "^":
                node = Node("^", (node, self.exponent()))
            else:
                node = Node({"%": "percent"}.get(kind, kind), (node,))
        return node

    def exponent(self) -> Node:
        minus = self.token.kind == "-" and bool(self.take())
        node = self.brace() if self.token.kind == "{" else self.atom(mixed=False)
        return negative(node) if minus else node

    def subscript(self, node: Node) -> Node:
        self.take("_")
        braced = self.token.kind == "{" and bool(self.take())
        token = self.take()
        if token.kind not in ("number", "name"):
            raise Unread
        if braced:
            self.take("}")
        if node.op == "name":
            return Node("name", (), f"{node.value}_{token.text}")
        base = int(token.text) if token.kind == "number" and token.text.isdigit() and len(token.text) < 3 else 0
        if node.op != "number" or not isinstance(node.value, int) or not 2 <= base <= 16:
            raise Unread
        if any(int(digit) >= base for digit in str(node.value)):
            raise Unread
        return Node("based", (node, Node("number", (), base)))

    def atom(self, mixed: bool = True) -> Node:
        token = self.take()
        match token.kind:
            case "number":
                return self.number(token.text) if mixed else number(token.text)
            case "repeating":
                return repeating(token.text)
            case "name" | "constant":
                return Node(token.kind, (), token.text)
            case "infinity" | "empty":
                return Node(token.kind)
            case "frac":
                upper, lower = self.argument(), self.argument()
                return product([upper, inverse(lower)])
            case "binom":
                return Node("binomial", (self.argument(), self.argument()))
            case "sqrt" | "surd":
                return self.root(token.kind)
            case "function":
                return self.call(token.text)
            case "|" | "lvert":
                return self.absolute("|" if token.kind == "|" else "rvert")
            case "(" | "[" | r"\{" | "{" | "langle":
                return self.bracket(token.kind)
            case "begin":
                return self.matrix(token.text)
        raise Unread

    def number(self, text: str) -> Node:
        """A number, perhaps mixed: a whole one with a proper fraction behind it."""
        node = number(text)
        if not text.isdigit():
            return node
        if self.token.kind == "frac" and _digits_follow(self.tokens, self.place):
            fraction = self.atom()
        elif (
            self.token.kind == "number"
            and self.token.gap
            and self.kind_after() == "/"
            and self.kind_after(2) == "number"
        ):
            upper, lower = number(self.take().text), (self.take(), number(self.take().text))[1]
            fraction = product([upper, inverse(lower)])
            if self.token.kind in _OPERANDS or self.token.kind in ("^", "!"):
                raise Unread
        else:
            return node
        if fraction.op != "number" or isinstance(fraction.value, str) or not 0 < fraction.value < 1:
            raise Unread  # 2 4/3
        return Node("number", (), int(text) + fraction.value)

    def argument(self) -> Node:
        r"""What ``\frac`` takes: a group, or as TeX has it one token, so that ``\frac12`` is a half."""
        if self.token.kind == "{":
            return self.brace()
        if self.token.kind == "number":
            if not self.token.text.isdigit() or len(self.token.text) > 2:
                raise Unread
            first, rest = self.token.text[0], self.token.text[1:]
            if rest:
                self.tokens[self.place] = self.token = Token("number", rest)
            else:
                self.take()
                if self.token.kind == "number" and len(self.token.text) > 1:
                    raise Unread  # \frac123 or \frac1 23
            return number(first)
        if self.token.kind in ("name", "constant"):
            token = self.take()
            return Node(token.kind, (), token.text)
        raise Unread

    def brace(self) -> Node:
        self.take("{")
        node = self.sequence()
        self.take("}")
        return node

    def root(self, kind: str) -> Node:
        self.deeper()
        index = Node("number", (), 2)
        if kind == "sqrt" and self.token.kind == "[":
            self.take()
            index = self.sequence()
            self.take("]")
        if kind == "sqrt" and self.token.kind == "number" and len(self.token.text) > 1:
            raise Unread  # \sqrt23 is 3√2 to TeX
        radicand = self.brace() if self.token.kind == "{" else self.atom(mixed=False)
        self.depth -= 1
        return Node("root", (index, radicand))

    def call(self, name: str) -> Node:
        name = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}.get(name, name)
        base = power = None
        for _ in range(2):
            if self.token.kind == "_" and name == "log" and base is None:
                self.take()
                base = self.brace() if self.token.kind == "{" else self.atom(mixed=False)
            elif self.token.kind == "^" and power is None:
                self.take()
                power = self.exponent()
        if power == Node("number", (), -1):
            if name not in _ARCS:
                raise Unread
            name, power = _ARCS[name], None
        self.deeper()
        argument = self.operand()
        self.depth -= 1
        node = Node("log", (base, argument)) if base else Node("call", (argument,), name)
        return Node("^", (node, power)) if power else node

    def operand(self) -> Node:
        r"""What a function is applied to: a bracket, or the product that follows, as in ``\sin 2x``."""
        if self.token.kind in ("(", "[", "{", "|", "lvert"):
            node = self.atom()
            if self.token.kind in ("^", "!"):
                raise Unread  # sin(x)^2
            return node
        factors = [self.factor()]
        while self.token.kind in ("number", "name", "constant", "frac", "sqrt", "surd"):
            factors.append(self.power())
        follower = self.token.kind
        if follower in ("/", "(") or (follower == "*" and self.kind_after() != "function"):
            raise Unread  # sin x/2, sin x(x+1)
        return product(factors)

    def absolute(self, close: str) -> Node:
        bars, self.bars = self.bars, int(close == "|")
        node = Node("abs", (self.sequence(),))
        self.bars = bars
        self.take(close)
        return node


def _digits_follow(tokens: list[Token], place: int) -> bool:
    r"""Is the ``\frac`` at `place` one of two plain numbers, so that a number before it makes it mixed?"""
    kinds = [token.kind for token in tokens[place + 1 : place + 7]]
    return [kind for kind in kinds if kind not in "{}"][:2] == ["number"] * 2 or kinds[:1] == ["number"]
