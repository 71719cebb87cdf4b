"""Parameters that a server of the OpenAI protocol does not take, learned from its refusals.

Some servers know `max_tokens` only by its newer name, take no temperature, or give one sample a request. Their refusal
(status 400 or 422) names the parameter. It is adapted once, and the request is sent again.
"""

import logging
import re
from typing import Any

log = logging.getLogger(__name__)

#: The newer name of `max_tokens` in the protocol. Servers of some reasoning models take no other.
NEW_LIMIT = "max_completion_tokens"
#: Parameters without which an answer is still an answer to the question.
OPTIONAL = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "stream_options",
)
_REFUSED = re.compile(
    r"unsupported|not? (?:longer )?support|n't support|unrecogni[sz]ed|unknown|unexpected|not (?:permitted|allowed)"
    r"|only the default|extra inputs|deprecated|cannot be (?:used|set)",
    re.IGNORECASE,
)
_ONE_SAMPLE = re.compile(
    r"(?<![\w.])['\"`]?n['\"`]?(?: ?[=>] ?1\b| (?:must|should|can|may|param|value|is not)\b| ?:)"
    r"|multiple (?:choices|completions)",
    re.IGNORECASE,
)


class Dialect:
    """What one server takes, as far as its refusals have shown."""

    def __init__(self) -> None:
        self._renames_limit = False
        self._untaken: set[str] = set()
        #: The server gives one sample a request.
        self.is_single = False

    def adapted(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request without the parameters that the server does not take."""
        adapted = {name: value for name, value in request.items() if name not in self._untaken}
        if self._renames_limit and "max_tokens" in adapted:
            adapted[NEW_LIMIT] = adapted.pop("max_tokens")
        if self.is_single:
            adapted.pop("n", None)
        return adapted

    def learn(self, refusal: str, sent: dict[str, Any]) -> bool:
        """Learn from the refusal of a request. Returns whether another request may be taken."""
        if "max_tokens" in sent and NEW_LIMIT in refusal:
            self._renames_limit = True
            return True
        if sent.get("n", 1) > 1 and _ONE_SAMPLE.search(refusal):
            self.is_single = True
            return True
        if not _REFUSED.search(refusal):
            return False
        for name in OPTIONAL:
            if name in sent and re.search(rf"(?<!\w){name}(?!\w)", refusal):
                if name not in self._untaken:
                    log.warning("the server takes no %s, so it is left out from now on: %s", name, refusal)
                self._untaken.add(name)
                return True
        return False
