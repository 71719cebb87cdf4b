"""The filters of a list of questions. They live in the address of the page, so that a view can be shared."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tracemill.scores import NUMERIC

VERDICTS = ("right", "wrong", "undecided", "unverified")
#: Scores with a range: name and description are in `tracemill.scores`, except those of the judge and of the question.
RANGED = (*NUMERIC, "faithfulness", "coherence", "tokens_out")
#: The longest text to search for.
MAX_SEARCH = 200


@dataclass(frozen=True)
class Filters:
    """A question passes if one of its traces passes all filters. An empty filter is off."""

    verdict: str = ""
    #: yes or no.
    accepted: str = ""
    score: str = ""
    low: float = -math.inf
    high: float = math.inf
    #: The method or one of its variants.
    method: str = ""
    #: A part of the trace or of the question, in any case.
    text: str = ""

    @property
    def is_active(self) -> bool:
        """Whether any filter is on."""
        return bool(self.verdict or self.accepted or self.score or self.method or self.text)

    def as_query(self) -> dict[str, str]:
        """The filters that are on, as parameters of an address."""
        default = asdict(Filters())
        return {
            name: f"{value:g}" if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if value != default[name]
        }


def read_filters(query: Mapping[str, str]) -> Filters:
    """The filters in the parameters of an address. Unknown values switch a filter off."""

    def choice(name: str, choices: tuple[str, ...]) -> str:
        return query.get(name, "") if query.get(name) in choices else ""

    return Filters(
        verdict=choice("verdict", VERDICTS),
        accepted=choice("accepted", ("yes", "no")),
        score=choice("score", RANGED),
        low=_number(query.get("low"), -math.inf),
        high=_number(query.get("high"), math.inf),
        method=_search(query.get("method", "")),
        text=_search(query.get("text", "")),
    )


def _search(text: str) -> str:
    """A text to search for, without control characters and marks of direction."""
    return "".join(char for char in text[:MAX_SEARCH] if char.isprintable()).strip()


def _number(text: str | None, default: float) -> float:
    try:
        number = float(text or "")
    except ValueError:
        return default
    return default if math.isnan(number) else number
