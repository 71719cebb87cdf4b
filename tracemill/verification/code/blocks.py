"""Extract the program of a trace: its blocks of code, and the blocks among them that are the program.

Everything here reads hostile text with regular expressions, in linear time. Nothing parses or runs it.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from tracemill import thinking

_FENCE = re.compile(r"^([ \t]{0,12})(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_OPENING_TAG = re.compile(r"^[ \t]{0,12}(?:\[BEGIN\]|\[PYTHON\]|<code>)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_CLOSING_TAG = re.compile(r"^[ \t]{0,12}(?:\[DONE\]|\[/PYTHON\]|</code>)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_PYTHON = re.compile(r"\{?\.?(?:i?python|pypy|pycon|py)[ ]?[\d.]*(?![a-z+#])", re.IGNORECASE)
_LANGUAGES = re.compile(
    r"(?:c|c\+\+|cpp|cc|csharp|cs|c#|dart|elixir|erlang|f#|fortran|go|golang|haskell|hs|java|javascript|js|jsx|julia|"
    r"kotlin|kt|lua|matlab|nim|ocaml|pascal|perl|php|prolog|r|ruby|rb|rust|rs|scala|scheme|swift|ts|tsx|typescript|zig)"
    r"(?![a-z])"
)
#: The first line of a program in another language, for blocks without a mark.
_FOREIGN = re.compile(
    r"^[ \t]*(?:#include\b|using namespace\b|public (?:static |final )?class\b|package \w+;?$|func main\(|fn \w+\(|"
    r"(?:int|void) main\(|(?:export )?(?:async )?function \w+\(|(?:const|let|var) \w+ =|<\?php)",
    re.MULTILINE,
)
_CODE_LINE = re.compile(
    r"[ \t#@)\]}]|(?:async )?def \w|class \w|from [\w.]+ import |import \w|(?:if|elif|for|while|with|match|try|except|"
    r"else|finally)\b[^\n]{0,500}:|(?:return|raise|assert|pass|del|global)\b|[\w.]{1,80}\(|"
    r"\w[\w.,\[\]'\" ]{0,80}[-+*/]?=[^=]"
)
_CODE_SIGN = re.compile(
    r"^[ \t]*(?:(?:async )?def \w{1,80}\(|class \w{1,80}[:(]|from [\w.]{1,80} import |import \w|return\b|print\()",
    re.MULTILINE,
)
_FIRST_LINE = re.compile(r"(?:async )?def \w|class \w|from [\w.]+ import |import \w|@\w")
_DEFINITION = re.compile(r"^(?:(?:async )?(?:def|class)[ \t]+(\w+)([^\n]*)|(\w+)[ \t]*=[ \t]*lambda\b)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_READS_INPUT = re.compile(r"\binput\(|\bstdin\b")
_OWN_MODULE = re.compile(r"^[ \t]*(?:from|import)[ \t]+(?:solution|your_\w+|my_\w+)\b", re.MULTILINE)
_PROMPT = re.compile(r"^(?:>>>|\.\.\.) ?")


@dataclass(frozen=True)
class Block:
    """A block of code in a trace."""

    #: The mark of its fence in lower case, "python" for every spelling of it.
    mark: str
    code: str

    @cached_property
    def names(self) -> set[str]:
        """The functions and classes that it defines, without tests."""
        return {
            match[1] or match[3]
            for match in _DEFINITION.finditer(self.code)
            if match[3] or not (match[1].lower().startswith("test") or "TestCase" in match[2])
        }

    @cached_property
    def words(self) -> set[str]:
        """Every word of it."""
        return set(_WORD.findall(self.code))


def program(text: str, tests: str = "") -> str | None:
    """Return the program in `text`; None if there is none. Takes linear time.

    Blocks marked as Python count, or those without a mark if there are none, or lines of code without a fence.
    Thoughts do not count. The last block is the program, unless it only uses or tests what an earlier block defines.
    Earlier blocks come before it if they define a name that it, or `tests`, uses and nothing later defines.
    """
    all_blocks = blocks(text)
    python = [block for block in all_blocks if block.mark == "python"]
    unmarked = [block for block in all_blocks if not block.mark and not _FOREIGN.search(block.code)]
    usable = python or [block for block in unmarked if _CODE_SIGN.search(block.code)] or unmarked[-1:]
    defined: set[str] = set()
    candidates: list[Block] = []
    for block in usable:
        if not _is_example(block, defined):
            candidates.append(block)
            defined |= block.names
    if not candidates:
        return None
    last = candidates.pop()
    parts, names, needed = [last.code], set(last.names), last.words | set(_WORD.findall(tests))
    for block in reversed(candidates):
        if (block.names & needed) - names:
            parts.insert(0, block.code)
            names |= block.names
            needed |= block.words
    return "\n\n".join(parts)


def other_language(text: str) -> str | None:
    """Return the programming language of the last block that is not Python; None if there is none."""
    for block in reversed(blocks(text)):
        if match := _LANGUAGES.match(block.mark):
            return match[0]
        if not block.mark and _FOREIGN.search(block.code):
            return "another language"
    return None


def blocks(text: str) -> list[Block]:
    """Return all blocks of code of the answer, in order."""
    answer = thinking.split(text).answer.replace("\r\n", "\n").replace("\0", "")
    if not _FENCE.search(answer):
        answer = _CLOSING_TAG.sub("```", _OPENING_TAG.sub("```python", answer))
    result: list[Block] = []
    opening: re.Match[str] | None = None
    for match in _FENCE.finditer(answer):
        if opening is None:
            opening = match
        elif match[2].startswith(opening[2]) and not match[3].strip():
            result += _block(opening, answer[opening.end() + 1 : match.start()])
            opening = None
    if opening is not None:  # the text ends inside a block
        result += _block(opening, answer[opening.end() + 1 :])
    return result or _lines_of_code(answer)


def _block(opening: re.Match[str], code: str) -> list[Block]:
    """The block, if it is not empty, without the indentation of its fence and the prompts of a console."""
    if not code.strip():
        return []
    lines = code.removesuffix("\n").split("\n")
    indent = min([len(opening[1]), *(len(line) - len(line.lstrip(" \t")) for line in lines if line.strip())])
    lines = [line[indent:] for line in lines]
    if next((line for line in lines if line.strip()), "").startswith(">>>"):
        lines = [_PROMPT.sub("", line) for line in lines if _PROMPT.match(line)]
    mark = opening[3].strip()
    return [Block("python" if _PYTHON.match(mark) else mark.lower(), "\n".join(lines))]


def _lines_of_code(answer: str) -> list[Block]:
    """The code of an answer without fences: all of it, or the runs of lines that begin with a definition."""
    lines = answer.split("\n")
    if all(_CODE_LINE.match(line) for line in lines if line.strip()):
        return [Block("", answer)] if _CODE_SIGN.search(answer) else []
    runs: list[list[str]] = [[]]
    for line in lines:
        if runs[-1] and (not line.strip() or _CODE_LINE.match(line)):
            runs[-1].append(line)
        elif _FIRST_LINE.match(line):
            runs.append([line])
        elif runs[-1]:
            runs.append([])
    codes = ("\n".join(run).rstrip() for run in runs)
    return [Block("", code) for code in codes if re.search(r"^(?:(?:async )?def|class) \w+ *[:(]", code, re.MULTILINE)]


def _is_example(block: Block, defined: set[str]) -> bool:
    """Does this block only use or test what earlier blocks define?"""
    if block.names or not defined or block.code[:1].isspace() or _READS_INPUT.search(block.code):
        return False
    return bool(_OWN_MODULE.search(block.code) or block.words & defined)
