"""A program before its tests, inside the sandbox: two processes, so that the program cannot judge itself.

The program's process never sees a test. The tests' process never runs the program: a name of the program stands there
for a call through a pipe, and it alone can write the report. What comes back is data, rebuilt there from exact built-in
types, so that it is the tests' `==` that compares. An object of the program's own can be used, not compared: its
`__eq__` would be the program judging itself. Whatever the program does to its own process, it can do no more than give
wrong values.

What this cannot see: tests too weak to tell, and a helper of the tests that the question leaves to the program.

The files of this folder are sent into the sandbox as text: they import nothing but the standard library and each other.
"""

from pathlib import Path

_FILES = ("wire", "question", "program", "objects", "tests", "main")  # each imports from those before it only


def source() -> str:
    """The program that the sandbox runs; its job is `{"source": program, "tests": …, "question": …}` in JSON.

    It reports `{"correct": true | false | null, "proof": …}` in JSON.
    """
    texts = {f"{__name__}.{name}": Path(__file__).with_name(f"{name}.py").read_text() for name in _FILES}
    return _BEGIN.format(texts=texts, last=f"{__name__}.main")


_BEGIN = """
import sys
for name, text in {texts!r}.items():
    module = sys.modules[name] = type(sys)(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{last!r}].main()
"""
