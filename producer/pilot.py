"""A pilot: the same sampled questions for several arms, each an ordinary job with the name PILOT:ARM.

An arm is a model alias, a method and a temperature. The same command draws the same questions again, so it resumes an
interrupted pilot. A pilot with more questions keeps the earlier ones where the strata allow it.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from producer.job_request import JobRequest, SourceSpec
from producer.opening import Reading, job_spec, origin_job, store_questions, unseen
from producer.sources import Problem, Question, open_source
from tracemill.errors import UsageError
from tracemill.text import content_hash

#: Columns of a source that hold the difficulty of a question. The first one that a question has counts.
DIFFICULTY = ("difficulty", "level")
#: Strata at most. More values than this are a scale, and the sample is not stratified.
MAX_STRATA = 12
#: The smallest sample with a useful interval.
MIN_QUESTIONS = 5


@dataclass
class Sample:
    """The questions of a pilot, drawn from a source."""

    questions: list[Question] = field(default_factory=list)
    #: Content hashes of `questions` (`tracemill.text.content_hash`), in the same order.
    hashes: list[str] = field(default_factory=list)
    #: Readable questions of the source, and its other rows.
    n_source: int = 0
    n_left_out: int = 0
    #: Sampled questions by difficulty; empty if the difficulties are not known.
    strata: dict[str, int] = field(default_factory=dict)


def draw(rows: Iterable[Question | Problem], dataset: str, size: int, seed: int) -> Sample:
    """Draw a sample in one pass and in constant memory; each difficulty has its share of the source.

    A question's hash and the seed decide, so the order of the source does not matter.
    """
    strata: dict[str, _Smallest] = {}
    every, counts = _Smallest(size), dict[str, int]()
    sample = Sample()
    for row in rows:
        if isinstance(row, Problem):
            sample.n_left_out += 1
            continue
        sample.n_source += 1
        question_hash = content_hash(dataset, row.text, row.gold)
        order = int(content_hash(str(seed), question_hash), 16)
        every.add(order, question_hash, row)
        if len(counts) <= MAX_STRATA:
            difficulty = next((str(row.meta[name]) for name in DIFFICULTY if name in row.meta), "unknown")
            counts[difficulty] = counts.get(difficulty, 0) + 1
            strata.setdefault(difficulty, _Smallest(size)).add(order, question_hash, row)
    is_stratified = 2 <= len(counts) <= MAX_STRATA
    shares = allocate(counts, size) if is_stratified else {}
    chosen = [each for name, share in shares.items() for each in strata[name].first(share)]
    for question_hash, question in chosen if is_stratified else every.first(size):
        sample.hashes.append(question_hash)
        sample.questions.append(question)
    sample.strata = {name: share for name, share in sorted(shares.items()) if share}
    return sample


def allocate(counts: dict[str, int], size: int) -> dict[str, int]:
    """Divide `size` in proportion to the counts, by the largest remainders. No part exceeds its count.

    >>> allocate({"easy": 70, "hard": 30}, 5), allocate({"easy": 2, "hard": 1}, 50)
    ({'easy': 4, 'hard': 1}, {'easy': 2, 'hard': 1})
    """
    whole = sum(counts.values())
    size = min(size, whole)
    shares = {name: size * count // whole for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(size * counts[name] % whole), name))
    for name in by_remainder[: size - sum(shares.values())]:
        shares[name] += 1
    return shares


class _Smallest:
    """The questions with the smallest orders, at most `size`, each once."""

    def __init__(self, size: int) -> None:
        self._size = size
        #: (negative order, hash, question): the largest order is the first entry.
        self._heap: list[tuple[int, str, Question]] = []
        self._hashes: set[str] = set()

    def add(self, order: int, question_hash: str, question: Question) -> None:
        if question_hash in self._hashes:
            return
        entry = (-order, question_hash, question)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            self._hashes.discard(heapq.heapreplace(self._heap, entry)[1])
        else:
            return
        self._hashes.add(question_hash)

    def first(self, count: int) -> Iterator[tuple[str, Question]]:
        for _, question_hash, question in sorted(self._heap, reverse=True)[:count]:
            yield question_hash, question


def requests_of_arms(
    base: JobRequest, models: Sequence[str], methods: Sequence[str], temperatures: Sequence[float]
) -> list[JobRequest]:
    """The requests of all arms. `base` has the settings that all arms share, and the pilot's name.

    Without temperatures each arm has that of its model.
    """
    requests: dict[str, JobRequest] = {}
    choices: Sequence[float | None] = temperatures or [None]
    for model, method, temperature in product(models, methods, choices):
        sampling, arm = base.sampling, f"{model}-{method}"
        if temperature is not None:
            sampling, arm = sampling.model_copy(update={"temperature": temperature}), f"{arm}-t{temperature:g}"
        name = f"{base.name}:{arm}"
        requests[name] = replace(base, name=name, model=model, method=method, sampling=sampling)
    return list(requests.values())


def open_pilot(requests: Sequence[JobRequest], size: int, seed: int, reading: Reading = unseen) -> Sample:
    """Draw the sample and open the job of each arm, or resume them. All requests have the same source.

    Raises UsageError for wrong settings of any arm before anything is stored.
    """
    source = requests[0].source
    if origin_job(source.address) is not None:
        raise UsageError(f"{source.address}: a pilot draws its questions from a source, not from another job")
    specs = [job_spec(request) for request in requests]
    sample = _drawn(source, size, seed, reading)
    if len(sample.questions) < MIN_QUESTIONS:
        raise UsageError(
            f"{source.address}: {len(sample.questions)} readable questions in it, and a pilot needs {MIN_QUESTIONS}"
        )
    for spec in specs:
        store_questions(source, spec, rows=sample.questions)
    return sample


def _drawn(source: SourceSpec, size: int, seed: int, reading: Reading) -> Sample:
    rows = open_source(source.address, mapping=source.mapping, limit=source.limit)
    with reading(source) as report:
        return draw(_counted(rows, report), source.name, size, seed)


def _counted(rows: Iterable[Question | Problem], report: Callable[[int], None]) -> Iterator[Question | Problem]:
    for number, row in enumerate(rows, 1):
        if number % 1000 == 0:
            report(number)
        yield row
