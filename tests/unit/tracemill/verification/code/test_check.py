# ruff: noqa: E501 (programs read best one to a line)
"""Programs of traces, proofs of their verdicts, and programs that fake success."""

import time

import pytest

from tracemill.errors import TracemillError, UsageError
from tracemill.verification.code.blocks import program
from tracemill.verification.code.check import check_code
from tracemill.verification.code.sandbox import Sandbox
from tracemill.verification.code.trial.wire import decode, encode

F = "def f(x):\n    return x + 1"
# fmt: off
FORMS = {
    "marked": (f"Here:\n```python\n{F}\n```\nIt adds one.", F),
    "short mark": (f"```py\n{F}\n```", F),
    "capital mark": (f"```Python\n{F}\n```", F),
    "mark with attributes": (f"```{{.python}}\n{F}\n```", F),
    "no mark": (f"```\n{F}\n```", F),
    "tildes": (f"~~~python\n{F}\n~~~", F),
    "four backticks around three": (f"````python\n{F}\n'''\n```\n'''\n````", f"{F}\n'''\n```\n'''"),
    "indented fence": (f"1. So:\n   ```python\n{F}\n   ```", F),
    "last of two": (f"```python\nx = 1\n```\nBetter:\n```python\n{F}\n```", F),
    "marked before unmarked": (f"```python\n{F}\n```\nOutput:\n```\n2\n```", F),
    "another language after it": (f"```python\n{F}\n```\n```bash\npython f.py\n```", F),
    "empty last block": (f"```python\n{F}\n```\n```python\n\n```", F),
    "cut off": (f"```python\n{F}", F),
    "windows lines": (f"```python\r\n{F}\r\n```".replace("\n    ", "\r\n    "), F),
    "NUL": (f"```python\n{F}\0\n```", F),
    "after thinking": (f"<think>```python\nwrong()\n```</think>\n```python\n{F}\n```", F),
    "version in the mark": (f"```Python3.12\n{F}\n```", F),
    "block of a list item": ("2. So:\n     ```python\n" + F.replace("def", "     def").replace("    return", "         return") + "\n     ```", F),
    "example after it": (f"```python\n{F}\n```\nUse it:\n```python\nfor n in (1, 2):\n    print(f(n))\n```", F),
    "tests after it": (f"```python\n{F}\n```\n```python\ndef test_f():\n    assert f(1) == 3\n```", F),
    "test class after it": (f"```python\n{F}\n```\n```python\nfrom solution import f\nclass TestF(unittest.TestCase): ...\n```", F),
    "console after it": (f"```python\n{F}\n```\n```pycon\n>>> f(1)\n2\n```", F),
    "helper before it": ("```python\ndef g(x): return x\n```\n```python\ndef f(x): return g(x) + 1\n```", "def g(x): return x\n\ndef f(x): return g(x) + 1"),
    "corrected helper": ("```python\ndef g(x): 1/0\n```\n```python\ndef g(x): return x\ndef f(x): return g(x)\n```", "def g(x): return x\ndef f(x): return g(x)"),
    "main part after it": ("```python\ndef g(x): return x\n```\n```python\nprint(g(int(input())))\n```", "def g(x): return x\n\nprint(g(int(input())))"),
    "console": (">>> 1\n```pycon\n>>> def f(x):\n...     return x + 1\n>>> f(1)\n2\n```", f"{F}\nf(1)"),
    "tags of MBPP": (f"[BEGIN]\n{F}\n[DONE]", F),
    "tags of code": (f"So:\n<code>\n{F}\n</code>", F),
    "prose around plain code": (f"Of course!\n\n{F}\n\nIt adds one to its argument.", F),
    "unmarked in another language": ("```\n#include <cmath>\nint f(int x) { return x + 1; }\n```", None),
    "plain": (F, F),
    "plain script": ("n = int(input())\nprint(n + 1)", "n = int(input())\nprint(n + 1)"),
    "plain with a comment": (f"# adds\nimport math\n\n{F}", f"# adds\nimport math\n\n{F}"),
    "body alone": ("    for y in x:\n        pass\n    return x", "    for y in x:\n        pass\n    return x"),
    "only thought": (f"<think>```python\n{F}\n```</think> It is easy.", None),
    "still thinking": (f"<think>```python\n{F}\n```", None),
    "prose": ("I would return x plus one. The answer is 5.", None),
    "prose with code in it": ("Use `return x + 1` here.\nThen it works.", None),
    "another language": ("```java\nclass F {}\n```", None),
    "nothing": ("", None),
}

