"""Preview of a round: its examples are chosen, rendered and counted as for training, but not stored."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from db.session import engine
from tracemill.settings import model, settings
from tracemill.weights import resolve
from trainer.experts import unquantised_bytes
from trainer.rows import Reader, Row, Trace, learnt_text
from trainer.select.choose import BATCH, Selection, choose
from trainer.select.lengths import Lengths
from trainer.spec import RoundSpec, with_row_limit
from trainer.submit import checked

#: The most examples, and pairs of overlapping questions, that a preview shows.
EXAMPLES, OVERLAPS = 3, 100


@dataclass(frozen=True)
class Part:
    """A part of a rendered example, with its special tokens as text."""

    text: str
    #: Whether it has a loss; otherwise the student only reads it.
    learnt: bool


@dataclass(frozen=True)
class Rendered:
    """An example as the student will see it."""

    trace_id: int
    stage: int
    #: `sft`, or `chosen` and `rejected`.
    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Limit:
    """A limit of tokens, and what it leaves out."""

    #: The key to raise.
    limit: str
    #: Its value; None is the end of the model's context.
    value: int | None
    rows: int
    #: A value that would leave out none; None if it is not known.
    enough: int | None


@dataclass(frozen=True)
class Preview:
    """The expected counts and first examples of a round."""

    selection: Selection
    #: The student's tokens of all examples, prompts and answers, in one epoch.
    tokens: int
    #: The tokens among them that have a loss.
    learnt_tokens: int
    #: Examples that are longer than fit.max_tokens and will be left out; `tokens` does not count them.
    too_long: int
    #: The limits that leave out rows.
    limits: list[Limit]
    #: Bytes of the student's experts that stay in bfloat16 although the base is held in NF4.
    unquantised_bytes: int
    #: Expected seconds of training, by the speed of an earlier round of this student; None without such a round.
    seconds: float | None
    measured_in: str | None
    #: The first examples; the order is random.
    examples: list[Rendered]
    #: Pairs of questions that overlap, the least similar first.
    overlaps: list[dict[str, Any]]


def preview(spec: RoundSpec, report: Callable[[int, int], None] = lambda done, of: None) -> Preview:
    """Choose and render in a transaction that is rolled back.

    `report` receives the number of rendered examples and of all. Raises the errors of queueing and selecting.
    """
    spec = with_row_limit(spec)
    with engine().connect() as connection, connection.begin() as transaction:
        prompt_hash = checked(connection, spec)
        lengths = Lengths(connection, spec, prompt_hash)
        selection = choose(connection, spec, lengths)
        rendering = _Rendering(lengths.reader, spec.fit.max_tokens)
        for batch in connection.execute(Q["chosen_texts"], execution_options={"yield_per": BATCH}).partitions(BATCH):
            rendering.add(batch)
            report(rendering.examples, selection.examples)
        overlaps = connection.execute(Q["overlapping_questions"], {"most": OVERLAPS}).mappings()
        speed = connection.execute(
            Q["measured_pace"], {"student": spec.student, "objective": spec.fit.objective}
        ).one_or_none()
        result = Preview(
            selection=selection,
            tokens=sum(rendering.tokens.values()),
            learnt_tokens=rendering.learnt,
            too_long=rendering.too_long,
            limits=[*_limits_of_jobs(connection, spec), *rendering.limits()],
            unquantised_bytes=unquantised_bytes(_student(spec)) if spec.fit.quantisation == "nf4" else 0,
            seconds=_seconds(spec, rendering.tokens, speed.tokens_per_second) if speed else None,
            measured_in=speed.name if speed else None,
            examples=rendering.shown,
            overlaps=[dict(row) for row in overlaps],
        )
        transaction.rollback()
    return result


def _limits_of_jobs(connection: Connection, spec: RoundSpec) -> list[Limit]:
    """The longest answers of the jobs with traces that were cut off."""
    if not spec.select.finished:
        return []
    rows = connection.execute(Q["cut_off_traces"], {"jobs": spec.select.jobs})
    return [Limit(f"max_tokens of job {row.name}", row.max_tokens, row.traces, None) for row in rows]


def _student(spec: RoundSpec) -> str:
    return resolve(model(spec.student).model, settings().data_dir)


def _seconds(spec: RoundSpec, tokens: dict[int, int], tokens_per_second: float) -> float:
    epochs = spec.curriculum.epochs if spec.curriculum else [spec.fit.epochs]
    return sum(count * epochs[stage] for stage, count in tokens.items()) / tokens_per_second


def _methods(row: Any) -> list[str]:
    return [row.method] if row.rejected is None else [row.method, row.rejected_method]


class _Rendering:
    """Renders examples in batches, and keeps the sums and the first examples."""

    def __init__(self, reader: Reader, max_tokens: int | None) -> None:
        self.reader, self.max_tokens = reader, max_tokens
        self.tokens: dict[int, int] = defaultdict(int)
        self.examples = self.learnt = self.too_long = self.longest = 0
        self.shown: list[Rendered] = []

    def add(self, batch: Sequence[Any]) -> None:
        """Add rows of the query `chosen_texts`."""
        chosen = self.reader.rows(
            [Trace(row.question, learnt_text(row.text, _methods(row)), row.is_cut_off) for row in batch]
        )
        rejected = self.reader.rows(
            [
                Trace(row.question, learnt_text(row.rejected, _methods(row)), row.rejected_is_cut_off)
                for row in batch
                if row.rejected is not None
            ]
        )
        for row, right, wrong in zip_longest(batch, chosen, rejected):
            rows = {"sft": right} if wrong is None else {"chosen": right, "rejected": wrong}
            self.examples += 1
            if row.position < EXAMPLES:
                self.shown += [
                    Rendered(row.trace_id, row.stage, role, self._parts(each)) for role, each in rows.items()
                ]
            longest = max(each.tokens for each in rows.values())
            self.longest = max(self.longest, longest)
            if self.max_tokens is not None and longest > self.max_tokens:
                self.too_long += 1
                continue
            self.tokens[row.stage] += sum(each.tokens for each in rows.values())
            self.learnt += sum(len(each.completion) for each in rows.values())

    def limits(self) -> list[Limit]:
        """`fit.max_tokens` if rows are longer."""
        return [Limit("fit.max_tokens", self.max_tokens, self.too_long, self.longest)] if self.too_long else []

    def _parts(self, row: Row) -> tuple[Part, ...]:
        decode = self.reader.tokenizer.decode
        return Part(decode(row.prompt), learnt=False), Part(decode(row.completion), learnt=True)
