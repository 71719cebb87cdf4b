"""Words, when the answer is a name or a sentence: equal in all but the spelling, or surely something else.

Synonyms are for the LLM verifier: two texts that merely differ are undecided.
"""

import re
import unicodedata
from datetime import date

_ARTICLES = frozenset(("a", "an", "the"))
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|without|or|either|maybe|perhaps|possibly|might|except)\b|n't", re.IGNORECASE
)
_COPULA = frozenset(("is", "are", "was", "were", "be", "called", "named", "answer", "by", "equals", "becomes"))
#: Things of one sort, of which two different ones are never the same.
_SORTS = tuple(frozenset(words.split()) for words in (
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
_MONTHS = {name: place for place, name in enumerate(
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


def tokens(value: str) -> list[str]:
    """Lower-case words without accents, articles and punctuation."""
    folded = unicodedata.normalize("NFKD", value.casefold()).replace("’", "'")
    folded = "".join(char for char in folded if not unicodedata.combining(char))
    return [word.removesuffix("'s") for word in _TOKEN.findall(folded) if word not in _ARTICLES]


def normal(value: str) -> str:
    """`tokens` as one text; two texts that have the same are equal in all but their spelling."""
    return " ".join(tokens(value))


def compare_text(gold: str, answer: str, question: str | None) -> Verdict:
    """Is it the same text? False only for two things that are surely different."""
    wanted, given = tokens(gold), tokens(answer)
    if not given:
        return None, "nothing to compare"
    if wanted == given or "".join(wanted) == "".join(given):
        return True, "same text"
    if not _NEGATION.search(gold) and not _NEGATION.search(answer):
        if sorted(_listed(gold)) == sorted(_listed(answer)) and len(_listed(gold)) > 1:
            return True, "same text"
        if len(given) > len(wanted) and given[-len(wanted) :] == wanted and given[-len(wanted) - 1] in _COPULA:
            return True, "same text"
    if len(wanted) == len(given) == 1:
        both = {wanted[0], given[0]}
        asked = set(tokens(question[-5_000:])) if question else set()
        if any(both <= sort for sort in _SORTS) or both <= asked:
            return False, "a different one"
    return None, "different text"


def _listed(value: str) -> list[str]:
    return [normal(part) for part in re.split(r"[,;]\s?(?:and\s)?|\sand\s|\s?&\s?", value.strip("{}() "))]


def special(value: str) -> str | None:
    r"""The name of a value that is written in words or symbols: "no solution" and ``\emptyset`` are both "nothing"."""
    value = value.strip(" .!")
    if len(value) > 80:
        return None
    return next((name for name, pattern in _SPECIAL if pattern.fullmatch(value)), None)


def compare_calendar(gold: str, answer: str) -> Verdict | None:
    """Dates and times of day; None if either is something else."""
    if (wanted := _date(gold)) is not None and (given := _date(answer)) is not None:
        years = {day[0] for day in (*wanted, *given)} - {0}
        same = {day[1:] for day in wanted} & {day[1:] for day in given}
        if not same or len(years) > 1:
            return False, "date"
        return (True, "date") if len(wanted) == len(given) == 1 else (None, "a date that can be read in two ways")
    if ":" not in gold + answer and not _CLOCK_WORD.search(gold + " " + answer):
        return None
    time, other = _clock(gold), _clock(answer)
    if time is None or other is None:
        return None
    halves = time[1] is not None, other[1] is not None
    if time[0] == other[0]:
        return (True, "time of day") if time[1] == other[1] or not all(halves) else (False, "time of day")
    if all(halves) or not any(halves):
        return _full(time) == _full(other), "time of day"
    known, bare = (time, other) if halves[0] else (other, time)
    return _full(known) == bare[0], "time of day"


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


def _full(time: tuple[tuple[int, int, int], str | None]) -> tuple[int, int, int]:
    (hour, minute, second), half = time
    return (hour % 12 + 12 * (half == "p") if half else hour, minute, second)


def _date(value: str) -> list[tuple[int, int, int]] | None:
    """Every (year or 0, month, day) that the date can mean."""
    for pattern in _DATES:
        if (match := pattern.match(value.strip())) is None:
            continue
        found = match.groupdict()
        year = int(found.get("year") or 0)
        if "either" in found:
            first, second = int(found["either"]), int(found["other"])
            pairs = {(first, second), (second, first)}
        else:
            month = int(found["number"]) if "number" in found else _MONTHS[found["month"][:3].lower()]
            pairs = {(month, int(found["day"]))}
        days = [(year, month, day) for month, day in sorted(pairs) if _exists(year or 2000, month, day)]
        return days or None
    return None


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
