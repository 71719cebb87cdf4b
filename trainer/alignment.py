"""Scores of a teacher in the tokens of a student with another vocabulary: both are compared as bytes.

A position is aligned where a token of the one and a token of the other are the same bytes at the same offset of the
text. There the teacher's likeliest tokens that the student has too, byte for byte, keep their log-probabilities. All
other tokens are one outcome, as always.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

from tracemill.logprobs import TopK

#: Stands for the end of a turn, whatever token a model ends it with.
END = b"\0end of turn"
#: The mark of a space in tokens of byte-level tokenizers, and of others.
BYTE_SPACE, SPACE = "Ġ", "▁"


def token_bytes(tokenizer: Any, end: int) -> dict[int, bytes]:
    """The bytes of each token by its id; `END` for the token `end`. Other special tokens are left out."""
    vocabulary = tokenizer.get_vocab()
    is_byte_level = BYTE_SPACE in vocabulary
    of_char = {char: byte for byte, char in bytes_to_unicode().items()}
    added = tokenizer.added_tokens_decoder
    pieces = {}
    for token, index in vocabulary.items():
        if index in added:
            if not added[index].special:
                pieces[index] = added[index].content.encode()
        elif is_byte_level:
            pieces[index] = bytes(of_char[char] for char in token)
        elif len(token) == len("<0x00>") and token.startswith("<0x"):
            pieces[index] = bytes([int(token[3:5], 16)])
        else:
            pieces[index] = token.replace(SPACE, " ").encode()
    return pieces | {end: END}


class Alignment:
    """The tokens of a student and of a teacher, by their bytes."""

    def __init__(self, student: Mapping[int, bytes], teacher: Mapping[int, bytes]) -> None:
        self._student, self._teacher = student, teacher
        of_student = {piece: token for token, piece in student.items()}
        #: The student's token with the same bytes, by the teacher's.
        self._shared = {token: of_student[piece] for token, piece in teacher.items() if piece in of_student}

    def aligned(self, tokens: Sequence[int], stored: TopK) -> TopK:
        """The teacher's scores at the student's `tokens` of the same text; a position that is not aligned has none."""
        ours, theirs = (
            [pieces.get(token, b"") for token in sequence]
            for pieces, sequence in ((self._student, tokens), (self._teacher, stored.chosen))
        )
        both = list(zip(b"".join(ours), b"".join(theirs), strict=False))
        n_common = next((offset for offset, (a, b) in enumerate(both) if a != b), len(both))
        index_at = dict(zip(accumulate(map(len, theirs), initial=0), range(len(theirs)), strict=False))
        ids, logprobs = stored.ids, stored.logprobs
        rows, end = [], 0
        for token, piece in zip(tokens, ours, strict=True):
            index, end = index_at.get(end), end + len(piece)
            row: dict[int, float] = {}
            if piece and index is not None and theirs[index] == piece and end <= n_common:
                pairs = zip(ids[index], logprobs[index], strict=True)
                row = {self._shared[each]: logprob for each, logprob in pairs if each in self._shared}
            rows.append((token, row))
        return TopK.of(rows)
