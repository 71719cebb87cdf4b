"""Answers that pick: a letter or an option's text, several letters, yes or no.

Options are read from the question: "(A) Paris (B) Rome", "A. Paris" or "A) Paris". Whatever picks two, picks none.
"""

import re

from tracemill.verification.answers.text_answers import normal, tokens

_READ = 5_000  # characters of a question
_OPTION = re.compile(r"(?:^|(?<=[\s$}]))(?:\*\*)?(?:\\text(?:bf)?\{)?(?:\(([A-J])\)|([A-J])[.):])\}?(?:\*\*)?\s?")
_LETTER = re.compile(
    r"(?:(?:the\s)?(?:correct\s|right\s|best\s|final\s)?(?:option|choice|answer|letter)(?:\sis)?:?\s)?"
    r"[(\[{]?([A-Ja-j])[)\]}]?[.):,]?$",
    re.IGNORECASE,
)
_LETTER_FIRST = re.compile(
    r"(?:(?:the\s)?(?:correct\s|right\s|best\s)?(?:option|choice|answer)(?:\sis)?:?\s)?"
    r"(?:[(\[]\s?([A-Ja-j])\s?[)\]][.:,]?|([A-J])(?:[.):,]|\s[-=:]|(?=\s?\()))\s?(.*)$",
    re.DOTALL | re.IGNORECASE,
)
_LETTERS = re.compile(r"[(\[{]?[A-J][)\]}]?(?:(?:\s?[,;&/]\s?(?:and\s)?|\sand\s|\s)?[(\[]?[A-J][)\]}]?){1,9}[}.]?$")
_NAMED = re.compile(r"(?:\b(?:option|choice|answer is|answer:)\s\(?|\()([A-J])\b\)?", re.IGNORECASE)
_NEXT = re.compile(r"^\W{0,3}(?:and|or|&|/)\s?\(?([A-J])\b(?!\s[a-z])", re.IGNORECASE)
_ALONE = re.compile(r"(?<![\w'\\])([B-HJ]|[AI](?=\s?(?:,|or|and|/)\s?\(?[B-J]\b))(?![\w'])")
_NOT = re.compile(
    r"\b(?:not|never|neither|nor|wrong|incorrect|false|except|rather than|instead of|eliminate\w*|rule out)\b|n't",
    re.IGNORECASE,
)
_DOUBT = re.compile(r"\b(?:or|either|maybe|perhaps|possibly|might|both|not sure|unsure|guess)\b", re.IGNORECASE)
_YES = re.compile(
    r"\b(?:(not|never|isn't|is not|aren't|wasn't|cannot be|can't be)\s+(?:\w+\s){0,2}?)?"
    r"(yes|no(?!\s+(?!(?:it|they|he|she|this|that|the|because|since|there|not|we|as|for)\b)[a-z])|true|false|correct|incorrect|right|wrong|yeah|yep|nope)\b",
    re.IGNORECASE,
)
_MEANS = {"yes": True, "true": True, "correct": True, "right": True, "yeah": True, "yep": True,
          "no": False, "false": False, "incorrect": False, "wrong": False, "nope": False}  # fmt: skip
_BOTH = re.compile(r"\W*(?:yes|true|no|false)\W{1,5}(?:and|or|/)?\W{0,3}(?:yes|true|no|false)\b", re.IGNORECASE)

Verdict = tuple[bool | None, str]


def options(question: str | None) -> dict[str, str]:
    """The options that a question offers, by letter; none unless it counts up from A. Takes linear time."""
    if not question:
        return {}
    text = question[-_READ:]
    found: dict[str, str] = {}
    marks = list(_OPTION.finditer(text))
    for place, mark in enumerate(marks):
        letter = mark[1] or mark[2]
        if letter == "A":
            found = {}
        elif ord(letter) != ord("A") + len(found):
            continue
        end = marks[place + 1].start() if place + 1 < len(marks) else len(text)
        found[letter] = text[mark.end() : end].split("\n\n")[0].strip(" \n\t,;$\\")
    return found if len(found) > 1 else {}