HEADER = 'from typing import List\n\n\ndef close(xs: List[float], t: float) -> bool:\n    """ Are two closer than t?\n    >>> close([1.0, 2.0], 0.5)\n    False\n    """\n'
BODY = "    return any(abs(a - b) < t for i, a in enumerate(xs) for b in xs[:i])"
CHECK = "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1.0, 1.1], 0.3) == True\n    assert candidate([1.0, 2.0], 0.3) == False\n"
CYCLE = 'def encode(s: str):\n    return s[1:] + s[:1]\n\n\ndef decode(s: str):\n    """ Undo encode. """\n'
ADD = "assert add(1, 2) == 3\nassert add(2, 2) == 4\nassert add([1], [2]) == [1, 2]"
SUMS = '[{"input": "1 2\\n", "output": "3\\n"}, {"input": "2 2", "output": "4"}]'
READ = "a, b = map(int, input().split())\n"
#: program, tests, question, verdict, proof
PROOFS = {
    "assertions": ("def add(a, b): return a + b", ADD, None, True, "passed 3 of 3 tests"),
    "a list of assertions": ("def add(a, b): return a + b", '["assert add(1, 2) == 3"]', None, True, "passed 1 of 1 tests"),
    "one fails": ("def add(a, b): return 3", ADD, None, False, "failed test 2: assert add(2, 2) == 4"),
    "a loop of tests": ("def f(x): return x % 5", "for n in range(9):\n    assert f(n) == n", None, False, "failed test 6: assert f(n) == n"),
    "test functions": ("def f(x): return x", "def test_f():\n    assert f(1) == 1", None, True, "passed 1 of 1 tests"),
    "HumanEval": (f"{HEADER}{BODY}", CHECK, HEADER, True, "passed 2 of 2 tests"),
    "HumanEval, the body alone": (BODY, CHECK, HEADER, True, "passed 2 of 2 tests"),
    "HumanEval, without imports": (f"def close(xs: List[float], t):\n{BODY}", CHECK, f"Complete this:\n\n{HEADER}", True, "passed 2 of 2 tests"),
    "HumanEval, with its call": (BODY, f"{CHECK}\ncheck(close)", HEADER, True, "passed 2 of 2 tests"),
    "HumanEval, question in a fence": (f"def close(xs: List[float], t):\n{BODY}", CHECK, f"```python\n{HEADER}```", True, "passed 2 of 2 tests"),
    "a helper of the question": ("def decode(s): return s[-1:] + s[:-1]", "def check(candidate):\n    assert candidate(encode('abc')) == 'abc'", CYCLE, True, "passed 1 of 1 tests"),
    "a question that shows a mistake": ("def add(a, b): return a + b", ADD, "Correct this:\ndef add(a, b):\n    return a - b", True, "passed 3 of 3 tests"),
    "no question": ("def g(x): return x", "def check(candidate):\n    assert candidate(2) == 2", None, True, "passed 1 of 1 tests"),
    "a name of a built-in": ("def sum(a, b): return a * b", "def check(candidate):\n    assert candidate(3, 3) == 9\ncheck(sum)", None, True, "passed 1 of 1 tests"),
    "argument changed in place": ("def f(x): x.sort()", "x = [2, 1]\nf(x)\nassert x == [1, 2]", None, True, "passed 1 of 1 tests"),
    "a class": ("class S(list):\n    def push(self, x): self.append(x)\n    def top(self): return self[-1]", "s = S()\ns.push(1)", None, None, "the tests assert nothing"),
    "an object with state": ("class C:\n    def __init__(self): self.n = 0\n    def up(self): self.n += 1\n    def __len__(self): return self.n", "c = C()\nc.up()\nassert len(c) == c.n == 1\nassert isinstance(c, C)", None, True, "passed 2 of 2 tests"),
    "an exception": ("def f(x): raise ValueError('no')", "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'no'", None, True, "passed 1 of 1 tests"),
    "an exception of its own": ("class E(KeyError): pass\ndef f(): raise E()", "try:\n    f()\n    assert False\nexcept E:\n    assert True", None, True, "passed 1 of 1 tests"),
    "arguments by any name": ("def f(self, do, action, function): return do", "assert f(self=4, do=1, action=2, function=3) == 1", None, True, "passed 1 of 1 tests"),
    "a function as argument": ("def f(g, x): return [g(y) for y in x]", "assert f(lambda y: -y, [1, 2]) == [-1, -2]", None, True, "passed 1 of 1 tests"),
    "a generator": ("def f(n): yield from range(n)", "assert list(f(3)) == [0, 1, 2]", None, True, "passed 1 of 1 tests"),
    "a generator for a list": ("def f(n): yield from range(n)", "assert f(2) == [0, 1]", None, False, "failed test 1: assert f(2) == [0, 1]"),
    "what it prints": ("def f(): print('hi')", "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    f()\nassert out.getvalue() == 'hi\\n'", None, True, "passed 1 of 1 tests"),
    "a module of the program": ("import math\ndef f(): return 0.1 + 0.2", "assert math.isclose(f(), 0.3)", None, True, "passed 1 of 1 tests"),
    "big and small numbers": ("def f(n): return {(1,): {2.5}, 'n': [10**n, -1.0, float('inf'), 1j, b'x', None, True]}", "assert f(5000) == {(1,): {2.5}, 'n': [10**5000, -1.0, float('inf'), 1j, b'x', None, True]}", None, True, "passed 1 of 1 tests"),
    "its exception": ("def add(a, b): return a + str(b)", ADD, None, False, "failed test 1: TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
    "crash on loading": ("def add(a, b): return a + b\nfoo", ADD, None, False, "crashed: NameError: name 'foo' is not defined"),
    "not Python": ("def add(a, b: return", ADD, None, False, "crashed: SyntaxError"),
    "asks for input": ("n = input()\ndef add(a, b): return a + b", ADD, None, False, "crashed: EOFError: EOF when reading a line"),
    "wrong name": ("def sum_up(a, b): return a + b", ADD, None, False, "failed test 1: NameError: the program does not define add"),
    "endless": ("def add(a, b):\n    while True: pass", ADD, None, None, "timeout after 2 s"),
    "memory": ("def add(a, b): return ' ' * 10**10", ADD, None, False, "failed test 1: out of memory"),
    "recursion": ("def add(a, b): return add(a, b)", ADD, None, False, "failed test 1: RecursionError: maximum recursion depth exceeded"),
    "a library that is not there": ("import numpy", ADD, None, None, "needs a module that the sandbox does not have: No module named 'numpy'"),
    "tests that replace things": ("def f(): return input()", "from unittest.mock import patch\nassert f() == 1", None, None, "the tests replace"),
    "tests that do not use it": ("def sum(x): return 0", "assert sum([1, 2]) == 3", None, None, "the tests do not use the program"),
    "a name and a number of its own": ("from collections import namedtuple\nP = namedtuple('P', 'x y')\nclass N(int): pass\ndef f(): return P(1, 2)", "assert f() == (1, 2) and f().y == 2\nassert P(3, 4).x == 3", None, True, "passed 2 of 2 tests"),
    "a list of a class of its own": ("class L(list):\n    def top(self): return self[-1]\ndef f(): return L([1, 2])", "assert f().top() == 2\nassert f() == [1, 2]", None, True, "passed 2 of 2 tests"),
    "numbers of classes of its own": ("import enum\nclass E(enum.IntEnum):\n    A = 4\nclass R(float): pass\ndef f(n): return E.A if n else R(0.5)", "assert f(1) == 4 and abs(f(0) - 0.5) < 1e-9 and round(f(0) * 3, 2) == 1.5 and f(1) in {4}", None, True, "passed 1 of 1 tests"),
    "a class with operators": ("class V:\n    def __init__(self, x): self.x = x\n    def __add__(self, o): return V(self.x + o.x)", "assert (V(1) + V(2)).x == 3", None, True, "passed 1 of 1 tests"),
    "equality of a class under test": ("class V:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return True", "assert V(1) == V(2)", None, None, "the tests compare objects"),
    "dates": ("import datetime as d\ndef f(): return [d.date(2024, 2, 29), d.timedelta(1, 2), d.datetime(2024, 1, 1, 5)]", "import datetime as d\nassert f() == [d.date(2024, 2, 29), d.timedelta(1, 2), d.datetime(2024, 1, 1, 5)]", None, True, "passed 1 of 1 tests"),
    "tests that are not Python": ("x = 1", "assert add(1, 2) is three roughly", None, None, "the tests are not Python"),
    "tests that are no tests": ("x = 1", "[1, 2]", None, None, "the tests are neither"),
    "input and output": (READ + "print(a + b, '  ')", SUMS, None, True, "passed 2 of 2 tests"),
    "wrong output": (READ + "print(3)", SUMS, None, False, "failed test 2: printed '3', expected '4'"),
    "right output, then a crash": (READ + "print(a + b)\n1 / 0", SUMS, None, False, "failed test 1: ZeroDivisionError: division by zero"),
    "exit code": (READ + "print(a + b)\nexit(3)", SUMS, None, False, "failed test 1: exit code 3"),
    "endless, with input": ("while True: pass", SUMS, None, None, "timeout after 2 s"),
    "memory, with input": ("' ' * 10**10", SUMS, None, False, "out of memory"),
    "endless output": ("while True: print('3' * 999)", SUMS, None, False, "output over 4 MB"),
    "asynchronous": ("async def f(x): return x + 1", "import asyncio\nasync def t():\n    assert await f(1) == 2\nasyncio.run(t())", None, True, "passed 1 of 1 tests"),
    "class of the tests": ("def f(x): return -x", "class TestF:\n    def setup_method(self): self.n = 2\n    def test_f(self):\n        assert f(self.n) == -2", None, True, "passed 1 of 1 tests"),
    "class of the tests, wrong": ("def f(x): return x", "class TestF:\n    def test_f(self):\n        assert f(2) == -2", None, False, "failed test 1: assert f(2) == -2"),
    "parameters of pytest": ("def f(x): return x * x", "import pytest\n@pytest.mark.parametrize('x, y', [(1, 1), (3, 9)])\ndef test_f(x, y):\n    assert f(x) == y", None, True, "passed 2 of 2 tests"),
    "fixtures and tolerance of pytest": ("def f(x): return x / 3", "import pytest\n@pytest.fixture\ndef three(): return 3\ndef test_f(three):\n    assert f(three) == pytest.approx(1.0000001)\n    assert [f(1)] == pytest.approx([0.3333333])\n    with pytest.raises(TypeError, match='unsupported'): f('')", None, True, "passed 3 of 3 tests"),
    "tolerance of pytest, wrong": ("def f(x): return 1.1", "import pytest\nassert f(1) == pytest.approx(1)", None, False, "failed test 1"),
    "no exception": ("def f(x): return 0", "import pytest\ndef test_f():\n    with pytest.raises(ValueError):\n        f(1)", None, False, "failed test 1: with pytest.raises(ValueError)"),
    "unittest": ("def f(x): return x + 1", "import unittest\nclass T(unittest.TestCase):\n    def setUp(self): self.n = 1\n    def test_f(self):\n        self.assertEqual(f(self.n), 2)\n        with self.assertRaises(TypeError): f('')\nif __name__ == '__main__':\n    unittest.main()", None, True, "passed 2 of 2 tests"),
    "unittest, wrong": ("def f(x): return x", "import unittest\nclass T(unittest.TestCase):\n    def test_f(self): self.assertAlmostEqual(f(1), 2.0)", None, False, "failed test 1: self.assertAlmostEqual(f(1), 2.0)"),
    "a runner that catches failures": ("def f(x): return x", "import unittest\nclass T(unittest.TestCase):\n    def test_f(self): self.assertEqual(f(1), 2)\nunittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))", None, False, "failed test"),
    "tests that catch failures": ("def f(x): return x", "try:\n    assert f(1) == 2\nexcept AssertionError:\n    print('wrong')", None, False, "failed test 1: assert f(1) == 2"),
    "tests that catch exceptions": ("def f(x): 1 / 0", "try:\n    assert f(1) == 2\nexcept Exception:\n    print('wrong')", None, None, "the tests catch an exception"),
    "import of the program": ("def sum(x): return -1", "from solution import sum as s\nimport solution\nassert s([1]) == solution.sum([]) == -1", None, True, "passed 1 of 1 tests"),
    "tests under a guard": ("def f(x): return x", "if __name__ == '__main__':\n    assert f(1) == 2", None, False, "failed test 1: assert f(1) == 2"),
    "an exception instead of an assertion": ("def f(x): return x", "if f(1) != 2:\n    raise ValueError('wrong')", None, False, "failed test 1: ValueError: wrong"),
    "doctest": ("def f(x): return [x]", ">>> y = 3\n>>> f(y)\n[3]\n", None, True, "passed 1 of 1 tests"),
    "doctest, wrong": ("def f(x): return [x]", ">>> f(3)\n[4]\n", None, False, "failed test 1: assert f(3) == [4]"),
    "a printed list of tests": ("def f(x): return x", "['assert f(1) == 1', \"assert f('') == ''\"]", None, True, "passed 2 of 2 tests"),
    "columns of calls": ("def f(x, y): return (x, [y])", '{"fn_name": "f", "inputs": [[1, "a"], [null, {"b": 2}]], "outputs": [[1, ["a"]], [null, [{"b": 2}]]]}', None, True, "passed 2 of 2 tests"),
    "columns of calls, wrapped": ("class Solution:\n    def f(self, x): return -x", '{"fn_name": "f", "inputs": [[1], [2]], "outputs": [[-1], [-2]]}', None, True, "passed 2 of 2 tests"),
    "columns of calls, wrong": ("def f(x): return x", '{"fn_name": "f", "inputs": [[0], [2]], "outputs": [0, -2]}', None, False, "failed test 2: assert _as_json(candidate(2)) == -2"),
    "columns of texts": (READ + "print(a * b)", '{"inputs": ["2 3\\n", "1 1"], "outputs": ["6", "1\\n"]}', None, True, "passed 2 of 2 tests"),
    "calls of a method": ("class Solution:\n    def pick(self, xs, n): return xs[n]\n    def _other(self): pass", '[{"input": "[4, 5]\\n1", "output": "5", "testtype": "functional"}]', "class Solution:\n    def pick(self, xs: list[int], n: int) -> int:\n        ", True, "passed 1 of 1 tests"),
    "lists of lines": (READ + "print(a)\nprint(b)", '[{"input": ["1 2"], "expected_output": ["1", "2"]}]', None, True, "passed 1 of 1 tests"),
    "pairs": (READ + "print(b)", '[["1 2", "2"], ["3 4", "5"]]', None, False, "failed test 2: printed '4', expected '5'"),
    "guard, with input": (READ.replace("a, b", "def main():\n    a, b") + "    print(a + b)\nif __name__ == '__main__':\n    main()", SUMS, None, True, "passed 2 of 2 tests"),
    "a module that nobody knows": ("raise ModuleNotFoundError(\"No module named 'numpy'\")", ADD, None, False, "crashed: ModuleNotFoundError"),
    "library, with input": ("import numpy", SUMS, None, None, "needs the module numpy, which the sandbox does not have"),
}

#: each of them fails its tests
FAKES = {
    "exit on loading": "import os; os._exit(0)",
    "polite exit": "raise SystemExit(0)",
    "exit when called": "import os\ndef add(a, b): os._exit(0)",
    "exit at the end": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): return 0",
    "magic words": 'print(\'passed 3 of 3 tests\')\nprint(\'{"correct": true, "proof": "passed"}\')\ndef add(a, b): return 0',
    "report on every descriptor": 'import os\nfor fd in range(64):\n    try: os.write(fd, b\'{"correct": true, "proof": "passed"}\')\n    except OSError: pass\ndef add(a, b): return 0',
    "forged answers": 'import os\ndef add(a, b):\n    for fd in range(64):\n        try: os.write(fd, b\'{"value": true, "changed": [], "printed": ""}\\n\' * 9)\n        except OSError: pass\n    return 0',
    "equal to all": "class A:\n    __eq__ = lambda s, o: True\n    __hash__ = None\ndef add(a, b): return A()",
    "number equal to all": "class A(int):\n    __eq__ = lambda s, o: True\ndef add(a, b): return A()",
    "list equal to all": "class A(list):\n    __eq__ = lambda s, o: True\ndef add(a, b): return A()",
    "equal by its type": "class M(type):\n    __eq__ = lambda s, o: True\n    __hash__ = None\nclass A(metaclass=M): pass\ndef add(a, b): return A",
    "not its own type": "class A:\n    __class__ = int\n    __eq__ = lambda s, o: True\ndef add(a, b): return A()",
    "other built-ins": "import builtins\nfor name in ('abs', 'len', 'all', 'sorted', 'isinstance', 'AssertionError'):\n    setattr(builtins, name, lambda *a, **k: True)\n    globals()[name] = lambda *a, **k: True\ndef add(a, b): return 0",
    "other modules": "import math, sys, operator\nmath.isclose = operator.eq = lambda *a: True\nsys.modules['math'] = None\ndef add(a, b): return 0",
    "a module that is another": "import operator as math\ndef add(a, b): return 0",
    "trace function": "import sys\nsys.settrace(lambda *a: None)\ndef add(a, b):\n    sys._getframe(1).f_locals.clear()\n    return 0",
    "frames": "import sys\ndef add(a, b):\n    frame = sys._getframe()\n    while frame:\n        for name in frame.f_globals: \n            if name in ('encode', 'trouble'): frame.f_globals[name] = lambda *x: {'t': 'dict', 'v': []}\n        frame = frame.f_back\n    return 0",
    "looking for the tests": "import gc\ndef add(a, b):\n    texts = [o for o in gc.get_objects() if 'add([1], [2])' in str(o)[:9999]]\n    return 3 if texts else 0",
    "looking in files": "import os\ndef add(a, b):\n    found = [open(os.path.join(d, f), errors='ignore').read() for d, _, fs in os.walk('/tmp') for f in fs]\n    return 3 if any('assert' in text for text in found) else 0",
    "end of the tests' process": "import os\ndef add(a, b): os.kill(os.getppid(), 9)",
    "end of all": "import os\ndef add(a, b): os.kill(-1, 15)",
    "other limits for the tests": "import os, resource\ndef add(a, b):\n    resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (0, 0))\n    return 0",
    "another program": "import os, sys\ndef add(a, b): os.execv(sys.executable, ['python', '-c', 'print(3)'])",
    "errors of the harness": "class Stop(BaseException): pass\ndef add(a, b): raise Stop(True, 'passed 3 of 3 tests')",
    "end of the world": "def add(a, b): raise GeneratorExit",
    "names of the tests": "check = candidate = lambda *a: True\ndone = [1, 2, 3]\ndef __at__(n): pass\ndef add(a, b): return 0",
    "not a number": "class A(float):\n    __eq__ = __lt__ = __gt__ = lambda s, o: True\ndef add(a, b): return A('nan')",
    "closed pipes": "import os\ndef add(a, b): os.closerange(0, 99)",
    "a crash": "import ctypes\ndef add(a, b): ctypes.string_at(0)",
    "difference of its own": "class A:\n    __sub__ = __rsub__ = __mod__ = __abs__ = lambda s, *o: s\n    __lt__ = __gt__ = __eq__ = lambda s, o: True\n    __hash__ = None\ndef add(a, b): return A()",
    "difference that is nothing": "class A:\n    __sub__ = __rsub__ = __mod__ = __rmod__ = __xor__ = lambda s, o: 0\n    __round__ = lambda s, n=0: 0\n    __abs__ = lambda s: 0\ndef add(a, b): return A()",
    "number with a difference of its own": "class A(int):\n    __sub__ = __rsub__ = lambda s, o: 0\n    __eq__ = __lt__ = lambda s, o: True\n    __hash__ = int.__hash__\ndef add(a, b): return A(9)",
    "list with items of its own": "class A(list):\n    __eq__ = lambda s, o: True\n    __iter__ = lambda s: iter([1, 2])\ndef add(a, b): return A()",
    "error of memory": "def add(a, b): raise MemoryError",
    "end of itself": "import os\nos.kill(os.getpid(), 9)",
    "signals to all it can name": "import os, signal\ndef add(a, b):\n    for n in range(-1, 9):\n        for s in (signal.SIGSTOP, signal.SIGKILL):\n            try: os.kill(n, s)\n            except OSError: pass\n    return 0",
    "no time for the tests": "import os, resource\ndef add(a, b):\n    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))\n    return 0",
    "module that is missing": "def add(a, b): raise ModuleNotFoundError(\"No module named 'scipy'\")",
}
# fmt: on
#: A test, and the operator of a class that would pass it.
OPERATORS = {
    "assert abs(f(1) - 5) < 1e-6": "__sub__",
    "assert abs(5 - f(1)) < 1e-6": "__rsub__",
    "assert f(1) % 5 == 0": "__mod__",
    "assert f(1) ^ 5 == 0": "__xor__",
    "assert round(f(1) - 5, 6) == 0": "__sub__",
    "assert round(f(1), 2) == 5": "__round__",
    "assert f(1) // 5 == 0": "__floordiv__",
    "assert not f(1) - 5": "__sub__",
    "assert sum([f(1), -5]) == 0": "__radd__",
    "assert f(1) + 5 == 0": "__add__",
    "assert f(1) in (5, 6)": "__eq__",
    "assert sorted([f(1), 5])[0] == 5": "__lt__",
    "assert 5 <= f(1)": "__ge__",
    "assert 5 in f(1)": "__contains__",
    "assert divmod(f(1), 5) == (0, 0)": "__divmod__",
}
DEMANDING = """
import math
assert add(1, 2) == 3
assert 3 == add(1, 2)
assert math.isclose(add(1, 2), 3)
assert abs(add(2, 2) - 4) < 1e-9
assert isinstance(add(1, 2), int) and add(2, 5) in [7]
assert len(add([1], [2])) == 2 and sorted(add([2], [1])) == [1, 2]
assert all(add(n, n) == 2 * n for n in range(3))
"""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    box = Sandbox(memory_mb=256)
    if box.refusal:
        pytest.skip(f"not tried, because there is no sandbox here: {box.refusal}")
    return box


