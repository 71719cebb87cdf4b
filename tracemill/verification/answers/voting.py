"""Self-consistency: which answers of one question's samples mean the same (Wang et al. 2022, arXiv:2203.11171).

A vote is no gold answer: it is recorded as a vote.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.kinds import Kind

MAX_GROUPS = 32  # answers that are compared with each other; later ones that equal none of them stand alone


class Vote(NamedTuple):
    """How many of `of` samples gave this answer, and how many gave the most frequent other one."""

    votes: int
    of: int
    rival: int

    @property
    def proof(self) -> str:
        """The vote in words: "majority 6/8", "tie 4/8" or "minority 2/8"."""
        word = "majority" if self.votes > self.rival else "tie" if self.votes == self.rival else "minority"
        return f"{word} {self.votes}/{self.of}"

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.votes / self.of

    @property
    def margin(self) -> float:
        """Share minus the share of the most frequent other answer, -1 to 1."""
        return (self.votes - self.rival) / self.of


def groups(answers: Sequence[str], kind: Kind) -> list[int]:
    """A number for each answer, the same for answers that mean the same. Call it through `pool.CheckPool`."""
    firsts: list[str] = []
    numbers: dict[str, int] = {}
    for answer in answers:
        if answer in numbers:
            continue
        same = (n for n, first in enumerate(firsts[:MAX_GROUPS]) if compare(first, answer, kind)[0] is True)
        if (number := next(same, None)) is None:
            number = len(firsts)
            firsts.append(answer)
        numbers[answer] = number
    return [numbers[answer] for answer in answers]


def count(groups: Sequence[int | None]) -> list[Vote | None]:
    """The vote for each sample's group. A sample without an answer (None) has no vote, but counts among all."""
    sizes = Counter(group for group in groups if group is not None)
    return [
        None
        if group is None
        else Vote(sizes[group], len(groups), max((size for other, size in sizes.items() if other != group), default=0))
        for group in groups
    ]
