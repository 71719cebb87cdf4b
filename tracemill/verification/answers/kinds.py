"""The kinds of answers.

The kind decides how an answer is extracted and how it is compared.
"""

import re
from typing import Literal

Kind = Literal["number", "expression", "choice", "boolean", "text", "code"]

_NUMBER = re.compile(
    r"[-+−]?\s?(?:\\?[$€£¥])?\s?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s?/\s?\d+)?\s?\\?%?$"
    r"|[-+−]?\d{0,9}\s?\\[dt]?frac\{\d+\}\{\d+\}$"
)
_QUANTITY = re.compile(
    r"[-+−$€£]{0,2}\d[\d,.]*\s?(?:[A-Za-z]{2,12}|[mgshlL])(?:(?:\s[a-z]{2,12}){0,2}|(?:,|\sand)?\s\d{1,3}\s?[a-z]{1,12})$"
)
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}$|(?:\d{1,2}(?:st|nd|rd|th)?\s(?:of\s)?)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r"[a-z]{0,6}\.?(?:\s\d|$)"
)
_TEXT_BOX = re.compile(r"\\(?:text|textbf|mathrm|textit|mathbf)\s?\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{\w{1,20}\*?\}")
_LETTER = re.compile(r"\(?[A-J]\)?[.)]?$|\([a-j]\)$")
_LETTERS = re.compile(r"\(?[A-J]\)?(?:(?:\s?[,;]\s?|\s?and\s)\(?[A-J]\)?){1,9}$")
_LETTER_AND_TEXT = re.compile(r"(?:\([A-J]\)|[A-J][.):])\s\S")
_BOOLEANS = frozenset(("yes", "no", "true", "false"))
_OPTIONS = re.compile(r"(?:^|[\s$])(?:\(A\)|A[.):])\s.{0,2000}?[\s$](?:\(B\)|B[.):])\s", re.DOTALL)
_ASKS_YES_OR_NO = re.compile(
    r"(?:is|are|was|were|does|do|did|can|could|will|would|has|have|had|should)\s[^?]{1,300}\?\s*$"
    r"|.*\b(?:yes or no|true or false|yes/no|true/false)\b",
    re.IGNORECASE | re.DOTALL,
)
_ASKS_FOR_CODE = re.compile(
    r"\b(?:write|implement|complete|define|create)\b[^.\n]{0,60}\b(?:function|program|method|class|code|script)\b",
    re.IGNORECASE,
)
_MATH = re.compile(r"\\[A-Za-z]+|[=^_<>≤≥√π∞∅∪∩∈{}|]|(?<![A-Za-z])(?:[a-z]|sin|cos|tan|log|ln|sqrt|pi)(?![A-Za-z])")
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|sec|csc|cot|log|ln|exp|sqrt|and|or|mod|pi)\b)[A-Za-z]{3,}")
_MAX_LENGTH = 5_000  # characters read of a question, and of a gold answer


def guess(gold: str | None, question: str | None) -> Kind:
    """Guess the kind from the gold answer and the question. Takes linear time."""
    gold = gold.strip()[:_MAX_LENGTH] if gold else ""
    if gold and _NUMBER.match(gold):
        return "number"
    question_end = (question or "")[-_MAX_LENGTH:]
    if not gold:
        return _guess_from_question(question_end)
    if "```" in gold or gold.startswith(("def ", "class ", "import ", "from ")):
        return "code"
    plain = _TEXT_BOX.sub(r"\1", gold).strip("$ .").strip()
    if plain.casefold() in _BOOLEANS:
        return "boolean"
    if _LETTER.match(plain) or _LETTERS.match(plain) or _LETTER_AND_TEXT.match(plain) or _OPTIONS.search(question_end):
        return "choice"
    if _DATE.match(plain):
        return "text"
    if _QUANTITY.match(plain):
        return "number"
    bare = _ENVIRONMENT.sub("", gold)
    if _MATH.search(_ENVIRONMENT.sub(r"\\begin", plain)) and not _WORD.search(_TEXT_BOX.sub("", bare)):
        return "expression"
    if _WORD.search(plain):
        return "text"
    return "expression" if any(char.isalnum() for char in plain) else "text"


def _guess_from_question(question: str) -> Kind:
    """Guess the kind from the question alone."""
    if _OPTIONS.search(question):
        return "choice"
    if _ASKS_FOR_CODE.search(question):
        return "code"
    last_sentence = re.split(r"(?<=[.!?])\s+(?=\S)", question.strip()[-1_000:])[-1]
    return "boolean" if _ASKS_YES_OR_NO.match(last_sentence) else "number"