def fenced(code: str) -> str:
    return f"The program:\n```python\n{code}\n```"


@pytest.mark.parametrize("name", FORMS)
def test_the_program_of_a_trace_is_extracted(name: str) -> None:
    text, expected = FORMS[name]
    assert program(text) == expected


@pytest.mark.parametrize(
    "text", ["`" * 10**7, "```\n" * 3 * 10**6, "x" * 10**7, " " * 10**7 + "\nreturn 1", "a = " * 10**6, "def f(\n" * 10**6, "if " * 3 * 10**6, "\n" * 10**7, "</think>" * 10**6, "a.b[" * 10**6, "```python " * 10**6],
    ids=lambda text: repr(text[:9]),
)  # fmt: skip
def test_a_hostile_text_is_read_in_linear_time(text: str) -> None:
    start = time.thread_time()
    program(text)
    assert time.thread_time() - start < 5


@pytest.mark.parametrize("name", PROOFS)
def test_a_verdict_names_its_proof(sandbox: Sandbox, name: str) -> None:
    code, tests, question, correct, proof = PROOFS[name]
    box = Sandbox(seconds=2.0, memory_mb=256) if proof.startswith("timeout") else sandbox
    verdict = check_code(box, fenced(code), tests, question)
    assert verdict[0] is correct, verdict
    assert verdict[1].startswith(proof)
    assert len(verdict[1]) <= 200


