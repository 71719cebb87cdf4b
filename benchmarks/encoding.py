"""The CPU time for the log-probabilities of a token in a generate worker, from vLLM's lists to the stored bytes.

The answers are made up: token ids are log-uniform over a vocabulary of 151,936, and neighbours do not depend on each
other as in real text. Four of five sampled tokens are the likeliest.
"""

import os
import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks.common import main
from tracemill.engines.vllm_logprobs import top_k
from tracemill.logprobs import decode, encode

VOCABULARY, TOKENS, ANSWERS = 151_936, 1000, 8
REPEATS = 7


def measure(quick: bool) -> dict[str, float]:
    """Microseconds of CPU time a token, the best of several runs each: noise can only slow a run down."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures: dict[str, float] = {}
    for k in (8, 20):
        answers = [_answer(random.Random(seed), k) for seed in range(1 if quick else ANSWERS)]
        tops = [top_k(chosen, flat) for chosen, flat in answers]
        encoded = [encode(top) for top in tops if top]
        figures[f"read_us_at_{k}"] = _us_a_token(lambda answer: top_k(*answer), answers)
        figures[f"encode_us_at_{k}"] = _us_a_token(encode, tops)
        figures[f"decode_us_at_{k}"] = _us_a_token(decode, encoded)
        figures[f"bytes_at_{k}"] = sum(map(len, encoded)) / TOKENS / len(encoded)
    return figures


def _us_a_token(work: Callable[[Any], object], inputs: list[Any]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for each in inputs:
            work(each)
        best = min(best, time.process_time() - start)
    return best / TOKENS / len(inputs) * 1e6


def _answer(rng: random.Random, k: int) -> tuple[list[int], Any]:
    """The sampled tokens of an answer, and their log-probabilities as vLLM lists them: the sampled token first."""
    chosen: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    ids: list[int] = []
    logprobs: list[float] = []
    for _ in range(TOKENS):
        likely = list(dict.fromkeys(int(VOCABULARY ** rng.random()) for _ in range(4 * k)))[:k]
        values = sorted((-rng.expovariate(0.15) for _ in likely), reverse=True)
        index = 0 if rng.random() < 0.8 else rng.randrange(k)
        starts.append(len(ids))
        ids += [likely[index], *likely]
        logprobs += [values[index], *values]
        ends.append(len(ids))
        chosen.append(likely[index])
    return chosen, SimpleNamespace(start_indices=starts, end_indices=ends, token_ids=ids, logprobs=logprobs)


if __name__ == "__main__":
    main("encoding", measure)
