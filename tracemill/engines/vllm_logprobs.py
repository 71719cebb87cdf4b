"""vLLM's log-probabilities of tokens as the project stores them."""

from collections.abc import Sequence
from typing import Any

from tracemill.logprobs import TopK, floats, integers


def top_k(chosen: Sequence[int], flat: Any) -> TopK:
    """The rows of vLLM's flat log-probabilities: the likeliest tokens and the chosen one of each position."""
    import numpy as np

    ids, logprobs = integers(flat.token_ids), floats(flat.logprobs)
    starts, ends = integers(flat.start_indices), integers(flat.end_indices)
    rows = np.repeat(np.arange(len(starts)), ends - starts)
    # vLLM writes the chosen token first. Here it comes last, behind likely tokens with the same log-probability.
    order = np.arange(1, len(ids) + 1)
    order[ends - 1] = starts
    # It is left out there if it is among the likely tokens.
    is_chosen = ids == ids[starts][rows]
    is_repeated = np.bincount(rows[is_chosen], minlength=len(starts)) > 1
    order, rows = (np.delete(column, ends[is_repeated] - 1) for column in (order, rows))
    if ((np.diff(logprobs[order]) > 0) & (np.diff(rows) == 0)).any():
        order = order[np.lexsort((-logprobs[order], rows))]
    lengths = ends - starts - is_repeated
    return TopK.of_columns(integers(chosen), lengths, ids[order], logprobs[order])
