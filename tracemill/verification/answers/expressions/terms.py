r"""Parse terms: sums, products, powers, roots and functions.

Spellings with two meanings (``1/2x``, ``\sin x/2``, ``n!!``, ``f(x)``) raise `ParseError`.
"""

from abc import abstractmethod
from typing import Final

from tracemill.verification.answers.expressions.big_operators import BigOperators
from tracemill.verification.answers.expressions.latex import ParseError, Token
from tracemill.verification.answers.expressions.tree import Node, inverse, negative, number, product, repeating, total

MAX_DEPTH: Final = 30  # levels of groups, roots and functions

_ARCS = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
# Letters that often name a function: f(2x) is not 2f(x).
_MAYBE_FUNCTIONS = frozenset(
    ["f", "g", "h", "F", "G", "H", "O", "P", "Q", "T", "phi", "psi", "varphi", "Phi", "Psi", "zeta", "Gamma"]
)
_DEGREES = ("degree", "circ")
# Tokens that start a factor without a sign before it. A number is none of them: "x2" has two meanings.
_OPERANDS = frozenset(
    ["name", "constant", "function", "frac", "binom", "sqrt", "surd", "(", "lvert", "begin", "infinity", "big"]
)


class Terms(BigOperators):
    """Recursive descent: sum → product → factor → power → atom.

    A subclass parses the content of brackets.
    """

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.bars = 0  # number of open "|"
        self.depth = 0

    def increase_depth(self) -> None:
        """Enter a group, root or function. Raises `ParseError` beyond `MAX_DEPTH`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ParseError

    @abstractmethod
    def sequence(self) -> Node:
        """Parse the content of a group."""

    @abstractmethod
    def bracket(self, opening: str) -> Node:
        """Parse a point, an interval, a set or a group, after its opening bracket."""

    @abstractmethod
    def matrix(self, name: str) -> Node:
        """Parse a matrix, after its ``\\begin{name}``."""

    def sum(self) -> Node:
        terms = [] if self.token.kind in ("pm", "mp") else [self.product()]
        while self.token.kind in ("+", "-", "pm", "mp"):
            kind = self.take().kind
            term = self.product()
            terms.append(term if kind == "+" else negative(term) if kind == "-" else Node(kind, (term,)))
        return total(terms)

    def product(self) -> Node:
        factors = [self.factor()]
        after_division = False
        while True:
            kind = self.token.kind
            if kind in ("*", "/") and self.kind_after() != "unit":
                if after_division and kind == "/":
                    raise ParseError  # a/b/c
                after_division = self.take().kind == "/"
                factor = self.factor()
                factors.append(inverse(factor) if after_division else factor)
            elif (
                kind in _OPERANDS
                or (kind == "|" and not self.bars)
                or (kind == "number" and factors[-1].op == "binomial")
            ):
                if after_division or (
                    kind == "(" and factors[-1].op == "name" and factors[-1].value in _MAYBE_FUNCTIONS
                ):
                    raise ParseError  # 1/2x, f(x)
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
        if self.token.kind == "'":
            node = self.primed(node)
        n_marks = 0
        while self.token.kind in ("^", "!", "degree", "%") or (self.token.kind == "circ" and node.op == "number"):
            n_marks += 1
            kind = self.take().kind
            if kind == "^" and self.token.kind == "{" and self.kind_after() in _DEGREES and self.kind_after(2) == "}":
                for _ in "{°}":
                    self.take()
                kind = "degree"
            elif kind == "^" and self.token.kind in _DEGREES:
                self.take()
                kind = "degree"
            elif kind == "circ":
                kind = "degree"
            if n_marks > 1 and (kind != "^" or n_marks > 2 or node.op != "!"):
                raise ParseError  # n!!, a^b^c, a^b!
            if kind == "^":
                if node.op == "name" and self.token.kind == "{" and self.kind_after() == "(":
                    raise ParseError  # the derivative x^{(n)}
                node = Node("^", (node, self.exponent()))
            else:
                node = Node({"%": "percent"}.get(kind, kind), (node,))
        return node

    def primed(self, node: Node) -> Node:
        """Parse the primes of a derivative: y' is another name than y."""
        n_primes = 0
        while self.token.kind == "'":
            self.take()
            n_primes += 1
        if node.op != "name" or self.token.kind == "(":
            raise ParseError  # 5', f'(x)
        return Node("name", (), f"{node.value}{n_primes * chr(39)}")

    def exponent(self) -> Node:
        is_negative = self.token.kind == "-" and bool(self.take())
        node = self.brace() if self.token.kind == "{" else self.atom(mixed=False)
        return negative(node) if is_negative else node

    def subscript(self, node: Node) -> Node:
        self.take("_")
        is_braced = self.token.kind == "{" and bool(self.take())
        token = self.take()
        if token.kind not in ("number", "name"):
            raise ParseError
        if is_braced:
            self.take("}")
        if node.op == "name":
            return Node("name", (), f"{node.value}_{token.text}")
        base = int(token.text) if token.kind == "number" and token.text.isdigit() and len(token.text) < 3 else 0
        if node.op != "number" or not isinstance(node.value, int) or not 2 <= base <= 16:
            raise ParseError
        if any(int(digit) >= base for digit in str(node.value)):
            raise ParseError
        return Node("based", (node, Node("number", (), base)))

    def atom(self, mixed: bool = True) -> Node:
        token = self.take()
        if (token.text == "zeta" and self.token.kind == "(") or self.is_selection(token.text):
            return self.special(token.text)
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
            case "big":
                return self.big(token.text)
        raise ParseError

    def number(self, text: str) -> Node:
        """Parse a number; it may be mixed, a whole number and a proper fraction."""
        node = number(text)
        if not text.isdigit():
            return node
        if self.token.kind == "frac" and _digits_follow(self.tokens, self.position):
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
                raise ParseError
        else:
            return node
        if fraction.op != "number" or isinstance(fraction.value, str) or not 0 < fraction.value < 1:
            raise ParseError  # 2 4/3
        return Node("number", (), int(text) + fraction.value)

    def is_selection(self, name: str) -> bool:
        """Does ``C(n,k)`` or ``P(10,3)`` follow? P(A,B) is a probability."""
        items = {"C": {"number", "name"}, "P": {"number"}}.get(name, set())
        kinds = [self.token.kind, *map(self.kind_after, range(1, 5))]
        return kinds[::2] == ["(", ",", ")"] and {*kinds[1::2]} <= items

    def special(self, name: str) -> Node:
        r"""Parse ``\zeta(2)``, and the combinations ``C(10,3)`` and permutations ``P(10,3)``."""
        content = self.atom()
        if name == "zeta":
            return Node("call", (content,), name)
        combinations = Node("binomial", content.args)
        return combinations if name == "C" else product([combinations, Node("!", content.args[1:])])

    def argument(self) -> Node:
        r"""Parse an argument of ``\frac``: a group, or one token as in ``\frac12``."""
        if self.token.kind == "{":
            return self.brace()
        if self.token.kind == "number":
            if not self.token.text.isdigit() or len(self.token.text) > 2:
                raise ParseError
            first, rest = self.token.text[0], self.token.text[1:]
            if rest:
                self.tokens[self.position] = self.token = Token("number", rest)
            else:
                self.take()
                if self.token.kind == "number" and len(self.token.text) > 1:
                    raise ParseError  # \frac123 or \frac1 23
            return number(first)
        if self.token.kind in ("name", "constant"):
            token = self.take()
            return Node(token.kind, (), token.text)
        raise ParseError

    def brace(self) -> Node:
        self.take("{")
        node = self.sequence()
        self.take("}")
        return node

    def root(self, kind: str) -> Node:
        self.increase_depth()
        index = Node("number", (), 2)
        if kind == "sqrt" and self.token.kind == "[":
            self.take()
            index = self.sequence()
            self.take("]")
        if kind == "sqrt" and self.token.kind == "number" and len(self.token.text) > 1:
            raise ParseError  # \sqrt23 is 3√2 to TeX
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
                raise ParseError
            name, power = _ARCS[name], None
        self.increase_depth()
        argument = self.operand()
        self.depth -= 1
        node = Node("log", (base, argument)) if base else Node("call", (argument,), name)
        return Node("^", (node, power)) if power else node

    def operand(self) -> Node:
        r"""Parse the argument of a function: a bracket, or a product as in ``\sin 2x``."""
        if self.token.kind in ("(", "[", "{", "|", "lvert"):
            node = self.atom()
            if self.token.kind in ("^", "!"):
                raise ParseError  # sin(x)^2
            return node
        factors = [self.factor()]
        while self.token.kind in ("number", "name", "constant", "frac", "sqrt", "surd"):
            factors.append(self.power())
        follower = self.token.kind
        if follower in ("/", "(") or (follower == "*" and self.kind_after() != "function"):
            raise ParseError  # sin x/2, sin x(x+1)
        return product(factors)

    def absolute(self, close: str) -> Node:
        bars, self.bars = self.bars, int(close == "|")
        node = Node("abs", (self.sequence(),))
        self.bars = bars
        self.take(close)
        return node


def _digits_follow(tokens: list[Token], position: int) -> bool:
    r"""Is the ``\frac`` at `position` a fraction of two plain numbers?"""
    kinds = [token.kind for token in tokens[position + 1 : position + 7]]
    return [kind for kind in kinds if kind not in "{}"][:2] == ["number"] * 2 or kinds[:1] == ["number"]