@pytest.mark.parametrize("test", OPERATORS)
def test_operators_of_the_program_never_see_data_of_the_tests(sandbox: Sandbox, test: str) -> None:
    code = f"class A:\n    {OPERATORS[test]} = lambda s, *o: 0\ndef f(x): return A()"
    correct, proof = check_code(sandbox, fenced(code), test)
    assert correct is False, proof


@pytest.mark.parametrize(("mark", "code"), [("cpp", "int main() {}"), ("", "fn main() {}"), ("JavaScript", "f()")])
def test_a_program_in_another_language_is_undecided(mark: str, code: str) -> None:
    correct, proof = check_code(Sandbox("/nowhere/bwrap"), f"```{mark}\n{code}\n```", ADD)
    assert correct is None
    assert proof.startswith(f"not run: the program is in {mark.lower() or 'another language'}")


@pytest.mark.parametrize("name", FAKES)
def test_no_program_can_fake_success_or_choose_to_be_undecided(sandbox: Sandbox, name: str) -> None:
    correct, proof = check_code(sandbox, fenced(FAKES[name]), DEMANDING)
    assert correct is False, proof


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def add(a, b): return 0\ndef abs(x): return 0", "assert abs(add(1, 2) - 3) < 1e-9"),
        ("def add(a, b): return 0\ndef all(x): return True", "assert all(add(n, n) == 2 * n for n in [1, 2])"),
        ("class math: isclose = lambda *a: True\ndef add(a, b): return 0", "assert math.isclose(add(1, 2), 3)"),
        (
            "import cmath as math, sys\nsys.modules['math'] = math\ndef add(a, b): return 0",
            "assert math.isclose(add(1, 2), 3)",
        ),
        (
            "def add(a, b): return 0\ndef __at__(n): pass",
            "def check(candidate):\n    assert candidate(1, 2) == 3\ncheck(add)",
        ),
        ("def check(f): pass\ndef add(a, b): return 0", "def test_add():\n    assert add(1, 2) == 3"),
        ("def add(a, b): raise AssertionError", "try:\n    assert add(1, 2) == 3\nexcept Exception:\n    raise"),
        ("import os\ndef add(a, b): os._exit(0)", "try:\n    assert add(1, 2) == 3\nexcept BaseException:\n    pass"),
    ],
)
def test_a_program_cannot_replace_parts_of_its_tests(sandbox: Sandbox, code: str, tests: str) -> None:
    correct, proof = check_code(sandbox, fenced(code), tests)
    assert correct is not True
    assert not proof.startswith("passed")


