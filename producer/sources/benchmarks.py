"""Benchmarks by name: the data set on the hub, and its columns for question and gold.

`gsm8k` is Cobbe et al. 2021 (arXiv:2110.14168), `math-500` the subset of MATH by Lightman et al. 2023
(arXiv:2305.20050), `svamp` Patel et al. 2021 (arXiv:2103.07191).
"""

from collections.abc import Mapping
from typing import NamedTuple


class Benchmark(NamedTuple):
    """A SOURCE, and its columns as our column → their column."""

    source: str
    mapping: Mapping[str, str]


#: The test sets with a short name.
BENCHMARKS = {
    "gsm8k": Benchmark("hf:openai/gsm8k:main:test", {"question": "question", "gold": "answer"}),
    "math-500": Benchmark("hf:HuggingFaceH4/MATH-500:test", {"question": "problem", "gold": "answer"}),
    "svamp": Benchmark("hf:ChilleD/SVAMP:test", {"question": "question_concat", "gold": "Answer"}),
}
