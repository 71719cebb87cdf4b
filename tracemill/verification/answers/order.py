"""Compare answers of several values in order, if the question asks for an order."""

import re
from collections.abc import Callable

_MAX_QUESTION = 5_000  # characters read of a question, from its end
_MAX_ITEMS = 100  # of a list that is compared in order

_ASKED = re.compile(
    r"\bin (?:\w+ )?(?:increasing|decreasing|ascending|descending|alphabetical|chronological|numerical|reversed?|that"
    r"|this|the (?:right|correct|same|given)) order\b|\border (?:\w+ ){0,3}(?:by|from)\b|\brank(?:ed|ing)?\b"
    r"|\bsort(?:ed)?\b|\barrange\b|\bfirst,? (?:and )?second\b|\bnext (?:\w+ )?(?:terms|numbers)\b"
    r"|\b(?:cheapest|smallest|largest|lowest|highest|least|greatest|oldest|youngest|earliest|latest|fastest|slowest"
    r"|shortest|longest|nearest|lightest|heaviest|biggest|tallest) (?:\w+ )?(?:first|to)\b"
    r"|\b(?:most|least) \w+ (?:first|to)\b|\b(?:chronologic|alphabetic)ally\b"
    r"|\bfrom (?:the )?(?:most|least|\w{2,12}est)\b[^.?!]{0,40}\bto (?:the )?(?:most|least|\w{2,12}est)\b",
    re.IGNORECASE,
)
#: Words of an order in German, Dutch, Spanish, Portuguese, French, Italian, Polish, Turkish, Vietnamese, Indonesian,
#: Russian, Ukrainian, Chinese, Japanese, Korean, Arabic and Hindi.
_POSSIBLE_ELSEWHERE = re.compile(
    r"aufsteigend|absteigend|\bsortier|\bordne\b|Reihenfolge|\bvo[mn] \w+sten (?:zu[mr]|bis)|oplopend|aflopend|volgorde"
    r"|\bde (?:menor a mayor|mayor a menor|m[aá]s \w+ a (?:m[aá]s|menos)|menos \w+ a m[aá]s)\b"
    r"|\b(?:en|em|in|na) ord(?:en|em|ine) \w+|\bordena\w*|\bordina(?:re|te|i)?\b|\bdo menor (?:para|ao)|\bdal pi[uù] "
    r"|\bordre (?:d[ée])?croissant|\bpar ordre\b|\b(?:ranger?z?|classe[rz]) (?:ces|les)\b"
    r"|\bdu plus \w+ au (?:plus|moins)\b"
    r"|rosnąco|malejąco|uporządkuj|w kolejności|sırala|küçükten|büyükten|tăng dần|giảm dần|thứ tự|urutkan"
    r"|в порядке|по возрастанию|по убыванию|расположите|упорядоч|у порядку|за зростанням|за спаданням"
    r"|从小到大|从大到小|由小到大|由大到小|从高到低|从低到高|排序|排列|顺序|順に|順番|並べ|순서|순으로|رتب|ترتيب|क्रम",
    re.IGNORECASE,
)
_POSSIBLE = re.compile(
    r"\b(?:order(?:ed|ing)?|sequence|permutation|respectively|reversed?|moves|steps|route|path"
    r"|(?:came|finished|arrived|was|went) (?:first|second|last))\b"
    # x and y
    r"|\b(?:find|determine|compute|values? of|solve for) \$?[A-Za-z]\w?(?:_\{?\w\}?)?\$?(?:,? and |, ?)\$?[A-Za-z]"
    r"|分别|依次|それぞれ|각각|соответственно|jeweils",
    re.IGNORECASE,
)
_IN_ANY_ORDER = re.compile(
    r"\b(?:any|no particular|whatever|regardless of|irrespective of) (?:the )?order\b"
    r"|\border (?:does not|doesn't|is not)|beliebiger Reihenfolge|任意顺序|顺序不限|順不同|순서에 관계|cualquier orden"
    r"|n'importe quel ordre|qualquer ordem|любом порядке",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s?[,;、]\s?(?:and\s|then\s)?|\s(?:and|then)\s|\s?(?:->|→|\\to(?![a-z])|>)\s?")

Verdict = tuple[bool | None, str]


def compare_in_order(
    gold: str, answer: str, question: str | None, compare_values: Callable[[str, str, str | None], Verdict]
) -> Verdict | None:
    """Compare two lists item by item; None if the question asks for no order, or if they are no lists of one length."""
    if not question or not _SEPARATOR.search(gold) or _IN_ANY_ORDER.search(end := question[-_MAX_QUESTION:]):
        return None
    is_asked = _ASKED.search(end) is not None
    if not is_asked and not _POSSIBLE.search(end) and not _POSSIBLE_ELSEWHERE.search(end):
        return None
    gold_items, answer_items = items(gold), items(answer)
    if len(gold_items) < 2 or len(gold_items) != len(answer_items) or len(gold_items) > _MAX_ITEMS:
        return None
    verdicts = [compare_values(*pair, None)[0] for pair in zip(gold_items, answer_items, strict=True)]
    if all(verdict is True for verdict in verdicts):
        return True, "the same in order"
    if sorted(gold_items) == sorted(answer_items):
        return (False if is_asked else None), "another order"
    return (False, "another order or value") if is_asked and False in verdicts else None


def items(value: str) -> list[str]:
    """Return the items of a list, split at commas outside brackets."""
    if value[:1] in ("[", "(", "{") and value[-1:] in ("]", ")", "}"):
        value = value[1:-1]
    parts: list[str] = []
    depth = start = 0
    for match in re.finditer(rf"(?P<open>[(\[{{])|(?P<close>[)\]}}])|{_SEPARATOR.pattern}", value):
        if match["open"] or match["close"]:
            depth += 1 if match["open"] else -1
        elif depth == 0:
            parts.append(value[start : match.start()].strip())
            start = match.end()
    parts.append(value[start:].strip())
    return [part for part in parts if part]