def letters(value: str) -> frozenset[str]:
    """The letters of a gold answer, "B", "(B) Paris" or "A, C"; none if it names none."""
    if match := _LETTER.match(value):
        return frozenset(match[1].upper())
    if _LETTERS.match(value) and (value.isupper() or not value.isalpha()):
        return frozenset(re.findall(r"[A-J]", value))
    if match := _LETTER_FIRST.match(value):
        return frozenset((match[1] or match[2]).upper())
    return frozenset()


def compare_choice(gold: str, answer: str, question: str | None) -> Verdict | None:
    """Is the option that `answer` picks the one of `gold`; None if `gold` is neither a letter nor an option's text."""
    offered = options(question)
    wanted = letters(gold)
    if not wanted or (offered and not wanted <= offered.keys()):
        wanted = frozenset(letter for letter, text in offered.items() if normal(text) == normal(gold))
        if len(wanted) != 1:
            return None
    picked = _picked(answer, offered, len(wanted) > 1)
    if isinstance(picked, str):
        return None, picked
    if not picked:
        return (False, "none of the options") if offered and tokens(answer) else (None, "no option recognised")
    if len(picked) > 1 and len(wanted) == 1:
        return False, "more than one answer"
    return picked == wanted, "choice"


def _picked(answer: str, offered: dict[str, str], several: bool) -> frozenset[str] | str:
    """The letters picked, or why that cannot be said."""
    if match := _LETTER.match(answer):
        return frozenset(match[1].upper())
    if _LETTERS.match(answer):
        return frozenset(re.findall(r"[A-J]", answer))
    same = frozenset(letter for letter, text in offered.items() if normal(text) == normal(answer))
    if len(same) == 1:
        return same
    if (match := _LETTER_FIRST.match(answer)) is not None:
        letter, text = (match[1] or match[2]).upper(), match[3]
        others = {found.upper() for found in (*_NAMED.findall(text), *_NEXT.findall(text))} - {letter}
        if _DOUBT.match(text) or (others and not _NOT.search(text)):
            return frozenset({letter, *others}) if others else "more than one answer"
        if re.match(r"[\s,;]*(?:and )?(?:not|rather than|instead of|but not)\s\(?[A-J]\b", text):
            return frozenset({letter})
        if _NOT.match(re.sub(r"^\W*(?:is|it's|are)?\s*", "", text)):
            return "it says which option is not right"
        named = {other for other, of in offered.items() if normal(of) == normal(text)}
        return "letter and text of different options" if named and letter not in named else frozenset({letter})
    if _NOT.search(answer):
        return "it says which option is not right"
    named = {letter.upper() for letter in _NAMED.findall(answer)} or set(_ALONE.findall(answer))
    if not named:
        held = f" {normal(answer)} "
        named = {letter for letter, text in offered.items() if normal(text) and f" {normal(text)} " in held}
        named = {one for one in named if not any(
            one != other and f" {normal(offered[one])} " in f" {normal(offered[other])} " for other in named
        )}  # fmt: skip
    if _DOUBT.search(answer) and not several and len(named) < 2:
        return "not one option for certain"
    return frozenset(named)


def compare_boolean(gold: str, answer: str) -> Verdict | None:
    """Does `answer` say what `gold` says; None if `gold` says neither yes nor no."""
    wanted = says(gold)
    if wanted is None:
        return None
    said = says(answer)
    return (None, "neither yes nor no for certain") if said is None else (said == wanted, "yes or no")


def says(value: str) -> bool | None:
    """Yes (True) or no (False); None for neither, both or a doubt. The first word decides: "No, because …"."""
    if _BOTH.match(value):
        return None
    found = [(match.start(), _MEANS[match[2].lower()] != bool(match[1])) for match in _YES.finditer(value[:2_000])]
    if not found:
        return None
    first, meaning = found[0]
    if value[:first].strip(" *_\"'`(") == "" and not re.match(r"\w+\s+(?:one|answer|of|solution)", value[first:]):
        return None if _DOUBT.match(value[first:].partition(" ")[2]) else meaning
    if _DOUBT.search(value) or len({meaning for _, meaning in found}) > 1:
        return None
    return meaning
