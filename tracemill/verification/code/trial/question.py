"""The code in a question: a header to complete, and helpers of the tests; and the imports of a program."""

import ast
import contextlib
import re
import sys


def headers(question: str) -> tuple[list[str], str]:
    """Return the question from each possible start of code; and the valid code.

    The valid code is the longest that starts at one of these places.
    """
    lines = question.split("\n")
    starts = [n for n, line in enumerate(lines) if line.startswith(("def ", "class ", "from ", "import ", "@"))][:8]
    valid = [""]
    for start in starts:
        end = len(lines)
        for _ in range(4):
            text = "\n".join(lines[start:end])
            try:
                ast.parse(text)
            except SyntaxError as error:
                end = start + max(1, error.lineno or 1) - 1
            else:
                valid.append(text)
                break
    return ["\n".join(lines[start:]) for start in starts], max(valid, key=len)


def completed(source: str, headers_to_end: list[str]) -> ast.Module:
    """Parse the program.

    If it is not valid alone, it is parsed after a header of the question that it completes.
    """
    try:
        return ast.parse(source)
    except SyntaxError:
        for text in headers_to_end:
            with contextlib.suppress(SyntaxError):
                return ast.parse(f"{text}\n{source}")
        raise


def is_stub(node: ast.stmt) -> bool:
    """Is this a stub that the program must write: a function, or a class with one?"""
    if isinstance(node, ast.ClassDef):
        return all(isinstance(part, ast.Expr | ast.Pass) for part in node.body) or any(map(is_stub, node.body))
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and all(
        isinstance(part, ast.Pass | ast.Raise) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in node.body
    )


def imports(source: str, module: str) -> bool:
    """Does the program import this module, and is it a library, not a part of Python?

    Otherwise its ModuleNotFoundError is its own.
    """
    statement = re.compile(rf"^[ \t]*(?:import|from)[ \t][^\n#]*\b{re.escape(module)}\b", re.MULTILINE)
    return module not in sys.stdlib_module_names and statement.search(source) is not None
