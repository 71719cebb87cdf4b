"""The control tokens of a tokenizer, and text that merely spells them.

A question or a trace may spell `<|im_start|>`. A tokenizer would read it as the start of a turn. So such texts in data
get stand-ins while a chat template writes its own control tokens. Each stand-in is then tokenised like other text.

Covered: the special tokens of the tokenizer. Not covered: added tokens that are not special, such as thinking marks,
and prompts that a server tokenises itself.
"""

import re
from functools import lru_cache
from itertools import accumulate
from typing import Any

#: The first stand-in: a character for private use. In data, such characters become U+FFFD.
_FIRST = 0xF0000
_STAND_IN = re.compile(f"([{chr(_FIRST)}-{chr(_FIRST + 0xFFFD)}])")


class ControlTokens:
    """The special tokens of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        special = {token.content for token in added if token.special}
        self._tokenizer = tokenizer
        self._texts = sorted({*tokenizer.all_special_tokens, *special} - {""}, key=len, reverse=True)
        self._numbers = {text: chr(_FIRST + number) for number, text in enumerate(self._texts)}
        self._spelt = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")

    def hide(self, text: str) -> str:
        """The text with a stand-in for each control token that it spells."""
        if self._spelt.search(text) is None:
            return text
        return self._spelt.sub(lambda match: self._numbers[match[0]], _STAND_IN.sub("\N{REPLACEMENT CHARACTER}", text))

    def ids(self, text: str) -> list[int]:
        """The tokens of a text. Control tokens in it count, and stand-ins become ordinary tokens."""
        parts = _STAND_IN.split(text)
        return [token for part in parts if part for token in self._part(part)]

    def starts(self, text: str) -> list[int]:
        """The start of each of these tokens in the text."""
        parts = _STAND_IN.split(text)
        at = zip(parts, accumulate(map(len, parts), initial=0), strict=False)
        return [start + offset for part, start in at if part for offset in self._offsets(part)]

    def _part(self, part: str) -> list[int]:
        if (number := ord(part[0]) - _FIRST) not in range(len(self._texts)):
            return list(self._tokenizer(part, add_special_tokens=False)["input_ids"])
        spelt = self._texts[number]
        # Its first character alone is no control token, and neither is the rest.
        return [*self.ids(spelt[0]), *self.ids(self.hide(spelt[1:]))]

    def _offsets(self, part: str) -> list[int]:
        if ord(part[0]) - _FIRST in range(len(self._texts)):
            return [0] * len(self._part(part))
        encoding = self._tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
        return [start for start, _ in encoding["offset_mapping"]]


@lru_cache(maxsize=8)
def control_tokens(tokenizer: Any) -> ControlTokens:
    """The control tokens of a tokenizer, read once."""
    return ControlTokens(tokenizer)
