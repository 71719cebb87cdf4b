r"""Extract the value from a sentence that answers the question.

"So John saves $360 in 12 months." gives $360. If a sentence has several values, the last one without a preposition
counts ("in 12 months" and "at 5%" have one). Some words add a second value, a range or a doubt ("5 or 6", "not 5", "at
least 5"). They stay in the value, so that the comparison reads them.
"""

import re
from itertools import pairwise
from typing import Literal

from tracemill.verification.answers import other_languages, quantities
from tracemill.verification.answers.equation_answers import equation_in_variables, right_side
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.normalize import plain, tidy
from tracemill.verification.answers.question_hints import LABEL
from tracemill.verification.answers.unusual_forms import is_spoken

LenientAnswer = tuple[str, Literal["equation", "last number", "last line"]]

MAX_SENTENCES = 30  # read, from the end of the text
MAX_SENTENCE = 1_000  # characters read of a sentence, from its end

_NUMBER = re.compile(
    r"(?:(?<![\w.)%])[-−])?(?:\\?[$€£¥])?(?:(?<![\w)])[-−])?(?:\d{1,3}(?:(?:,\d{3})+(?!\d)|(?: \d{3})+(?![\d/]))|"
    r"\d+)(?:\.\d+)?"
    r"(?:(?:\s\d+)?/\d+(?![\d./]))?(?::\d+)?(?: ?\\?%)?"
)
_EQUALS = re.compile(r"(?<![=<>!:≠])=(?![=>])")
_MATH = re.compile(
    r"\$\$([^$]{1,500})\$\$|\$([^$\n]{1,300})\$|\\\(((?:(?!\\\)).){1,300})\\\)|\\\[((?:(?!\\\]).){1,500})\\\]",
    re.DOTALL,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")

_END = re.compile(
    r"(?<![ap]\.m)(?<!\bi\.e)(?<!\be\.g)(?<!\bSt)(?<!\bMr)(?<!\bDr)(?<!\bMrs)(?:[.?]|(?<![\dn)])!)(?=\s|$|\*\*|__|[\"'”)](?:\s|$))"
    r"|[,;]?\s(?:because|since|which|so that|as we|where)\s|[,;]\s+(?:but|so|as|if|when|after|given|making|"
    r"meaning|while|hence)\s"
    r"|,\s+and\s+(?=(?:the|he|she|it|they|we|this|that|there|you|I)\b)|\s[-–—]\s(?=[a-z]{3,})|"
    r"(?<=[^\s\\])\s\((?=[a-z]{3,}\s)"
)
_PART_BEFORE = re.compile(
    r"\b(?:reciprocal|inverse|opposite|negative|square|cube|root|factors?|multiples?|divisors?|divisible|half|twice|third"
    r"|double|power|(?:ends?|ending|starts?|starting|begins?|beginning)(?=\sin|\swith)|nearly|almost)(?:\s(?:of|by|in|with))?(?:\sthe)?\s[$(\\]{0,3}$",
    re.IGNORECASE,
)
_OPEN_AFTER = re.compile(
    r"[\s$)]{0,3}(?:[a-z]{2,12}\s){0,2}(?:or|and)\s(?:more|less|fewer|over|above|below)\b", re.IGNORECASE
)
_LABEL_BEFORE = re.compile(rf"\b{LABEL}[$(#*]{{0,3}}$", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:(?:A|Ans)\s?:\s|[-•]\s(?=[A-Za-z])|(?i:(?:(?:so|thus|hence|therefore|then|no|yes),?\s)?"
    r"(?:(?:it is|it's|we get|i get)\s)?)(?=-?\d|\$\d[^$]{0,20}\$))"
)
_CONDITION = re.compile(r"\bif\b.{1,80}\b(?:were|had)\b", re.IGNORECASE)
_HEDGE = re.compile(
    r"\b(?:or|could|might|maybe|perhaps|possibly|may be|either|alternatively|not sure|unsure|i guess|depending)\b",
    re.IGNORECASE,
)
_DOUBT_BEFORE = re.compile(
    r"(?:\b(?:not|never|no longer|cannot|or|nor|but|except|doubt(?:\s\w+){0,3}|either|maybe|perhaps|possibly|might|"
    r"could|between|(?:more|less|fewer|greater|larger|smaller|other|higher|lower|rather|"
    r"bigger) than|at least|at most|up to|over|under|above|below|close to|"
    r"instead of|from|minimum of|maximum of)|n't|±|\\pm|[<>≤≥])"
    r"[\s*$(]{0,4}(?:(?:just|only|be|is|a|an|the|exactly|have|has|get|need|equal|equals|to|it|it's)\s){0,3}[\s*$(\\]{0,4}$",
    re.IGNORECASE,
)
_DOUBT_AFTER = re.compile(
    r"[\s*$)]{0,4}(?:(?:[A-Za-z]{2,15}\s){0,2}[\s*$(]{0,4}(?:,\s?)?or[\s*$(\\]{0,4}(?:\w{1,12}\s){0,3}[\s$(\\]{0,4}\d"
    r"|(?:to|through|±|\+/-|\\pm|[-–](?=\d))[\s*$(\\]{0,4}\d)",
    re.IGNORECASE,
)
_CONNECTED = re.compile(
    r"(?:\s(?:squared|cubed|factorial))?[\s*$]{0,3}(?:to|through|[-–—+/×*]|,|,?\s?(?:or|and)|plus|minus|times|x|"
    r"over|point|and a|divided by|multiplied by)[\s*$]{0,3}"
)
_CONTINUED = re.compile(
    r"\s?(?:(?:squared|cubed|factorial|point|and\s(?:a|one|two|three)[\s-](?:half|quarters?|thirds?)|to\sthe\s(?:\w+\s)?"
    r"power|(?:per\s?cent|(?<=%))\sof\s\$?\d+|and\sa\sbit|per\s?mille|(?:less|more|fewer)\sthan\sthe|"
    r"(?<=\d)(?:st|nd|rd|th)\s[a-z]+|score|grand|gross|mil)\b|[!^]|"
    r"(?:is|are|was)\s(?:not|wrong|incorrect|"
    r"false)\b|(?:isn't|wasn't|can't|cannot)\b|(?:plus|minus|times|over|mod|choose|(?:less|more|fewer) than|"
    r"(?:divided|multiplied) by)"
    r"\s(?:the\s)?(?:\d|[a-z]\b))",
    re.IGNORECASE,
)
_JOINED = re.compile(r"(?:\s[a-z]{2,15}){0,3},?\s(?:and|or)\s(?:[a-z]{2,12}\s){0,2}$", re.IGNORECASE)
_ADJUNCT = re.compile(
    r"\b(?:in|for|after|at|per|of|from|by|with|within|over|every|each|during|than|until|before|on|across|among|"
    r"between|to|"
    r"(?<!needs )(?<!need )(?<!has )(?<!have )(?<!had )(?<!able )(?<!going )(?<!needed )(?<!likely "
    r")to\s[a-z]{2,15}(?:\sall|\sthe)?|"
    r"out of|all|these|those|the|his|her|their|step|part|problem|question)[\s*(\\]{0,4}$",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|sec|csc|cot|log|ln|exp|sqrt|mod|and|or|pi|inf|infinity|not|at|least|most|"
    r"base)\b)[A-Za-z]{3,}"
)
_VALUE_IN = re.compile(r"\d|\\[a-z]|[²³√π∞∅½¼¾]")
#: A number that belongs to a word: AZ2K, H2O.
_IN_A_WORD = re.compile(r"(?<!\bUS)(?<!\bEU)(?<!\bGB)(?<!\bIN)(?<!\bR)[A-Za-z]\d")
#: The author takes an answer back: "6? No, 8."
RETRACTED = re.compile(
    r"[\s.?!,;…–—-]{1,6}(?:(?:no|wait|hmm|sorry|correction|actually)\s?[,:;.!…–—]|or rather\b|scratch that|I mean)",
    re.IGNORECASE,
)
_NUMBER_WORD = re.compile(
    r"\b(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-[a-z]{3,5})?|zero|one|two|three|four|"
    r"five|six|seven|"
    r"eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)\b(?: (?:hundred|thousand|dozen)\b)?",
    re.IGNORECASE,
)
_NAME_EQUALS = re.compile(r"(?<![\w\\])(?:[A-Za-z]|[A-Za-z]_\w)\s{0,2}\$?=")
_LETTER = re.compile(
    r"(?:\b(?:option|choice|answer is|answer:)\s\(?|\()[A-J]\b|(?<![\w'\\])[B-HJ](?![\w'])|^\W{0,4}[A-J][).:*]",
    re.IGNORECASE,
)
_REASON = re.compile(r"\s(?:because|since|as we)\s", re.IGNORECASE)
_REASON_FIRST = re.compile(r"(?:since|because|as|given that|if|when)\s[^,\n]{1,200},\s", re.IGNORECASE)
_YES_NO = re.compile(r"\b(?:yes|no|true|false|correct|incorrect)\b", re.IGNORECASE)


def to_sentence_end(line: str) -> str:
    """Return the line up to the end of its sentence.

    The whole line, if the words after that end cast doubt on the value.
    """
    sentence_end = _END.search(line)
    if sentence_end is None:
        return without_bold(line)
    rest = line[sentence_end.start() :]
    if RETRACTED.match(rest):
        return without_bold(line)
    if rest[0] in ",; (" and _HEDGE.search(rest) and re.search(r"\d", rest):
        return without_bold(line)
    return without_bold(line[: sentence_end.start()])


def without_bold(line: str) -> str:
    if "*" not in line:
        return tidy(line)
    return tidy(re.sub(r"(?<![\w)}\]])\*\*|\*\*(?![\w({\\])|\*\*$", "", line))


def main_value(sentence: str) -> str:
    """Return the main value of a sentence; the sentence if the value is uncertain."""
    if r"\begin" in sentence or _CONDITION.search(sentence):
        return sentence  # a matrix, or the value of another case
    if not _PROSE.search(sentence):
        return _bare_value(sentence)[0] if "=" in sentence else sentence
    if quantities.read(sentence) is not None or is_spoken(plain(sentence)):
        return sentence
    if "=" in sentence and sentence.count("=") == 1 and (bare := _bare_value(sentence)[0]) != sentence:
        return bare
    number = _main_number(sentence)
    if number is None:
        return sentence
    with_unit = sentence[sentence.rindex(number) :] if sentence.count(number) == 1 else number
    return with_unit if quantities.read(plain(with_unit)) is not None else number


def last(text: str, kind: Kind) -> LenientAnswer | None:
    """Return the value of the last sentence with a value, and its form.

    None if no sentence has a value. Takes linear time.
    """
    bare = re.sub(r"(?<=\S)\s\[\d{1,2}\](?=\.?$)", "", text.strip())  # a footnote mark
    if kind in ("choice", "boolean", "text"):
        return _last_words(bare, kind)
    if not bare.isascii() and (number := other_languages.number_between_letters(bare)) is not None:
        return number, "last number"
    bare = _LEAD.sub("", bare)
    if len(bare) <= 300 and ("\n" not in bare or r"\begin" in bare) and not _ANNOUNCES.search(bare):
        value = tidy(bare)
        if (value and not _PROSE.search(_WORDS_IN_MATH.sub("", value))) or quantities.read(plain(value)):
            return _bare_value(value) if any(char.isalnum() or char == "\\" for char in plain(value)) else None
    for sentence in map(_without_reason, _sentences(bare)):
        if _UNKNOWN.search(sentence):
            return tidy(sentence), "last line"
        if kind == "expression" and (whole := equation_in_variables(sentence)) is not None:
            return whole, "equation"
        if _EQUALS.search(sentence) and (side := _value_in_equation(sentence)):
            return side, "equation"
        if (number := _value_in_sentence(sentence)) is not None:
            return number, "last number"
    if _ends_in_announcement(bare) or not bare:
        return None
    return (
        (tidy(bare), "last line") if len(bare) <= 200 and "\n" not in bare and _NO_ANSWER.search(bare) is None else None
    )


_CALCULATED = re.compile(r"[\d\s.,+*/×÷()$-]{1,100}$")
_WORDS_IN_MATH = re.compile(r"\\(?:text|mathrm|textbf|mbox)\s?\{[^{}]{0,100}\}|\\(?:begin|end)\s?\{\w+\*?\}")
_ANNOUNCES = re.compile(r"\banswers?\b|boxed|####", re.IGNORECASE)
_NO_ANSWER = re.compile(r"\bI (?:do not|don't|cannot|can't|am not)\b|\b(?:sorry|unable)\b", re.IGNORECASE)
#: The answer itself is unknown.
_UNKNOWN = re.compile(
    r"\b(?:is|remains|are) (?:unknown|undetermined)\b"
    r"|\b(?:cannot|can't|could not|not possible to) (?:be )?determined?\b"
    r"|\b(?:could not|couldn't|unable to|cannot|can't) (?:solve|find)\b"
    r"|\b(?:not enough|insufficient) information\b",
    re.IGNORECASE,
)


def _without_reason(sentence: str) -> str:
    """Return a sentence without its reason ("He can skip 4 because 10 - 4 = 6")."""
    if (first_reason := _REASON_FIRST.match(sentence)) is not None and re.search(r"\d", sentence[first_reason.end() :]):
        sentence = sentence[first_reason.end() :]
    reason = _REASON.search(sentence)
    return sentence[: reason.start()] if reason and re.search(r"\d", sentence[: reason.start()]) else sentence


def _ends_in_announcement(text: str) -> bool:
    return (
        re.search(r"(?:answers?|#{2,6}|boxed)(?:\s(?:is|are))?[\s:*.{}$\\]{0,9}$", text[-60:], re.IGNORECASE)
        is not None
    )


def _bare_value(value: str) -> LenientAnswer:
    """Return the value of a text without other words, and its form.

    For an equation it is the right side, if that is the result.
    """
    if "=" in value:
        left, _, right = value.rpartition("=")
        is_number = quantities.read(plain(right)) is not None
        if is_number and "=" not in left and (len(left.strip()) == 1 or _CALCULATED.match(left)):
            return right_side(value) or value, "equation"
        return value, "equation"
    return value, "last number" if re.search(r"\d", value) else "last line"


def _sentences(text: str) -> list[str]:
    """Return the last `MAX_SENTENCES` sentences, the last one first."""
    sentences: list[str] = []
    for line in reversed(text[-MAX_LINES_LENGTH:].split("\n")):
        parts = (
            re.split(
                r"(?<!\b[MD]r\.)(?<!Mrs\.)(?<!\bMs\.)(?<!\bSt\.)(?<!\b[A-Z]\.)(?<=[.!?])\s+(?=[^\s=])", line.strip()
            )
            if line.strip()
            else []
        )
        sentences += [part[-MAX_SENTENCE:] for part in reversed(parts) if part]
        if len(sentences) >= MAX_SENTENCES:
            break
    return sentences[:MAX_SENTENCES]


MAX_LINES_LENGTH = 5_000  # characters read for sentences, from the end of the text


def _value_in_equation(sentence: str) -> str | None:
    """Return the right side of the last equation.

    Several equations are returned together if each is an answer ("x = 1 or x = 2").
    """
    names = list(_NAME_EQUALS.finditer(sentence))
    for first, second in pairwise(names):
        between = sentence[first.end() : second.start()]
        if (
            re.search(r"\bor\b|\band\b|,", between)
            and re.fullmatch(r"[^=]{1,80}", between)
            and not _PROSE.search(between)
        ):
            return to_sentence_end(re.sub(r"\$(?!\d)|\\[()]", "", sentence[first.start() :]))
    for match in reversed(list(_EQUALS.finditer(sentence))[-20:]):
        side = sentence[match.end() :].lstrip(" \t*_")
        side = side.removeprefix("in ")
        side = side[1:].lstrip() if re.match(r"\$(?!\d)", side) else side
        number = _NUMBER.match(side)
        if number and not re.match(
            r"[ \t]{0,3}(?:[-+*/^×·÷−(]|\\[a-z])|[A-Za-z]?\^|\d|[A-Za-z]\b", side[number.end() :]
        ):
            doubt = _DOUBT_AFTER.match(side[number.end() :][:60])
            return to_sentence_end(side) if doubt else tidy(number[0])
        value = to_sentence_end(side)
        if math := re.match(r"[^$]{1,200}?(?=\$(?!\d)|\\\)|\\\])", side):
            value = tidy(math[0])
        if any(char.isdigit() for char in value) or "\\" in value:
            name = re.search(r"(?<![\w\\])([A-Za-z])\s?$", sentence[: match.start()])
            return f"{name[1]} = {value}" if name and re.search(r"(?<![A-Za-z\\])[a-z](?![A-Za-z])", value) else value
    return None


def _value_in_sentence(sentence: str) -> str | None:
    if other_languages.OPEN.search(sentence):
        end = other_languages.conclusion(sentence)
        return tidy(sentence) if end == sentence else _value_in_sentence(end)
    if re.search(r"\bnot\b|n't", sentence) is None:
        bold = [segment for segment in _BOLD.findall(sentence) if _VALUE_IN.search(segment)]
        if len(bold) == 1 and not _PROSE.search(tidy(bold[0])):
            return tidy(bold[0])
        if len(bold) == 1:
            return main_value(without_bold(bold[0]))
    if "$" in sentence or "\\" in sentence:
        segments = [segment for segment in _MATH.finditer(sentence) if not _is_money(segment)]
        if segments:
            return _value_in_math(sentence, segments)
    return _main_number(sentence)


def _is_money(segment: re.Match[str]) -> bool:
    """Are the dollar signs money ("$5 and $6"), not math delimiters?"""
    inside = segment[2] or ""
    if inside.startswith(" ") != inside.endswith(" "):
        return True
    return bool(re.match(r"\d[\d,.]*\s", inside) and _PROSE.search(inside))


def _value_in_math(sentence: str, segments: list[re.Match[str]]) -> str:
    final = segments[-1]
    first = len(segments) - 1
    while first > 0 and re.fullmatch(
        r"\s?(?:,|,?\s?(?:or|and))\s?", sentence[segments[first - 1].end() : segments[first].start()]
    ):
        first -= 1
    if first < len(segments) - 1:
        return tidy(sentence[segments[first].start() : final.end()])
    start, end = final.span()
    value = next(group for group in final.groups() if group)
    if _DOUBT_BEFORE.search(sentence[max(0, start - 60) : start]) or _DOUBT_AFTER.match(sentence[end : end + 60]):
        return tidy(sentence[max(0, start - 30) :])
    return tidy(value)


def _main_number(sentence: str) -> str | None:
    """Return the main number of the sentence, with the words of doubt around it.

    None if the sentence has no number.
    """
    numbers = list(_NUMBER.finditer(sentence)) or list(_NUMBER_WORD.finditer(sentence))
    numbers = [number for number in numbers if not _IN_A_WORD.match(sentence, max(0, number.start() - 1))]
    if numbers and other_languages.OPEN.search(sentence):
        end = other_languages.conclusion(sentence)
        return tidy(sentence) if end == sentence else _main_number(end)
    numbers = [
        number
        for number in numbers
        if not re.match(r"(?:st|nd|rd|th)\b|-(?:year|day|hour|foot|inch|minute|week)\b", sentence[number.end() :])
    ] or numbers
    if not numbers:
        return None
    main_numbers = [
        number for number in numbers if not _ADJUNCT.search(sentence[max(0, number.start() - 25) : number.start()])
    ]
    chosen = (main_numbers or numbers)[-1]
    first = numbers.index(chosen)
    while first > 0 and _CONNECTED.fullmatch(sentence[numbers[first - 1].end() : numbers[first].start()]):
        first -= 1
    if numbers[first] is not chosen or _CONTINUED.match(sentence, chosen.end()):
        return tidy(sentence[numbers[first].start() :])
    for number, next_number in pairwise(main_numbers):
        if _HEDGE.search(sentence[number.end() : next_number.start()]):
            return tidy(sentence[number.start() :])
    if len(main_numbers) > 1 and _JOINED.fullmatch(sentence[main_numbers[-2].end() : chosen.start()]):
        return tidy(sentence[main_numbers[-2].start() :])
    before = _DOUBT_BEFORE.search(sentence[max(0, chosen.start() - 60) : chosen.start()])
    if before:
        return tidy(sentence[max(0, chosen.start() - 60) + before.start() :])
    if _DOUBT_AFTER.match(sentence[chosen.end() : chosen.end() + 60]):
        return tidy(sentence[chosen.start() :])
    if _PART_BEFORE.search(sentence[max(0, chosen.start() - 40) : chosen.start()]):
        return tidy(sentence)
    if _OPEN_AFTER.match(sentence[chosen.end() : chosen.end() + 60]):
        return tidy(sentence[chosen.start() :])
    if label := _LABEL_BEFORE.search(sentence[max(0, chosen.start() - 25) : chosen.start()]):
        return tidy(sentence[chosen.start() - len(label[0]) :])
    return tidy(chosen[0])


def _last_words(text: str, kind: Kind) -> LenientAnswer | None:
    sentences = _sentences(text)
    if (
        kind == "text"
        and len(text) <= 100
        and not re.search(r"\n|[a-z]{3,}[.!?]\s+[A-Z]", text)
        and not _ANNOUNCES.search(text)
    ):
        return (tidy(text), "last line") if any(char.isalnum() for char in text) else None
    if kind != "text":
        pattern = _LETTER if kind == "choice" else _YES_NO
        chosen = next((sentence for sentence in sentences if pattern.search(sentence)), None)
        if (
            kind == "boolean"
            and (leading := re.match(r"\W{0,4}(?:yes|no|true|false)\b", text, re.IGNORECASE)) is not None
        ):
            chosen = text[leading.start() :].split("\n")[0][:200] if chosen is None or len(sentences) < 4 else chosen
        if chosen is not None:
            return tidy(chosen), "last line"
    if not sentences or _ends_in_announcement(text):
        return None
    bold = _BOLD.findall(sentences[0])
    return tidy(bold[0] if len(bold) == 1 else sentences[0]), "last line"
