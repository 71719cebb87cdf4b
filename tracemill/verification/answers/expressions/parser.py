r"""Parse a mathematical answer into a tree of `Node`.

This is recursive descent over the tokens of `latex`. It parses numbers, roots, powers, functions, points, intervals,
sets, matrices, equations and units. A text is parsed whole or not at all. Extra tokens and spellings with two meanings
(``1/2x``, ``\sin x/2``, ``f(x)``) raise `ParseError`. Nothing is evaluated here. A text has at most `MAX_LENGTH`
characters and `terms.MAX_DEPTH` levels, so parsing takes linear time.
"""

import re
from typing import Final

from tracemill.verification.answers.expressions.big_operators import mark_ends
from tracemill.verification.answers.expressions.latex import ParseError, tokens
from tracemill.verification.answers.expressions.terms import Terms
from tracemill.verification.answers.expressions.tree import Node, names, negative

MAX_LENGTH: Final = 400  # characters; the longest real gold answers have about 150
_EMPTY = re.compile(r"(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?empty set", re.IGNORECASE)
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))

#: In dy/dx the letter d is no factor.
_DERIVATIVE = re.compile(r"\\frac\s?\{d[^{}]{0,20}\}\s?\{d[a-z]|(?<![A-Za-z])d[a-z]\s?/\s?d[a-z](?![A-Za-z])")
_GAMMA = re.compile(r"\\Gamma\s?\(([^()]{1,20})\)")
_MATRICES = frozenset(["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"])


def parse(text: str, grouped: bool = True) -> Node:
    """Return the tree of `text`. Raises `ParseError` if it cannot be parsed.

    With `grouped`, "1,234" outside brackets is one number, otherwise a list of two.
    """
    if len(text) > MAX_LENGTH:
        raise ParseError
    text = text.strip()
    for left, right in _DELIMITERS:
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            text = text[len(left) : -len(right)].strip()
    text = text.removesuffix(".")
    if _DERIVATIVE.search(text):
        raise ParseError
    text = _GAMMA.sub(r"((\1)-1)!", text) if r"\Gamma" in text else text
    if _EMPTY.fullmatch(re.sub(r"\\text\s?\{([^{}]*)\}", r"\1", text).strip()):
        return Node("empty")
    return _Parser(tokens(mark_ends(text), grouped)).whole()


class _Parser(Terms):
    """Parses whole answers.

    The order is whole → sequence → relation → ratio → union → quantity → the sums of `Terms`.
    """

    def whole(self) -> Node:
        node = self.sequence()
        if self.token.kind:
            raise ParseError
        return node

    def sequence(self) -> Node:
        """Parse one item, or a list of items."""
        self.increase_depth()
        items, n_or, n_and = [self.relation()], 0, 0
        while self.token.kind in (",", ";", "and", "or"):
            kind = self.take().kind
            if kind == "," and self.token.kind in ("and", "or"):
                kind = self.take().kind
            n_or, n_and = n_or + (kind == "or"), n_and + (kind != "or")
            items.append(self.relation())
        self.depth -= 1
        if len(items) == 1:
            return items[0]
        return Node("either" if n_or and (n_or == 1 or not n_and) else "list", tuple(items))

    def relation(self) -> Node:
        items, operators = [self.function_of() or self.ratio()], []
        while self.token.kind in ("=", "<", ">", "<=", ">=", "!=", "in"):
            operators.append(self.take().kind)
            items.append(self.ratio())
        return Node("relation", tuple(items), " ".join(operators)) if operators else items[0]

    def function_of(self) -> Node | None:
        """Parse the left side of ``f(x) = …``; None if there is none."""
        if self.token.kind == "name" and self.kind_after(1) == "(" and self.kind_after(2) == "name":
            ahead = 3
            while self.kind_after(ahead) == "," and self.kind_after(ahead + 1) == "name":
                ahead += 2
            if self.kind_after(ahead) == ")" and self.kind_after(ahead + 1) == "=":
                return Node("name", (), "".join(self.take().text or "," for _ in range(ahead + 1)))
        return None

    def ratio(self) -> Node:
        items = [self.union()]
        while self.token.kind == ":":
            self.take()
            items.append(self.union())
        return Node("ratio", tuple(items)) if len(items) > 1 else items[0]

    def union(self) -> Node:
        items = [self.quantity()]
        while self.token.kind == "cup":
            self.take()
            items.append(self.quantity())
        return Node("union", tuple(items)) if len(items) > 1 else items[0]

    def quantity(self) -> Node:
        """Parse a sum with its unit."""
        if self.token.kind == "money" or (self.token.kind == "-" and self.kind_after() == "money"):
            is_negative = self.take().kind == "-"
            if is_negative:
                self.take("money")
            amount = self.sum()
            return Node("unit", (negative(amount) if is_negative else amount,), "dollar")
        node = self.sum()
        return Node("unit", (node,), self.unit()) if self.token.kind == "unit" else node

    def unit(self) -> str:
        name, power = "", 1
        while self.token.kind in ("unit", "/", "^"):
            kind, text, _ = self.take()
            if kind == "unit" and text in ("square", "cubic"):
                power = 2 if text == "square" else 3
                text = self.take("unit").text if self.token.kind == "unit" else "unit"
                name += f"{text}^{power}"
            elif kind == "unit":
                name += text
            elif kind == "/":
                name += "/"
            else:
                braced = self.token.kind == "{" and self.take().kind == "{"
                name += f"^{self.take('number').text}"
                if braced:
                    self.take("}")
        return name

    def bracket(self, opening: str) -> Node:
        bars, self.bars = self.bars, 0
        is_set_builder = (
            opening in (r"\{", "{") and self.token.kind == "name" and self.kind_after() in ("|", "mid", ":")
        )
        variable = self.token.text if is_set_builder else ""
        if is_set_builder:
            self.take(), self.take()
        is_empty = self.token.kind in (r"\}", "}")
        content = Node("empty") if is_empty and opening in (r"\{", "{") else self.sequence()
        closing = self.take().kind
        self.bars = bars
        if opening in (r"\{", "{"):
            if closing != {r"\{": r"\}", "{": "}"}[opening] or content.op == "either":
                raise ParseError
            if variable and variable not in names(content):
                raise ParseError  # {X | x > 0}
            if is_set_builder or content.op == "empty" or (opening == "{" and content.op != "list"):
                return content
            return Node("set", content.args if content.op == "list" else (content,))
        if (opening == "langle") != (closing == "rangle") or closing not in (")", "]", "rangle"):
            raise ParseError
        if content.op == "list":
            return Node("tuple", content.args, "<>" if opening == "langle" else opening + closing)
        if opening + closing == "()" or (opening + closing == "[]" and content.op == "matrix"):
            return content
        if opening + closing == "[]" and content.op == "tuple" and content.value == "[]":
            return Node("tuple", (content,), "[]")
        raise ParseError

    def matrix(self, name: str) -> Node:
        if name not in _MATRICES:
            raise ParseError
        rows: list[Node] = []
        while True:
            cells = [self.sum()]
            while self.token.kind == "&":
                self.take()
                cells.append(self.sum())
            rows.append(Node("row", tuple(cells)))
            if self.token.kind == r"\\":
                self.take()
            if self.token.kind == "end":
                break
        if self.take().text != name or len({len(row.args) for row in rows}) != 1:
            raise ParseError
        return Node("matrix", tuple(rows))
