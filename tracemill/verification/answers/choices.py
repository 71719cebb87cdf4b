"""Compare multiple-choice answers, and answers of yes or no.

A choice is a letter, several letters, or the text of an option. Options are read from the question: "(A) Paris (B)
Rome", "A. Paris" or "A) Paris". An answer with two options is wrong if only one
option is right.
"""

import re
from collections.abc import Callable

from tracemill.verification.answers.normalize import plain
from tracemill.verification.answers.spelling import same_spelling, same_words, words
from tracemill.verification.answers.text_answers import normal

_MAX_QUESTION = 5_000  # characters read of a question, from its end
_OPTION = re.compile(r"(?:^|(?<=[\s$}]))(?:\*\*)?(?:\\text(?:bf)?\{)?(?:\(([A-J])\)|([A-J])[.):、])\}?(?:\*\*)?\s?")
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
_NAMED_LETTER = re.compile(r"(?:\b(?:option|choice|answer is|answer:)\s\(?|\()([A-J])\b\)?", re.IGNORECASE)
_NEXT_LETTER = re.compile(r"^\W{0,3}(?:and|or|&|/)\s?\(?([A-J])\b(?!\s[a-z])", re.IGNORECASE)
_LONE_LETTER = re.compile(r"(?<![\w'\\])([B-HJ]|[AI](?=\s?(?:,|or|and|/)\s?\(?[B-J]\b))(?![\w'])", re.ASCII)
#: The choice at the end of a text in an East Asian language: 故选AC.
_CHOSEN_ELSEWHERE = re.compile(
    r"(?:(?<![不未非])[选選](?:择|擇|项|項)?|答案[是为為]?|正解は|答えは|정답은|답은)\s?[:：]?\s?[(（]?([A-J]{1,6})[)）]?"
    r"\s?(?:です|입니다|이다)?[。.]?$"
)
#: "Between B and C, C is right", "B is not right, so it must be C".
_DECIDED = re.compile(
    r"\b(?:([A-J])\)? (?:is|must be|has to be) (?:the )?(?:right|correct|best|answer)\b"
    r"|(?:it must be|it has to be|it is therefore|leaves|choose|pick|select|answer is(?: option)?) \(?([A-J])\b"
    r"(?! (?:and|or)\b))"
)
_UNCERTAIN = re.compile(r"\b(?:if|whether|unless|not (?:true|clear|certain|sure|likely|the case))\b", re.IGNORECASE)
_SUPPOSED = re.compile(r"(?:if|whether|suppose|assuming|assume)\b", re.IGNORECASE)
_NO_CHOICE = re.compile(r"[A-J](?:\s?=|\(\s?-?[\d.x])")  # C = 5, D(1, 2)
_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|wrong|incorrect|false|except|rather than|instead of|eliminate\w*|rule out"
    r"|nicht|keine|n'est|não|niet|nie|non|не|bukan|değil|không|inte|ikke)\b|n't|[不非]|ではな|でな|아니|아닙|ليس|नहीं",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:or|either|maybe|perhaps|possibly|might|could be|may be|both|oder|not sure|unsure|guess)\b", re.IGNORECASE
)
_YES_OR_NO = re.compile(
    r"\b(?:(not|never|isn't|is not|aren't|wasn't|cannot be|can't be)\s+(?:\w+\s){0,2}?)?"
    r"(yes|no(?!\s+(?!(?:it|they|he|she|this|that|the|because|since|there|not|we|as|for)\b)[a-z])|true|false|correct|incorrect|right|wrong|yeah|yep|nope)\b",
    re.IGNORECASE,
)
_MEANINGS = {"yes": True, "true": True, "correct": True, "right": True, "yeah": True, "yep": True,
          "no": False, "false": False, "incorrect": False, "wrong": False, "nope": False}  # fmt: skip
_MEANINGS_ELSEWHERE = {
    word: meaning
    for meaning, words_of_meaning in (
        (
            True,
            "ja oui sí sì да так tak sim evet はい 是 是的 对 对的 對 正确 네 예 نعم हाँ có"
            " wahr vrai verdadero vero верно",
        ),
        (
            False,
            "nein non нет ні nie não hayır いいえ 否 不是 不 不对 错 错误 아니요 아니오 لا नहीं không"
            " falsch faux falso неверно",
        ),
    )
    for word in words_of_meaning.split()
}
_FIRST_WORD = re.compile(r"\W{0,4}([^\W\d_]+)")
_YES_AND_NO = re.compile(r"\W*(?:yes|true|no|false)\W{1,5}(?:and|or|/)?\W{0,3}(?:yes|true|no|false)\b", re.IGNORECASE)

