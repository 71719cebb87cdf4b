"""Compare answers in words: names, sentences, dates, times of day, "no solution".

Texts are equal if they differ only in spelling. They are different only if that is certain: two months, two colours.
All other pairs are undecided, because they may be synonyms. The LLM verifier decides them.
"""

import re
from datetime import date

from tracemill.verification.answers.spelling import same_words, words

_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|without|or|either|maybe|perhaps|possibly|might|except)\b|n't", re.IGNORECASE
)
_VERB = re.compile(r"\b(?:is|are|was|were|be|called|named|answer|by|equals|becomes):?\s", re.IGNORECASE)
_PREPOSITION = re.compile(r"(?:on|in|at|by|from|to)\s", re.IGNORECASE)
_MAX_ITEMS = 50  # of a list that is compared in any order
#: Groups of words. Two different words of one group never mean the same.
_EXCLUSIVE_WORDS = tuple(frozenset(words.split()) for words in (
    "january february march april may june july august september october november december",
    "monday tuesday wednesday thursday friday saturday sunday",
    "red orange yellow green blue purple black white brown pink gray",
    "north south east west northeast northwest southeast southwest",
    "odd even", "positive negative zero", "left right", "increasing decreasing constant", "rational irrational",
    "acute obtuse right", "convergent divergent", "converges diverges", "prime composite", "always sometimes never",
    "circle ellipse parabola hyperbola line point", "maximum minimum", "convex concave", "boy girl",
    "i ii iii iv", "spring summer autumn winter", "morning afternoon evening night",
))  # fmt: skip
_SPECIAL = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in (
    ("nothing", r"(?:there (?:is|are) )?(?:no (?:real |integer |valid |possible |such |rational |positive )*"
                r"(?:solutions?|values?|"
                r"numbers?|roots?|answers?|integers?)(?: exists?)?|(?:the )?empty set|\\emptyset|\\\{\s?\\\}|\{\s?\})"),
    ("everything", r"(?:all (?:real|reals|real numbers|real values)|"
                   r"\\mathbb\s?\{?R\}?|\\R|\(\s?-\s?\\infty\s?,\s?\+?\\infty\s?\))"),
    ("endless", r"(?:there are )?(?:infinitely many|an infinite number of|infinite)(?: solutions?| values?)?"),
    ("undefined", r"(?:(?:it |the limit )?does not exist|dne|undefined|(?:is )?not defined)"),
))  # fmt: skip
_MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
)}  # fmt: skip
_MONTH = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6})\.?"
_DATES = tuple(re.compile(pattern, re.IGNORECASE) for pattern in (
    rf"(?:\w{{3,6}}day,?\s)?{_MONTH}\s(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s(?P<year>\d{{4}}))?$",
    rf"(?:\w{{3,6}}day,?\s)?(?:the\s)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\sof)?\s{_MONTH}(?:,?\s(?P<year>\d{{4}}))?$",
    r"(?P<year>\d{4})[-/](?P<number>\d{1,2})[-/](?P<day>\d{1,2})$",
    r"(?P<either>\d{1,2})[/.](?P<other>\d{1,2})[/.](?P<year>\d{4})$",
))  # fmt: skip
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}))?\s?(?P<half>[ap]\.?\s?m\.?|noon|o'clock)?$",
    re.IGNORECASE,
)

Verdict = tuple[bool | None, str]


def normal(value: str) -> str:
    """Return the words of `value` as one text, equal for texts that differ only in spelling."""
    return " ".join(words(value))


def compare_text(gold: str, answer: str, question: str | None) -> Verdict:
    """Are both the same text? False only if they certainly mean different things."""
    gold_words, answer_words = words(gold), words(answer)
    if not answer_words:
        return None, "nothing to compare"
    if same_words(gold, answer):
        return True, "same text"
    if not _NEGATION.search(gold) and not _NEGATION.search(answer) and _has_same_items(gold, answer):
        return True, "same text"
    if _is_told(gold, answer):
        return True, "same text"
    if len(gold_words) == len(answer_words) == 1:
        word_pair = {gold_words[0], answer_words[0]}
        question_words = set(words(question[-5_000:])) if question else set()
        if any(word_pair <= exclusive for exclusive in _EXCLUSIVE_WORDS) or word_pair <= question_words:
            return False, "a different one"
    return None, "different text"