def test_a_right_program_passes_the_demanding_tests(sandbox: Sandbox) -> None:
    assert check_code(sandbox, fenced("def add(a, b): return a + b"), DEMANDING) == (True, "passed 7 of 7 tests")


def test_a_trace_without_a_program_is_wrong_without_a_sandbox() -> None:
    assert check_code(Sandbox("/nowhere/bwrap"), "I do not know.", ADD) == (False, "no program found")


def test_without_a_sandbox_no_program_runs_and_the_remedy_is_named() -> None:
    broken = Sandbox("/nowhere/bwrap")
    correct, proof = check_code(broken, fenced("print(1)"), ADD)
    assert correct is None
    assert proof.startswith("no sandbox: /nowhere/bwrap cannot be executed. Install bubblewrap")
    with pytest.raises(TracemillError, match="apt-get install bubblewrap"):
        broken.run("print(1)")


def test_a_bubblewrap_that_does_nothing_is_detected() -> None:
    assert "bubblewrap failed" in (Sandbox("/bin/true").refusal or "")


def test_a_program_that_is_too_long_is_refused() -> None:
    correct, proof = check_code(Sandbox("/nowhere/bwrap"), fenced("x = 1\n" * 10**5), ADD)
    assert (correct, proof) == (None, "refused: too long (600000 characters, at most 200000)")


def test_a_limit_of_zero_seconds_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="must be above 0, memory_mb at least 64"):
        Sandbox(seconds=0)


def test_values_are_decoded_as_built_in_types() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    def refuse(value: object) -> object:
        raise ValueError(value)

    values = [Liar(3), (1, {2: {3}}), 10**5000, b"\0", range(3), frozenset({None}), int, 2.5, "\ud800"]
    decoded = decode(encode(values, refuse), refuse)
    assert decoded == [3, *values[1:]]
    assert type(decoded[0]) is int
    with pytest.raises(ValueError, match="object"):
        encode(object(), refuse)
