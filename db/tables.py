"""The tables, in the words of the documentation: question, job, trace, verdict, round, example.

Postgres holds all work; a message in Redis is never the only copy of it. The SQL that changes the state of a row is in
`sql/`, one guarded statement for each transition.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, now, one_of
from db.counts import JobCount
from db.judges import Calibration, Canary
from db.ledger import BudgetSlice, Payment
from db.liveness import CLAIMED, Leader, ModelPause, Process
from db.results import Evaluation
from tracemill.scores import SCORES

__all__ = [
    "Base",
    "BudgetSlice",
    "Calibration",
    "Canary",
    "Evaluation",
    "JobCount",
    "Leader",
    "ModelPause",
    "Payment",
    "Process",
]


class PromptRow(Base):
    """A prompt template, stored once under the hash of its content (`tracemill.prompts.Prompt.hash`)."""

    __tablename__ = "prompts"
    hash: Mapped[str] = mapped_column(primary_key=True)
    messages: Mapped[list[Any]]
    created_at: Mapped[datetime] = now()


class Model(Base):
    """The settings of a model alias that shape its answers, stored once under their hash (`ModelSettings.hash`)."""

    __tablename__ = "models"
    hash: Mapped[str] = mapped_column(primary_key=True)
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()


class Question(Base):
    """A problem to reason about. The same content in the same dataset is one row."""

    __tablename__ = "questions"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    content_hash: Mapped[str] = mapped_column(unique=True)
    #: Hash of the normalised text. It finds questions that training and evaluation share.
    fingerprint: Mapped[str] = mapped_column(index=True)
    dataset: Mapped[str]
    domain: Mapped[str]
    #: number, expression, choice, boolean, text or code. Null means that it is guessed from the gold answer.
    kind: Mapped[str | None]
    question: Mapped[str]
    gold: Mapped[str | None]
    meta: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = now()


class Job(Base):
    """Questions × one model alias × one method × sampling × verification policy."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    #: teach, evaluate, or round (a loop samples its student, and scores these samples)
    purpose: Mapped[str]
    #: filling (enqueue is still writing questions), running, paused, over_budget, cancelled, done, deleting
    state: Mapped[str] = mapped_column(server_default="filling")
    model: Mapped[str]
    #: The round whose adapter answers, on top of the alias's model.
    round_id: Mapped[int | None] = mapped_column(ForeignKey("rounds.id"))
    method: Mapped[str]
    #: The domain whose prompts all its questions get. Null means the question's own domain.
    ask_as: Mapped[str | None]
    #: The job that gives its questions, and its traces if the method quotes them.
    from_job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    #: It takes each question that the job `from_job_id` ends without an accepted trace, as soon as it ends there.
    escalates: Mapped[bool] = mapped_column(server_default=text("false"))
    #: tokens, text: its traces are those of `from_job_id`, with its model's log-probabilities of their tokens, or of
    #: the tokens that it makes of their text. Null: its model answers.
    scores: Mapped[str | None]
    #: Its traces are examples of wrong reasoning (`tracemill.methods.Method.negative`).
    negative: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Number of samples for each question and variant of the method.
    samples: Mapped[int]
    #: Largest number of traces for a question, and traces to request at a time. Both are samples × variants unless
    #: sampling is adaptive.
    most: Mapped[int]
    batch: Mapped[int]
    #: Adaptive sampling: accepted traces that finish a question. Null means that it always gets `most` traces.
    enough: Mapped[int | None]
    #: Least chance of reaching `enough`, below which a question ends. 0 means that it never ends early.
    give_up: Mapped[float] = mapped_column(server_default="0")
    #: Largest cost of the job in `budget_unit` (tokens, money).
    budget: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    budget_unit: Mapped[str | None]
    #: Its cost that workers of earlier releases counted. `job_counts.spent` has the rest.
    spent: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    #: `tracemill.sampling.Sampling`, as JSON.
    sampling: Mapped[dict[str, Any]]
    #: The signals to compute and the requirements on an accepted trace (`tracemill.policy.Policy`).
    policy: Mapped[dict[str, Any]]
    #: The verifier whose verdicts count for this job.
    verifier: Mapped[str]
    source: Mapped[str]
    #: How its source is read: `map`, `domain`, `dataset`. Null for another job as the source, and in older jobs.
    source_options: Mapped[dict[str, Any] | None]
    priority: Mapped[int] = mapped_column(server_default="0")
    #: An evaluation is measured without its failed questions.
    leaves_out_failed: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = now()
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("purpose", "teach", "evaluate", "round"),
        one_of("state", "filling", "running", "paused", "over_budget", "cancelled", "done", "deleting"),
        one_of("budget_unit", "tokens", "money"),
        one_of("scores", "tokens", "text"),
    )


class JobPrompt(Base):
    """A prompt of a job: one for each domain, variant of its method, and call of the variant's chain."""

    __tablename__ = "job_prompts"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    domain: Mapped[str] = mapped_column(primary_key=True)
    #: 0-based number of the variant in the method, and of the call in the variant.
    variant_place: Mapped[int] = mapped_column(primary_key=True)
    call_place: Mapped[int] = mapped_column(primary_key=True)
    variant: Mapped[str]
    call: Mapped[str]
    prompt_hash: Mapped[str] = mapped_column(ForeignKey("prompts.hash"))


