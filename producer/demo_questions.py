"""Easy arithmetic for a small model: the alternating sums and word problems of the demo and the benchmarks."""

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from producer.sources import Question, open_source
from tracemill.text import fingerprint

#: Four worked examples that show the form of an answer.
EXAMPLES = Path(__file__).parent / "demo_examples.jsonl"
#: The two sources, half of the questions each: {size} questions generated from {seed}.
SUMS = "gym:chain_sum?min_terms=2&max_terms=3&min_digits=1&max_digits=2&size={size}&seed={seed}"
WORDS = "words:?size={size}&seed={seed}&split={split}"


def mixed(count: int, *, seed: int, split: str, known: Collection[str] = ()) -> Iterator[Question]:
    """Build distinct questions that alternate between sums and word problems.

    `known`: fingerprints of questions to leave out.
    """
    seen = set(known)

    def distinct(source: str, n_questions: int) -> list[Question]:
        questions: list[Question] = []
        for item in open_source(source, mapping={}):
            if (
                len(questions) < n_questions
                and isinstance(item, Question)
                and (key := fingerprint(item.text)) not in seen
            ):
                seen.add(key)
                questions.append(item)
        return questions

    half = count // 2
    sums = distinct(SUMS.format(size=2 * half, seed=seed), half)
    words = distinct(WORDS.format(size=count - half, seed=seed, split=split), count - half)
    for pair in zip(sums, words, strict=False):
        yield from pair
    yield from islice(words, len(sums), None)
