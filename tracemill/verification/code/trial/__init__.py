"""Test a program in two processes, so that it cannot fake its verdict.

The program's process never sees a test. The tests' process never runs the program. There, each name of the program
stands for a call through a pipe. Only the tests' process can write the report.

Results come back as data and are rebuilt from exact built-in types. So the `==` and the arithmetic of the tests apply,
not those of the program. An object of a class of the program can be used, but not compared or subtracted. Whatever the
program does to its own process, it can only return wrong values.

This does not detect weak tests, or a helper of the tests that the program must define.

The files of this folder are sent into the sandbox as text. They import only the standard library and each other.
"""

from pathlib import Path

# Each imports only from those before it.
_FILES = ("wire", "question", "program", "objects", "frameworks", "tests", "main")


def source() -> str:
    """Return the program that the sandbox runs.

    Its job is `{"source": program, "tests": …, "question": …, "entry": …}` in JSON. Its report is
    `{"correct": true | false | null, "proof": …}` in JSON.
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