class JobQuestion(Base):
    """The state of a question in a job: pending → queued → running → generated → done, or failed."""

    __tablename__ = "job_questions"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"), primary_key=True)
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    #: Number of traces that it needs after its next visit.
    wanted: Mapped[int]
    #: Its traces, and its accepted traces, when it was last settled.
    settled: Mapped[int] = mapped_column(server_default="0")
    accepted: Mapped[int] = mapped_column(server_default="0")
    #: Why adaptive sampling ended: enough, hopeless or spent.
    ended: Mapped[str | None]
    #: State running in a job with a budget: the largest cost of the visit.
    reserved: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    #: States queued, running, generated: when the feeder may take the question back. Null while a process holds it.
    lease_until: Mapped[datetime | None]
    #: Its claim: the process that holds it (`processes.name`), and its own id. Only the holder of the id can change it.
    owner: Mapped[str | None]
    claim_id: Mapped[UUID | None]
    #: State pending: the earliest time of its next visit, and the visits in a row that an absent engine has ended.
    not_before: Mapped[datetime | None]
    absences: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: Engines that died in a row while they answered it. It shares the next one with half as many questions.
    deaths: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    last_error: Mapped[str | None]
    updated_at: Mapped[datetime] = now()
    __table_args__ = (
        one_of("state", "pending", "queued", "running", "generated", "done", "failed"),
        # The questions that the feeder sends next. No other index has this order, so no scan reads finished questions.
        Index(
            "ix_job_questions_pending", "job_id", "attempts", "question_id", postgresql_where=text("state = 'pending'")
        ),
        Index(
            "ix_job_questions_put_off",
            "job_id",
            "not_before",
            postgresql_where=text("state = 'pending' and not_before is not null"),
        ),
        Index(
            "ix_job_questions_leased",
            "job_id",
            "state",
            "lease_until",
            postgresql_where=text("state in ('queued', 'running', 'generated')"),
        ),
        Index("ix_job_questions_owner", "owner", postgresql_where=CLAIMED),
        Index("ix_job_questions_error", "job_id", postgresql_where=text("last_error is not null")),
    )


class Trace(Base):
    """One answer by a model to one question in one job: reasoning + final answer."""

    __tablename__ = "traces"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"), index=True)
    variant: Mapped[str] = mapped_column(server_default="")
    sample_index: Mapped[int]
    prompt_hash: Mapped[str] = mapped_column(ForeignKey("prompts.hash"))
    #: The exact text of the model with its thoughts, without characters that Postgres cannot store. Rounds train on it.
    text: Mapped[str]
    #: The reasoning that the method reads; null if that is `thoughts` or without thoughts the text after them, or if it
    #: is at `reasoning_start`.
    reasoning: Mapped[str | None]
    answer: Mapped[str | None]
    #: Form of the answer: boxed, stated, hashes (requested forms); equation, last number, last line (lenient).
    answer_form: Mapped[str | None]
    steps: Mapped[list[Any]]
    #: The earlier calls of its chain, each with call, prompt_hash, text, thoughts (if any), tokens_in, tokens_out,
    #: finish_reason.
    calls: Mapped[list[Any]] = mapped_column(server_default="[]")
    #: Tokens of all calls of its chain.
    tokens_in: Mapped[int]
    tokens_out: Mapped[int]
    #: Thinking tokens of the last call.
    thinking_tokens: Mapped[int] = mapped_column(server_default="0")
    finish_reason: Mapped[str | None]
    #: Seconds from the request to its last token, shared by the samples of one request.
    latency_seconds: Mapped[float]
    #: Its share of the engine's time. Concurrent requests share each second.
    engine_seconds: Mapped[float] = mapped_column(server_default="0")
    #: Its price, in the currency of the settings' price_in and price_out.
    cost: Mapped[float] = mapped_column(server_default="0")
    worker: Mapped[str]
    #: The settings of the model alias when it answered. Null in traces of older releases and in imported ones.
    #: No foreign key: its check would read the whole table in a migration.
    model_hash: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    #: The thoughts in `text`, without marks; null if there are none, or if they are at `thoughts_start`.
    thoughts: Mapped[str | None]
    #: The text after the thoughts, as users see it; null if it is the whole `text`, or at `answer_start`. Empty answers
    #: are always here.
    answer_text: Mapped[str | None]
    #: Positions in `text` of parts that need no copy, from 1, and their lengths in characters.
    thoughts_start: Mapped[int | None] = mapped_column(Integer)
    thoughts_length: Mapped[int | None] = mapped_column(Integer)
    answer_start: Mapped[int | None] = mapped_column(Integer)
    answer_length: Mapped[int | None] = mapped_column(Integer)
    reasoning_start: Mapped[int | None] = mapped_column(Integer)
    reasoning_length: Mapped[int | None] = mapped_column(Integer)
    __table_args__ = (UniqueConstraint("job_id", "question_id", "variant", "sample_index"),)


