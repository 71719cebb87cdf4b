"""Self-consistency: a vote over the answers of one question's samples.

From Wang et al. 2022, arXiv:2203.11171. A vote is no gold answer: verdicts record it as a vote.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.kinds import Kind

MAX_GROUPS = 32  # an answer is compared with the first answers of at most 32 groups


class Vote(NamedTuple):
    """Votes for one answer among `of` samples, and votes for its strongest rival."""

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
        """Share of the samples that gave this answer, 0 to 1."""
        return self.votes / self.of

    @property
    def margin(self) -> float:
        """Share of this answer minus the share of its strongest rival, -1 to 1."""
        return (self.votes - self.rival) / self.of


def groups(answers: Sequence[str], kind: Kind) -> list[int]:
    """Return a group number for each answer; answers with one meaning share it.

    Call it through `pool.CheckPool`.
    """
    representatives: list[str] = []
    group_numbers: dict[str, int] = {}
    for answer in answers:
        if answer in group_numbers:
            continue
        equal_groups = (
            group
            for group, representative in enumerate(representatives[:MAX_GROUPS])
            if compare(representative, answer, kind)[0] is True
        )
        if (number := next(equal_groups, None)) is None:
            number = len(representatives)
            representatives.append(answer)
        group_numbers[answer] = number
    return [group_numbers[answer] for answer in answers]


def count(groups: Sequence[int | None]) -> list[Vote | None]:
    """Return the vote for the group of each sample.

    A sample without an answer (group None) has no vote, but it counts as a sample.
    """
    sizes = Counter(group for group in groups if group is not None)
    return [
        None
        if group is None
        else Vote(sizes[group], len(groups), max((size for other, size in sizes.items() if other != group), default=0))
        for group in groups
    ]
