"""What an objective learns from."""

from typing import NamedTuple


class Wants(NamedTuple):
    """Pairs of a right and a wrong trace instead of single ones; stored log-probabilities with each trace."""

    pairs: bool
    logprobs: bool


def wants(objective: str) -> Wants:
    """What the objective of this name learns from."""
    return Wants(pairs=objective == "preference", logprobs=objective == "logits")