class TraceLogprobs(Base):
    """The teacher's top-k log-probabilities of one trace, compressed; only on request."""

    __tablename__ = "trace_logprobs"
    trace_id: Mapped[int] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    top_k: Mapped[int]
    tokens: Mapped[int]
    encoding: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class Verdict(Base):
    """One verifier's results for one trace. Null means undecided or not requested."""

    __tablename__ = "verdicts"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    trace_id: Mapped[int] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"))
    verifier: Mapped[str]
    correct: Mapped[bool | None]
    #: How `correct` was decided, or why it is undecided.
    proof: Mapped[str | None]
    faithfulness: Mapped[float | None]
    coherence: Mapped[float | None]
    #: Expected kind of answer: number, expression, choice, boolean, text or code.
    kind: Mapped[str | None]
    #: Share of the question's samples with the same answer, and its distance to the next answer's share. Only for
    #: questions without a gold answer.
    majority: Mapped[float | None]
    margin: Mapped[float | None]
    #: Each raw signal by name (the LLM verifier's rating, …).
    signals: Mapped[dict[str, Any]]
    #: Per-step findings: false equations and the like.
    findings: Mapped[list[Any]]
    #: Why the trace is unusable even if its answer is right (`tracemill.methods.Method.refusal`).
    refused: Mapped[str | None]
    #: The verdict passes its job's policy.
    accepted: Mapped[bool]
    error: Mapped[str | None]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = now()
    __table_args__ = (UniqueConstraint("trace_id", "verifier"),)


# One column for each score.
_COLUMN_TYPES = {"bigint": BigInteger, "real": REAL, "boolean": Boolean}
for _score in SCORES:
    setattr(Verdict, _score.name, mapped_column(_score.name, _COLUMN_TYPES[_score.sql_type](), nullable=True))


class Round(Base):
    """One training run of the student: a filter over traces → an adapter + its evaluation."""

    __tablename__ = "rounds"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    #: queued, selecting, fitting, evaluating, done, failed
    state: Mapped[str] = mapped_column(server_default="queued")
    #: The parsed ROUND.toml (`trainer.spec.RoundSpec`).
    spec: Mapped[dict[str, Any]]
    #: The prompt of every example and of the evaluation.
    prompt_hash: Mapped[str] = mapped_column(ForeignKey("prompts.hash"))
    adapter_path: Mapped[str | None]
    #: Progress and results: step, steps, loss (list), seconds, examples, tokens.
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    finished_at: Mapped[datetime | None]
    __table_args__ = (one_of("state", "queued", "selecting", "fitting", "evaluating", "done", "failed"),)


class Loop(Base):
    """A series of rounds, each taught by the model of the round before. It names its jobs and rounds."""

    __tablename__ = "loops"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    #: Its rounds are NAME-1, NAME-2, …; their jobs are NAME-1-attempt, NAME-1-rationalize and NAME-1-score.
    name: Mapped[str] = mapped_column(unique=True)
    #: running, stopped (it opens nothing more), failed, done
    state: Mapped[str] = mapped_column(server_default="running")
    #: Step in the current round: attempt, rationalize, score, train. It is kept when the loop stops.
    step: Mapped[str] = mapped_column(server_default="attempt")
    round: Mapped[int] = mapped_column(server_default="1")
    #: The job (in step train, the round) that must end before the next step.
    awaits: Mapped[str]
    #: The parsed file of the loop (`trainer.loop.LoopSpec`), with the names of its benchmarks' jobs.
    spec: Mapped[dict[str, Any]]
    #: The worked examples of [attempt]: {question, answer} each.
    shots: Mapped[list[Any]]
    #: Time after which the feeder may send a trainer another message.
    nudge_after: Mapped[datetime | None]
    #: Why it is done, or why it failed.
    ended: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("state", "running", "stopped", "failed", "done"),
        one_of("step", "attempt", "rationalize", "train", "score"),
    )


class Example(Base):
    """One trace used in one round: the lineage row."""

    __tablename__ = "examples"
    round_id: Mapped[int] = mapped_column(ForeignKey("rounds.id", ondelete="CASCADE"), primary_key=True)
    trace_id: Mapped[int] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    #: sft (a trace to learn from), or chosen and rejected. A pair shares one position.
    role: Mapped[str] = mapped_column(primary_key=True)
    #: 0-based position in the training order.
    position: Mapped[int]
    #: 0-based stage of the curriculum: all epochs of one stage come before the next.
    stage: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    __table_args__ = (Index("ix_examples_trace_id", "trace_id"),)


class Exclusion(Base):
    """A question kept out of a round because it overlaps a question of an evaluation."""

    __tablename__ = "exclusions"
    round_id: Mapped[int] = mapped_column(ForeignKey("rounds.id", ondelete="CASCADE"), primary_key=True)
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"), primary_key=True)
    #: The rule that detected the overlap (`trainer.select.decontamination`).
    rule: Mapped[str]
    evaluation_question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"))
    #: Share of the word n-grams of the shorter question that are in the other, 0 to 1.
    share: Mapped[float]
    __table_args__ = (one_of("rule", "exact", "normalised", "ngram"),)