Verdict = tuple[bool | None, str]
#: Compares the text of an option, an answer and the question.
Compare = Callable[[str, str, str | None], Verdict]


def options(question: str | None) -> dict[str, str]:
    """Return the options of a question by letter. Takes linear time.

    Empty unless the letters count up from A.
    """
    if not question:
        return {}
    text = question[-_MAX_QUESTION:]
    options_by_letter: dict[str, str] = {}
    marks = list(_OPTION.finditer(text))
    for index, mark in enumerate(marks):
        letter = mark[1] or mark[2]
        if letter == "A":
            options_by_letter = {}
        elif ord(letter) != ord("A") + len(options_by_letter):
            continue
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        options_by_letter[letter] = text[mark.end() : end].split("\n\n")[0].strip(" \n\t,;$\\")
    return options_by_letter if len(options_by_letter) > 1 else {}


def letters(value: str) -> frozenset[str]:
    """Return the letters of a gold answer: "B", "(B) Paris" or "A, C".

    Empty if it has none.
    """
    if match := _LETTER.match(value):
        return frozenset(match[1].upper())
    if _LETTERS.match(value) and (value.isupper() or not value.isalpha()):
        return frozenset(re.findall(r"[A-J]", value))
    if match := _LETTER_FIRST.match(value):
        return frozenset((match[1] or match[2]).upper())
    return frozenset()


def compare_choice(gold: str, answer: str, question: str | None, compare_values: Compare) -> Verdict | None:
    """Does `answer` choose the option of `gold`? Returns a verdict and its proof.

    None if `gold` is neither a letter nor the text of an option.
    """
    options_by_letter = options(question)
    gold_letters = letters(gold)
    if any(same_spelling(plain(text), gold) for text in options_by_letter.values()) and len(gold) > 1:
        gold_letters = frozenset()
    if not gold_letters or (options_by_letter and not gold_letters <= options_by_letter.keys()):
        gold_letters = _options_with_text(gold, options_by_letter)
        if len(gold_letters) != 1:
            return None
    chosen = _chosen_letters(answer, options_by_letter, len(gold_letters) > 1)
    if not chosen and options_by_letter:
        chosen = _options_with_value(answer, options_by_letter, compare_values)
    if isinstance(chosen, str):
        return None, chosen
    if not chosen:
        return (False, "none of the options") if options_by_letter and words(answer) else (None, "no option recognised")
    if (
        gold != answer
        and gold.isalpha()
        and answer.isalpha()
        and 1 < len(gold) == len(answer)
        and not options_by_letter
    ):
        return None, "letters in another order"  # AB and BA may be products or moves
    if len(chosen) > 1 and len(gold_letters) == 1:
        return False, "more than one answer"
    return chosen == gold_letters, "choice"


def _options_with_text(text: str, options_by_letter: dict[str, str]) -> frozenset[str]:
    """Return the options that are spelled as `text`; otherwise those with the same words."""
    spelled = {letter for letter, option in options_by_letter.items() if same_spelling(plain(option), text)}
    return frozenset(
        spelled or (letter for letter, option in options_by_letter.items() if same_words(plain(option), text))
    )


def _options_with_value(
    answer: str, options_by_letter: dict[str, str], compare_values: Compare
) -> frozenset[str] | str:
    """Return the option with the value of `answer`; the reason, if that is not certain."""
    verdicts = {letter: compare_values(plain(text), answer, None)[0] for letter, text in options_by_letter.items()}
    equal = frozenset(letter for letter, verdict in verdicts.items() if verdict is True)
    if len(equal) == 1:
        return equal
    return "no option recognised" if equal or (None in verdicts.values() and _is_value(answer)) else frozenset()


def _is_value(answer: str) -> bool:
    return re.search(r"[A-Za-z]{3}", answer) is None


