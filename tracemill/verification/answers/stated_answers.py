"""Extract the value after "the answer is".

A text is taken up to the end of its sentence ("Chapter 7 bankruptcy"), any other kind is the value in it.
"""

import re

from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.normalize import tidy
from tracemill.verification.answers.sentence_answers import main_value, to_sentence_end, without_bold

# "The answer is not obvious" and "the answer is in the table" state no answer.
_NO_VALUE = re.compile(
    r"(?:the following|correct|incorrect|wrong|right|in the|in terms|as follows|above|below|given|found|clear|unclear|"
    r"obvious|unknown|known|(?:the )?(?:final )?answer|obtained|still|reasonable|based|consistent|helpful|already|also|"
    r"likely|supposed|expected|going|what|how|asking|asked|provided|shown|written|expressed|needed|required|verified|"
    r"(?:n't|not) (?:\w+ )?(?:obvious|clear|known|given|in|correct|sure|among|listed|provided|possible|"
    r"what))\b(?!\s*\()",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"(?:not|n't)\s[^.\n]{1,60}?(?:\bbut|[,;.]\s(?:it is|it's|rather|instead))\s(?:rather\s)?", re.IGNORECASE
)
_LEAD = re.compile(
    r"(?:therefore|thus|then|so|hence|simply|just|only|indeed|clearly|now|finally|actually|approximately|about|"
    r"roughly|around|"
    r"exactly|precisely|equal to|given by|a total of|≈|~|\\approx|:|,|option(?=\s[A-J]\b)|that)\s{0,3}",
    re.IGNORECASE,
)
_TEXT_END = re.compile(
    r"(?<!\b[A-Za-z])(?<!\b[vVS][st])(?<!\b[MDJS]r)(?<!\bMrs)(?<!\b[MFL]t)(?<!\b[JS]r)(?<!\bGen)(?<!\bProf)(?<!\b(?:Art|Sec|Inc|Ltd|vol|Vol))(?<!\bNo)(?<!\bCo)[.?!](?=\s|$|\*\*|[\"”])"
    r"|[,;]?\s(?:because|since|as we)\s|[,;]\s+(?:but|so|making|meaning|hence)\s"
)


def stated(rest: str, kind: Kind = "number") -> str:
    """Return the value at the start of `rest`, the text after "the answer is".

    Empty if `rest` does not start with a value.
    """
    rest = re.sub(r"^[\s_:]*(?:(?<=\n)>[ ])?", "", rest)
    if rest.startswith("*") and not rest.startswith("**"):
        rest = rest.lstrip("* ")
    for left, right in (("$$", "$$"), (r"\[", r"\]")):
        if rest.startswith(left) and (end := rest.find(right, len(left))) > 0:
            after = rest[end + 2 :].lstrip()
            second_value = stated(after[3:]) if after.startswith(("or ", "and")) else ""
            return f"{tidy(rest[2:end])} or {second_value}" if second_value else tidy(rest[2:end])
    line, _, below = rest.partition("\n")
    if r"\begin" in line and r"\end" not in line and r"\end" in below:
        line, below = line + " " + below[: below.index("}", below.index(r"\end")) + 1], ""
    if re.match(r"[-•*]\s", line):
        items = re.match(r"(?:[ \t]{0,3}[-•*][ \t][^\n]{1,100}(?:\n|$)){1,10}", rest)
        line = ", ".join(tidy(item.lstrip(" \t-•*")) for item in items[0].strip().split("\n")) if items else line
    if denial := _BUT.match(line):
        line = line[denial.end() :]
    for _ in range(4):
        line = line.lstrip()
        lead = _LEAD.match(line)
        if not lead:
            break
        line = line[lead.end() :]
    if _NO_VALUE.match(line):
        return ""
    if kind == "text":
        return _whole_text(line)
    value = to_sentence_end(line)
    return main_value(value) if any(char.isalnum() for char in value) or "\\" in value else ""


def _whole_text(line: str) -> str:
    """Return the line up to the end of its sentence; a number or an abbreviation in it ends nothing."""
    end = _TEXT_END.search(line)
    return without_bold(line[: end.start()] if end else line)
