"""The scorers of reasoning-gym (Stojanovski 2025, arXiv:2505.24760): each data set has a `score_answer`.

Some of them call `eval` or sympy's `parse_expr` on the answer, and both execute it. In this process `eval` therefore
takes only literals and arithmetic of whole numbers, and `parse_expr` only formulas of numbers, known functions and
single letters.
"""

import ast
import re
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

with warnings.catch_warnings():  # compiling one of its libraries gives warnings
    warnings.simplefilter("ignore", SyntaxWarning)
    import reasoning_gym
    import sympy
    from sympy.parsing import sympy_parser

_FUNCTIONS = "sin|cos|tan|sec|csc|cot|asin|acos|atan|sinh|cosh|tanh|exp|log|ln|sqrt|pi|[A-Za-z]"
_FORMULA = re.compile(rf"(?:\d++(?:\.\d*+)?|\.\d++|(?:{_FUNCTIONS})(?![A-Za-z0-9_.])|[-+*/^()\s])++\Z")
_ARITHMETIC = re.compile(r"(?:0x[0-9a-fA-F]++|\d++|[-+*/%&|^~<>()\s])++\Z")
_MAX_FORMULA = 2_000  # characters
#: Data sets that compare their entry with tuples, which JSON does not have.
_TUPLES = frozenset({"arc_agi", "rearc"})

_parse_expr = sympy_parser.parse_expr


def parse_formula(text: str, *args: Any, **named: Any) -> Any:
    """`sympy.parse_expr` of a text that can only be a formula. Raises ValueError for any other text."""
    if len(text) > _MAX_FORMULA or not _FORMULA.match(text):
        raise ValueError("not a formula")
    return _parse_expr(text, *args, **named)


def evaluate(text: str, *_: Any) -> Any:
    """`eval` of a text that can only be a literal, or arithmetic of whole numbers. Raises ValueError or SyntaxError."""
    if len(text) <= _MAX_FORMULA and _ARITHMETIC.match(text):
        return eval(text, {"__builtins__": {}})
    return ast.literal_eval(text)


def _protect() -> None:
    """Replace what would execute an answer, in every module of the library."""
    sympy.parse_expr = sympy_parser.parse_expr = parse_formula
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "reasoning_gym":
            module.__dict__["eval"] = evaluate
            if module.__dict__.get("parse_expr") is _parse_expr:
                module.__dict__["parse_expr"] = parse_formula


_protect()

_scorer_of = cache(reasoning_gym.get_score_answer_fn)  # it makes a data set, which takes up to half a second


def score(answer: str, entry: Mapping[str, Any]) -> float:
    """The score of the data set that the entry comes from."""
    name = entry["metadata"]["source_dataset"]
    return float(_scorer_of(name)(answer, _as_tuples(entry) if name in _TUPLES else entry))


def _as_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
