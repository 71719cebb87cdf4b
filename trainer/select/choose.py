"""Selection of a round's traces: filters in Postgres, each with its count; Python only compares texts.

All of it runs in the caller's transaction, in temporary tables: `choose` alone stores nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from tracemill.errors import TracemillError
from trainer.objectives import find
from trainer.select.decontamination import Overlaps
from trainer.select.diversity import by_difference
from trainer.select.duplicates import near_duplicates
from trainer.select.lengths import Lengths
from trainer.spec import RoundSpec

#: Rows that are read from Postgres, or written to it, at a time.
BATCH = 1000


@dataclass
class Selection:
    """The counts of a selection among the traces of the named jobs."""

    #: All traces: the sum of `removed` and `kept`.
    traces: int = 0
    #: Traces that each filter removed, in the order of the filters; a filter that removed none is absent.
    removed: dict[str, int] = field(default_factory=dict)
    #: Chosen traces; a pair has two.
    kept: int = 0
    #: Chosen examples, or pairs if the objective learns from pairs.
    examples: int = 0
    #: Tokens of the chosen traces, as the teacher wrote them.
    tokens: int = 0
    #: Examples of each difficulty (easy, medium, hard, unknown).
    difficulties: dict[str, int] = field(default_factory=dict)
    #: Examples of each answer of choice and of yes-or-no questions ("choice A", "boolean yes").
    labels: dict[str, int] = field(default_factory=dict)
    #: Examples of each stage of the curriculum.
    stages: list[int] = field(default_factory=list)
    #: Questions that overlap one of an evaluation, by rule (exact, normalised, ngram).
    overlaps: dict[str, int] = field(default_factory=dict)


def select(connection: Connection, round_id: int, spec: RoundSpec) -> Selection:
    """Store the round's examples and exclusions in place of those of an earlier attempt.

    Raises TracemillError that names the filters when no example is left.
    """
    prompt_hash = connection.execute(Q["round_for_work"], {"round_id": round_id}).mappings().one()["prompt_hash"]
    selection = choose(connection, spec, Lengths(connection, spec, prompt_hash))
    connection.execute(Q["delete_examples"], {"round_id": round_id})
    connection.execute(Q["store_examples"], {"round_id": round_id})
    connection.execute(Q["store_exclusions"], {"round_id": round_id})
    return selection


def choose(connection: Connection, spec: RoundSpec, lengths: Lengths) -> Selection:
    """Fill the temporary tables `candidates` (chosen traces, in order) and `overlapping`. Raises like `select`."""
    chooser = _Chooser(connection, spec, lengths)
    selection = chooser.run()
    if selection.examples == 0:
        raise TracemillError(_nothing_left(selection, spec))
    return selection


class _Chooser:
    """One selection, filter after filter."""

    def __init__(self, connection: Connection, spec: RoundSpec, lengths: Lengths) -> None:
        self.connection, self.round, self.spec, self.lengths = connection, spec, spec.select, lengths
        self.objective = find(spec.fit.objective)
        self.selection = Selection()
        #: Traces in a row of `candidates`: two after pairing.
        self.traces_each = 1

    def run(self) -> Selection:
        """Apply every filter in turn."""
        spec, selection = self.spec, self.selection
        self._fill()
        self._overlaps()
        if not self.objective.learns_own_words:  # a text that the student samples twice is twice as likely
            self._drop("repeated", "drop_repeated")
        if spec.near_duplicates is not None:
            # Right and wrong traces are not compared: a wrong trace that nearly equals a right one makes the best pair.
            for wrong in (False, True):
                rows = self._stream("candidate_texts", wrong=wrong)
                texts = ((row.trace_id, f"{row.question}\n{row.text}") for row in rows)
                self._drop("near_duplicates", "drop_listed", traces=list(near_duplicates(texts, spec.near_duplicates)))
        if spec.prefer == "score" and (traces := self._execute("unpreferred").scalar()):
            raise TracemillError(_no_score(self.round, traces))
        if spec.prefer == "diverse":
            preferences = by_difference(self._stream("texts_to_compare"), spec.max_per_question)
            self._insert("insert_diversity", (preference._asdict() for preference in preferences))
            self._execute("prefer_diversity")
        if self.objective.pairs:
            pairs = self._execute("pair_candidates").rowcount
            self._count("unpaired", self._execute("drop_unpaired").rowcount - pairs)
            self.traces_each = 2
        if spec.max_per_question:
            self._drop("max_per_question", "drop_over_max_per_question", most=spec.max_per_question)
        if spec.balance < 1:
            limits = balanced({row.difficulty: row.examples for row in self._execute("difficulties")}, spec.balance)
            self._drop("balance", "drop_over_balance", most=json.dumps(limits))
        if spec.label_balance < 1:
            limits = balanced_labels(self._labels(), spec.label_balance)
            self._drop("label_balance", "drop_over_label_balance", most=json.dumps(limits))
        if spec.like is not None:
            self._match(spec.like)
        if spec.tokens:
            self._drop("tokens", "drop_over_tokens", most=spec.tokens)
        if spec.limit:
            self._drop("limit", "drop_over_limit", most=spec.limit)
        self._order()
        selection.kept = selection.examples * self.traces_each
        return selection

    def _fill(self) -> None:
        for statement in ("more_memory", "more_time", "drop_temporary"):
            self._execute(statement)
        for table in ("candidates", "overlaps", "diversity", "ranked"):
            self._execute(f"create_{table}")
        rows = self._execute("fill_candidates", **parameters(self.connection, self.round)).all()
        self.selection.traces = sum(row.traces for row in rows)
        for row in sorted(rows, key=lambda row: FILTERS.index(str(row.removed).partition(".")[0])):
            if row.removed is not None:
                self._count(row.removed, row.traces)
        self._execute("analyze_candidates")

    def _match(self, name: str) -> None:
        """Take as many tokens of each difficulty as the examples of round `name`, on both sides without too long rows.

        A pair is taken by its tokens alone.
        """
        limits = Counter({row.difficulty: int(row.tokens) for row in self._execute("tokens_of_round", name=name)})
        safe_bytes = None if self.objective.pairs else self.lengths.safe_bytes
        if safe_bytes is not None:
            examples = self._execute("long_examples", name=name, safe_bytes=safe_bytes).all()
            for row, is_too_long in zip(examples, self.lengths.too_long(examples), strict=True):
                limits[row.difficulty] -= row.tokens if is_too_long else 0
            short: list[int] = []
            while True:
                most = json.dumps(limits)
                rows = self._execute("long_candidates", most=most, safe_bytes=safe_bytes, short=short).all()
                if not rows:
                    break
                lengths = list(zip(rows, self.lengths.too_long(rows), strict=True))
                short += [row.trace_id for row, is_too_long in lengths if not is_too_long]
                self._drop("max_tokens", "drop_listed", traces=[row.trace_id for row, too_long in lengths if too_long])
        self._drop("like", "drop_unlike", most=json.dumps(limits))

    def _overlaps(self) -> None:
        spec = self.spec
        self._execute("find_same_questions")
        known = Overlaps(spec.ngram, spec.overlap)
        for row in self._stream("evaluation_questions"):
            known.add(row.id, row.question)
        overlaps = (
            {"question_id": row.id, "evaluation_question_id": match[0], "share": match[1]}
            for row in self._stream("candidate_questions")
            if (match := known.find(row.question))
        )
        self._insert("insert_overlap", overlaps)
        self.selection.overlaps = {row.rule: row.questions for row in self._execute("count_overlaps")}
        self._drop("overlapping", "drop_overlapping")

    def _order(self) -> None:
        selection, curriculum = self.selection, self.round.curriculum
        by, stages = (curriculum.by, len(curriculum.epochs)) if curriculum else (None, 1)
        self._execute("order_candidates", by=by, stages=stages)
        rows = self._execute("stages_of_candidates").all()
        selection.stages = [row.examples for row in rows]
        selection.examples = sum(selection.stages)
        selection.tokens = int(sum(row.tokens for row in rows))
        selection.difficulties = {row.difficulty: row.examples for row in self._execute("difficulties")}
        selection.labels = self._labels()

    def _labels(self) -> dict[str, int]:
        return {row.label: row.examples for row in self._execute("labels")}

    def _drop(self, name: str, statement: str, **values: Any) -> None:
        self._count(name, self._execute(statement, **values).rowcount * self.traces_each)

    def _count(self, name: str, traces: int) -> None:
        if traces:
            self.selection.removed[name] = self.selection.removed.get(name, 0) + traces

    def _execute(self, statement: str, /, **values: Any) -> Any:
        return self.connection.execute(Q[statement], values)

    def _insert(self, statement: str, rows: Iterable[dict[str, Any]]) -> None:
        rows = iter(rows)
        while batch := list(islice(rows, BATCH)):
            self.connection.execute(Q[statement], batch)

    def _stream(self, statement: str, **values: Any) -> Any:
        return self.connection.execute(Q[statement], values, execution_options={"yield_per": BATCH})


def parameters(connection: Connection, spec: RoundSpec) -> dict[str, Any]:
    """The parameters of the statement `fill_candidates`."""
    select, objective = spec.select, find(spec.fit.objective)
    job_ids = connection.execute(Q["teaching_jobs"], {"jobs": select.jobs}).scalars()
    listed = {name: getattr(select, name) or None for name in ("methods", "models", "domains", "datasets")}
    bounds = {"at_least": select.at_least, "at_most": select.at_most}
    thresholds = [(bound, score, limit) for bound, each in bounds.items() for score, limit in each.items()]
    return {
        "job_ids": list(job_ids),
        **select.model_dump(include={"finished", "correct", "concludes", "since", "until", "seed"}),
        **listed,
        "accepted": None if select.accepted == "any" else select.accepted,
        "thresholds": bool(thresholds),
        "bounds": [bound for bound, _, _ in thresholds],
        "scores": [score for _, score, _ in thresholds],
        "limits": [limit for _, _, limit in thresholds],
        "pairs": objective.pairs,
        "logprobs": objective.logprobs,
        "prefer": {"shortest": "tokens_out", "score": select.score}.get(select.prefer),
        "sign": 1 if select.prefer == "shortest" else -1,
    }


#: The filters of `fill_candidates` in their order.
FILTERS = (
    "negative",
    "domains",
    "datasets",
    "since",
    "until",
    "answer_text",
    "finished",
    "unverified",
    "accepted",
    "correct",
    "concludes",
    "methods",
    "models",
    "logprobs",
    "at_least",
    "at_most",
    "None",
)


def balanced(examples: dict[str, int], balance: float) -> dict[str, int]:
    """The number of examples of each difficulty that stay.

    A difficulty with r times as many examples as the middle one keeps r^balance times as many. Of two difficulties the
    smaller is the middle one.
    """
    middle = sorted(examples.values())[(len(examples) - 1) // 2] if examples else 0
    return {
        name: count if count <= middle else round(middle * (count / middle) ** balance)
        for name, count in examples.items()
    }


def balanced_labels(examples: dict[str, int], balance: float) -> dict[str, int]:
    """The number of examples of each label that stay: labels of one kind are `balanced` among themselves."""
    kinds = {label.partition(" ")[0] for label in examples}
    return {
        label: limit
        for kind in kinds
        for label, limit in balanced(
            {label: count for label, count in examples.items() if label.startswith(f"{kind} ")}, balance
        ).items()
    }


REASONS = {
    "answer_text": "have no answer after their thoughts",
    "finished": "were cut off at the longest answer: raise the job's max_tokens, or set select.finished = false",
    "unverified": "are not verified yet: is a verify worker running?",
    "accepted": "are not accepted: `trace_scores` shows the verdicts, the job's policy decides",
    "overlapping": "answer a question that is also in an evaluation: teach with other questions",
    "logprobs": "have no log-probabilities: enqueue the job with --logprobs",
    "max_tokens": "are longer than fit.max_tokens: raise it",
    "unpaired": "have no trace of the other kind, right or wrong, for their question",
}


def _nothing_left(selection: Selection, spec: RoundSpec) -> str:
    jobs = ", ".join(spec.select.jobs)
    if selection.traces == 0:
        return f"round '{spec.name}': no examples, because the jobs have no traces yet ({jobs}). Let them run first."
    reasons = (f"{count} {REASONS.get(name, f'are left out by `{name}`')}" for name, count in selection.removed.items())
    return f"round '{spec.name}': no examples. Of {selection.traces} traces ({jobs}), {'; '.join(reasons)}."


def _no_score(spec: RoundSpec, traces: int) -> str:
    return (
        f"round '{spec.name}': none of {traces} traces has the score {spec.select.score} (select.score). Name jobs "
        "whose traces have it (`tracemill enqueue … --judge ALIAS --signals SIGNAL`), or another score"
    )