def _has_same_items(gold: str, answer: str) -> bool:
    """Are both lists with the same items, in any order? A list in round brackets has an order."""
    gold_items, answer_items = _list_items(gold), _list_items(answer)
    if not 1 < len(gold_items) == len(answer_items) <= _MAX_ITEMS:
        return False
    if gold.startswith("(") or answer.startswith("("):
        return all(map(same_words, gold_items, answer_items))
    for item in gold_items:
        equal = next((other for other in answer_items if same_words(item, other)), None)
        if equal is None:
            return False
        answer_items.remove(equal)
    return True


def _list_items(value: str) -> list[str]:
    return re.split(r"[,;]\s(?:and\s)?|;|,(?!\d)|\sand\s|\s?&\s?", value.strip("{}() "))


def _is_told(gold: str, answer: str) -> bool:
    """Does a sentence end in the gold text ("It was discovered by Isaac Newton")?"""
    if _NEGATION.search(gold) or _NEGATION.search(answer):
        return False
    if (preposition := _PREPOSITION.match(answer)) is not None and same_words(gold, answer[preposition.end() :]):
        return True
    verbs = list(_VERB.finditer(answer))[-3:]
    return any(same_words(gold, answer[verb.end() :]) for verb in verbs)


def special(value: str) -> str | None:
    r"""Return the name of a value in words or symbols; None if it is no such value.

    "no solution" and ``\emptyset`` are both "nothing".
    """
    value = value.strip(" .!")
    if len(value) > 80:
        return None
    return next((name for name, pattern in _SPECIAL if pattern.fullmatch(value)), None)


def compare_calendar(gold: str, answer: str) -> Verdict | None:
    """Compare dates and times of day; None if either text is something else."""
    if (gold_days := _date(gold)) is not None and (answer_days := _date(answer)) is not None:
        years = {day[0] for day in (*gold_days, *answer_days)} - {0}
        common_days = {day[1:] for day in gold_days} & {day[1:] for day in answer_days}
        if not common_days or len(years) > 1:
            return False, "date"
        return (
            (True, "date") if len(gold_days) == len(answer_days) == 1 else (None, "a date that can be read in two ways")
        )
    if ":" not in gold + answer and not _CLOCK_WORD.search(gold + " " + answer):
        return None
    gold_time, answer_time = _clock(gold), _clock(answer)
    if gold_time is None or answer_time is None:
        return None
    has_half = gold_time[1] is not None, answer_time[1] is not None
    if gold_time[0] == answer_time[0]:
        return (True, "time of day") if gold_time[1] == answer_time[1] or not all(has_half) else (False, "time of day")
    if all(has_half) or not any(has_half):
        return _on_24_hours(gold_time) == _on_24_hours(answer_time), "time of day"
    full_time, bare_time = (gold_time, answer_time) if has_half[0] else (answer_time, gold_time)
    return _on_24_hours(full_time) == bare_time[0], "time of day"


_CLOCK_WORD = re.compile(r"\d\s?(?:[ap]\.?\s?m\b|o'clock)|\bnoon\b|\bmidnight\b", re.IGNORECASE)


def _clock(value: str) -> tuple[tuple[int, int, int], str | None] | None:
    value = value.strip().lower()
    if value in ("noon", "12 noon", "midnight", "12 midnight"):
        return (12, 0, 0), "p" if "noon" in value else "a"
    match = _CLOCK.match(value)
    if match is None or int(match["hour"]) > 24 or int(match["minute"] or 0) > 59:
        return None
    half = match["half"][0] if match["half"] and match["half"][0] in "ap" else None
    return (int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0)), half


def _on_24_hours(time: tuple[tuple[int, int, int], str | None]) -> tuple[int, int, int]:
    (hour, minute, second), half = time
    return (hour % 12 + 12 * (half == "p") if half else hour, minute, second)


def _date(value: str) -> list[tuple[int, int, int]] | None:
    """Return every (year, month, day) that the date can mean.

    A missing year is 0.
    """
    for pattern in _DATES:
        if (match := pattern.match(value.strip())) is None:
            continue
        fields = match.groupdict()
        year = int(fields.get("year") or 0)
        if "either" in fields:
            first, second = int(fields["either"]), int(fields["other"])
            pairs = {(first, second), (second, first)}
        else:
            month = int(fields["number"]) if "number" in fields else _MONTHS[fields["month"][:3].lower()]
            pairs = {(month, int(fields["day"]))}
        days = [(year, month, day) for month, day in sorted(pairs) if _is_date(year or 2000, month, day)]
        return days or None
    return None


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
