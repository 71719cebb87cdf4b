"""The code in a question: the header that the program completes, and helpers that its tests use."""

import ast
import contextlib


def headers(question: str) -> tuple[list[str], str]:
    """Where code may begin in the question, each to its end; and the longest beginning that is whole code."""
    lines = question.split("\n")
    starts = [n for n, line in enumerate(lines) if line.startswith(("def ", "class ", "from ", "import ", "@"))][:8]
    whole = [""]
    for start in starts:
        end = len(lines)
        for _ in range(4):
            text = "\n".join(lines[start:end])
            try:
                ast.parse(text)
            except SyntaxError as error:
                end = start + max(1, error.lineno or 1) - 1
            else:
                whole.append(text)
                break
    return ["\n".join(lines[start:]) for start in starts], max(whole, key=len)


def completed(source: str, beginnings: list[str]) -> ast.Module:
    """The program, if need be after the header of the question that it completes."""
    try:
        return ast.parse(source)
    except SyntaxError:
        for text in beginnings:
            with contextlib.suppress(SyntaxError):
                return ast.parse(f"{text}\n{source}")
        raise


def is_stub(node: ast.stmt) -> bool:
    """Is this what the program is asked to write: a function, or a class with one, that does nothing yet?"""
    if isinstance(node, ast.ClassDef):
        return all(isinstance(part, ast.Expr | ast.Pass) for part in node.body) or any(map(is_stub, node.body))
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and all(
        isinstance(part, ast.Pass | ast.Raise) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in node.body
    )
