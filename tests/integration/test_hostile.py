"""Hostile text of a model: it is never executed.

Each trace gets its verdict within 3 s by processes below 1 GB, and the next ordinary trace gets the right verdict.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tracemill.verification.checks import Item
from tracemill.verification.pool import CheckPool

pytestmark = pytest.mark.integration

SECONDS = 3.0
MEMORY_MB = 1024
ORDINARY = Item("3 + 4 = 7, and 7 * 2 = 14. The answer is 14.", "14", "What is (3 + 4) * 2?")

CODE = {
    "import": "__import__('os').system('touch executed')",
    "eval": "eval(\"__import__('pathlib').Path('executed').touch()\")",
    "exec": 'exec(\'open("executed", "w")\')',
    "lambda": "(lambda: open('executed', 'w'))()",
    "subclasses": "().__class__.__base__.__subclasses__()[100]('touch executed')",
    "comprehension": "[open('executed', 'w') for _ in [1]]",
    "sympy string": "Integer(1).func(__import__('os').system('touch executed'))",
    "sympy symbol": "Symbol('x', **{'a': open('executed','w')})",
    "sympy lambdify": "lambdify(x, open('executed','w'))(1)",
    "walrus": "(y := open('executed', 'w'))",
    "f-string": "f\"{open('executed','w')}\"",
    "format": "{0.__class__.__init__.__globals__}",
    "shell": "$(touch executed)",
    "backticks": "`touch executed`",
    "pipe": "5; touch executed | sh",
    "TeX write": r"\immediate\write18{touch executed}",
    "TeX input": r"\input{/etc/passwd}",
    "TeX def": r"\def\x{\x\x}\x",
    "YAML": "!!python/object/apply:os.system ['touch executed']",
    "pickle": "cos\nsystem\n(S'touch executed'\ntR.",
    "SQL": "5'); drop table traces; --",
    "template": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
}

COSTLY = {
    "tower": "9^{9^{9^{9}}}",
    "tower without braces": "9^9^9^9^9",
    "Python tower": "9**9**9**9",
    "tower of roots": r"\sqrt{2}^{\sqrt{2}^{\sqrt{2}^{\sqrt{2}^{99999}}}}",
    "power": "2^{10^9}",
    "power of ten": "10^{10^{10}}",
    "power of a sum": "(a+b+c+d+e)^{99}",
    "nested power of a sum": "((a+b)^{50}+(c+d)^{50})^{50}",
    "small base": "1.0000001^{10^{15}}",
    "negative power": "2^{-10^{9}}",
    "exponent of digits": "2^{" + "9" * 300 + "}",
    "factorial": "99999999!",
    "factorial of factorial": "9!!!!!!",
    "factorial tower": "((((9!)!)!)!)!",
    "factorial word": "factorial(10**8)",
    "gamma": r"\Gamma(10^{8})",
    "binomial": r"\binom{10^8}{5\cdot 10^7}",
    "binomial sum": r"\sum_{k=0}^{10^6}\binom{10^6}{k}",
    "sum": r"\sum_{n=1}^{10^{12}} \frac{1}{n^2}",
    "product": r"\prod_{n=1}^{10^{9}} n",
    "integral": r"\int_0^1 e^{e^{e^{x}}} \sin(x^{99}) dx",
    "double integral": r"\iint_{D} e^{x^2+y^2}\,dx\,dy",
    "limit": r"\lim_{x\to 0}\frac{\sin(\tan x)-\tan(\sin x)}{x^7}",
    "derivative": r"\frac{d^{999}}{dx^{999}} e^{x^2}",
    "continued fraction": r"\frac{1}{1+" * 180 + "1" + "}" * 180,
    "nested roots": r"\sqrt{1+" * 180 + "1" + "}" * 180,
    "nested logarithms": r"\log(" * 150 + "9" + ")" * 150,
    "nested sines": r"\sin(" * 150 + "9" + ")" * 150,
    "trigonometry": r"\sin^{99}(x)\cos^{99}(x)\tan^{99}(x)",
    "huge matrix": r"\begin{pmatrix}" + (" & ".join("1" * 60) + r" \\ ") * 60 + r"\end{pmatrix}",
    "matrix power": r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{99999999}",
    "matrix of matrices": r"\begin{pmatrix}\begin{pmatrix}1\end{pmatrix}\end{pmatrix}" * 20,
    "identity": "eye(3000)",
    "zeros": "zeros(99999, 99999)",
    "long set": r"\{" + ",".join(map(str, range(5000))) + r"\}",
    "set of sets": r"\{" * 100 + "1" + r"\}" * 100,
    "range": "range(10**12)",
    "long tuple": "(" + ",".join(["x+y"] * 3000) + ")",
    "union": r"(0,1) \cup " * 400 + "(2,3)",
    "million digits": "7" * 900_000,
    "million decimals": "0." + "3" * 900_000,
    "fraction of millions": rf"\frac{{{'7' * 400_000}}}{{{'3' * 400_000}}}",
    "exponent notation": "1e999999999",
    "negative exponent notation": "1e-999999999",
    "hexadecimal": "0x" + "f" * 100_000,
    "repeating": r"0.\overline{" + "142857" * 50_000 + "}",
    "polynomial": "+".join(f"x^{{{n}}}" for n in range(300)),
    "product of sums": "".join(f"(x+{n})" for n in range(120)),
    "variables": "*".join(f"x_{{{n}}}" for n in range(400)),
    "implicit product": "abcdefghijklmnopqrstuvwxyz" * 15,
    "inequalities": "<".join("abcdefghijklmnop" * 20),
    "equation system": ", ".join(f"x_{n} + x_{n + 1} = {n}" for n in range(40)),
    "absolute values": "|" * 399,
    "floors": r"\lfloor" * 60 + "1" + r"\rfloor" * 60,
    "minus signs": "-" * 390 + "1",
    "plus-minus": r"\pm 1" * 60,
}

SHAPES = {
    "empty": "",
    "only NUL": "\x00" * 1000,
    "NUL in a number": "The answer is 1\x004\x00.",
    "lone surrogates": "\ud800" * 100_000 + r"\boxed{\udfff}",
    "surrogate in the answer": "The answer is \udc80.",
    "bidi": "The answer is \u202e41\u202c.",
    "zero width": "The answer is 1\u200b4\u200d\ufeff.",
    "combining": "The answer is 1" + "\u0301" * 100_000 + "4",
    "Arabic digits": "الجواب \u0661\u0664" * 50_000,
    "fullwidth": "The answer is \uff11\uff14 or \uff11\uff15",
    "superscripts": "2" + "\u2079" * 50_000,
    "vulgar fractions": "\u00bd" * 100_000,
    "Roman numerals": "\u2167" * 100_000,
    "circled": "\u2460" * 100_000 + " = \u2461",
    "mathematical bold": "\U0001d7cf\U0001d7d2" * 50_000,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 50_000,
    "line separators": "1 + 1 = 3\u2028\u2029\x85" * 50_000,
    "control characters": "".join(map(chr, range(32))) * 5_000,
    "private use": "\ue000\U0010ffff" * 100_000,
    "ten megabytes": "a" * 10_000_000,
    "ten megabytes of digits": "9" * 10_000_000,
    "ten megabytes of equations": "1 + 1 = 3\n" * 1_000_000,
    "ten megabytes of boxes": r"\boxed{5} " * 1_000_000,
    "almost a megabyte of spaces": "The answer is" + " " * 990_000 + "14",
    "almost a megabyte of lines": "\n" * 990_000,
    "equals": "=" * 990_000,
    "open braces": r"\boxed{" * 140_000,
    "close braces": "}" * 990_000,
    "braces": r"\boxed{" + "{" * 400_000 + "}" * 400_000 + "}",
    "parentheses": "The answer is " + "(" * 490_000 + "1" + ")" * 490_000,
    "brackets": "The answer is " + "[" * 990_000,
    "backslashes": "\\" * 990_000,
    "dollars": "$" * 990_000,
    "chain": "1+1=" * 240_000,
    "true chain": "1=" * 490_000 + "1",
    "operators": "1" + "+-*/" * 240_000 + "1",
    "minus": "5 = " + "-" * 990_000 + "5",
    "stars": "*" * 990_000,
    "commas": "1," * 490_000,
    "thousands": "1" + ",000" * 240_000,
    "decimal points": "1.2" * 330_000,
    "slashes": "1/" * 490_000,
    "percents": "5% " * 330_000,
    "money": "$5 " * 330_000,
    "marks": "<<1+1=3>>" * 110_000,
    "open marks": "<<" * 490_000,
    "marks without end": "<<" + "1" * 990_000,
    "hashes": "#" * 990_000,
    "headings": "#### 14\n" * 120_000,
    "statements": "The answer is the answer is " * 35_000,
    "answers": "answer " * 140_000,
    "answer is not": "The answer is not 14. " * 45_000,
    "steps": "".join(f"Step {n}: {n} + 1 = {n + 2}\n" for n in range(40_000)),
    "numbered": "1. " * 330_000,
    "nested lists": "\n".join("  " * (n % 200) + f"{n}) x" for n in range(5_000)),
    "thoughts": "<think>" * 140_000,
    "closed thoughts": "</think>" * 120_000,
    "nested thoughts": "<think>" * 50_000 + "1 + 1 = 3" + "</think>" * 50_000,
    "fences": "```python\n" * 99_000,
    "fence without end": "```" + "x = 1\n" * 160_000,
    "fractions": r"\frac{1}{" * 100_000,
    "fractions without braces": r"\frac" * 190_000,
    "roots": r"\sqrt[" * 160_000,
    "text boxes": r"\text{" * 160_000,
    "left": r"\left(" * 160_000,
    "environments": r"\begin{align}" * 70_000,
    "ampersands": "&" * 990_000,
    "words with numbers": "five hundred thousand and twenty " * 30_000,
    "units": "5 " + "meters per second per " * 45_000,
    "hyphens": "twenty-" * 140_000,
    "apostrophes": "it's " * 190_000,
    "options": "(A) x (B) y " * 80_000,
    "yes and no": "yes no " * 140_000,
    "one word": "x" * 990_000 + " = 5",
    "alternating": "a1" * 490_000,
    "trap for nested repeats": "(a+)+" * 100_000 + "!",
    "whitespace trap": "answer is" + " \t" * 490_000 + "!",
}

#: Unusual answers that equal 14.
FOURTEEN = {"headings", "almost a megabyte of spaces", "NUL in a number", "Arabic digits"}

CASES = {
    **{f"code in a box: {name}": rf"So it is \boxed{{{code}}}" for name, code in CODE.items()},
    **{f"code as an answer: {name}": f"1 + 1 = 2. The answer is {code}" for name, code in CODE.items()},
    **{f"code in an equation: {name}": f"2 = {code}" for name, code in CODE.items()},
    **{f"costly in a box: {name}": rf"\boxed{{{costly}}}" for name, costly in COSTLY.items()},
    **{f"costly as an answer: {name}": f"The answer is ${costly}$." for name, costly in COSTLY.items()},
    **{f"costly equation: {name}": f"{costly} = 5" for name, costly in COSTLY.items()},
    **SHAPES,
}


@pytest.fixture(scope="module")
def pool() -> Iterator[CheckPool]:
    pool = CheckPool(2, seconds=SECONDS, memory_mb=MEMORY_MB)
    pool.check_all([ORDINARY] * 4)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def largest() -> Iterator[list[int]]:
    """The largest resident size of any child so far, in bytes, measured during the tests."""
    seen, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for child in psutil.Process(os.getpid()).children(recursive=True):
                try:
                    seen[0] = max(seen[0], child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    stop.set()
    watcher.join()


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_trace_costs_its_own_verdict_and_nothing_else(
    pool: CheckPool, largest: list[int], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    (result,) = pool.check_all([Item(CASES[name], "14", "What is (3 + 4) * 2?")])
    assert time.monotonic() - start < SECONDS + 1  # the limit plus the time for the kill
    assert result.correct is not True or name in FOURTEEN
    assert pool.check_all([ORDINARY])[0].correct is True
    assert largest[0] < MEMORY_MB * 2**20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*COSTLY, *CODE])
def test_a_hostile_gold_answer_does_no_more_harm(
    pool: CheckPool, largest: list[int], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gold = (COSTLY | CODE)[name]
    start = time.monotonic()
    (result,) = pool.check_all([Item(r"\boxed{x+1}", gold)])
    assert time.monotonic() - start < SECONDS + 1
    assert result.correct is not True
    assert pool.check_all([ORDINARY])[0].correct is True
    assert largest[0] < MEMORY_MB * 2**20
    assert list(tmp_path.iterdir()) == []