def _chosen_letters(answer: str, options_by_letter: dict[str, str], allows_several: bool) -> frozenset[str] | str:
    """Return the letters that `answer` chooses, or the reason why that is not clear."""
    if match := _LETTER.match(answer):
        return frozenset(match[1].upper())
    if spelled := [letter for letter, text in options_by_letter.items() if same_spelling(plain(text), answer)]:
        return frozenset(spelled) if len(spelled) == 1 else "more than one option"
    if _LETTERS.match(answer):
        return frozenset(re.findall(r"[A-J]", answer))
    if (elsewhere := _CHOSEN_ELSEWHERE.search(answer)) is not None:
        return frozenset(elsewhere[1])
    decided = {match[1] or match[2] for match in _DECIDED.finditer(answer)}
    is_certain = not (_DOUBT.search(answer) or _UNCERTAIN.search(answer) or answer.endswith("?"))
    if len(decided) == 1 and is_certain:
        return frozenset(decided)
    if len(equal_options := _options_with_text(answer, options_by_letter)) == 1:
        return equal_options
    if _NO_CHOICE.match(answer):
        return "no option recognised"
    if (match := _LETTER_FIRST.match(answer)) is not None:
        letter, text = (match[1] or match[2]).upper(), match[3]
        others = {
            match_letter.upper() for match_letter in (*_NAMED_LETTER.findall(text), *_NEXT_LETTER.findall(text))
        } - {letter}
        if _DOUBT.match(text) or (others and not _DENIAL.search(text)):
            return frozenset({letter, *others}) if others else "more than one answer"
        if re.match(r"[\s,;]*(?:and )?(?:not|rather than|instead of|but not)\s\(?[A-J]\b", text):
            return frozenset({letter})
        if _DENIAL.match(re.sub(r"^\W*(?:is|it's|are)?\s*", "", text)):
            return "it says which option is not right"
        options_in_text = _options_with_text(plain(text), options_by_letter)
        return (
            "letter and text of different options"
            if options_in_text and letter not in options_in_text
            else frozenset({letter})
        )
    if _DENIAL.search(answer):
        return "it says which option is not right"
    if answer.endswith("?") or _SUPPOSED.match(answer):
        return "not one option for certain"
    named_letters = {letter.upper() for letter in _NAMED_LETTER.findall(answer)} or set(_LONE_LETTER.findall(answer))
    if not named_letters:
        padded = f" {normal(answer)} "
        texts = {letter: f" {normal(text)} " for letter, text in options_by_letter.items() if normal(text)}
        matches = {letter: text for letter, text in texts.items() if text in padded}
        # An option is not named if its text is only a part of a longer option's text.
        named_letters = {
            letter
            for letter, text in matches.items()
            if not any(text in matches[other] for other in matches if other != letter)
        }
    if _DOUBT.search(answer) and not allows_several and len(named_letters) < 2:
        return "not one option for certain"
    return frozenset(named_letters)


def compare_boolean(gold: str, answer: str) -> Verdict | None:
    """Do `answer` and `gold` agree on yes or no? None if `gold` says neither."""
    gold_meaning = says(gold)
    if gold_meaning is None:
        return None
    answer_meaning = says(answer)
    return (
        (None, "neither yes nor no for certain")
        if answer_meaning is None
        else (answer_meaning == gold_meaning, "yes or no")
    )


def says(value: str) -> bool | None:
    """Return True for yes and False for no; None for neither, both or a doubt.

    The first word decides: "No, because …" says no.
    """
    if _YES_AND_NO.match(value):
        return None
    meanings = [
        (match.start(), _MEANINGS[match[2].lower()] != bool(match[1])) for match in _YES_OR_NO.finditer(value[:2_000])
    ]
    if not meanings:
        first_word = _FIRST_WORD.match(value)
        return _MEANINGS_ELSEWHERE.get(first_word[1].lower()) if first_word else None
    start, meaning = meanings[0]
    if value[:start].strip(" *_\"'`(") == "" and not re.match(r"\w+\s+(?:one|answer|of|solution)", value[start:]):
        return None if _DOUBT.match(value[start:].partition(" ")[2]) else meaning
    if _DOUBT.search(value) or len({meaning for _, meaning in meanings}) > 1:
        return None
    return meaning
