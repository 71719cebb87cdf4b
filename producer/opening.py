"""Open a job: turn a request into the job's settings and store its questions.

Every request becomes a job here. This module prints nothing: the caller passes a progress callback.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

from sqlalchemy import text

from db.jobs import JobSpec, stored_job
from db.queries import Q
from db.session import transaction
from producer.enqueue import Enqueued, enqueue, enqueue_from, open_tier
from producer.job_request import Budget, JobRequest, SourceSpec, Stopping, next_tiers
from producer.sources import Problem, Question, open_source
from tracemill.engines.context import context_of
from tracemill.errors import UsageError, unknown_name
from tracemill.generation_config import job_sampling, own_sampling
from tracemill.methods import Method, named, prompts
from tracemill.model_settings import ModelSettings
from tracemill.policy import Policy, Signal, Threshold
from tracemill.sampling import Sampling
from tracemill.settings import model as model_settings
from tracemill.settings import settings

#: Rows of a source in which a method that needs gold answers expects at least one.
FIRST_ROWS = 1000

#: Shows the progress of reading one source: a context manager that yields a function of the questions read so far.
Reading: TypeAlias = Callable[[SourceSpec], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def unseen(source: SourceSpec) -> Iterator[Callable[[int], None]]:
    """Show no progress."""
    yield lambda read: None


class Origin(NamedTuple):
    """Another job, and the selection of its questions.

    `accepted`: True is the questions with an accepted trace, False those without one, None all.
    `escalates`: those that end without an accepted trace, now and later.
    """

    job_id: int
    accepted: bool | None
    escalates: bool = False


def origin_job(address: str) -> str | None:
    """The job's name in `job:NAME[?failed|?accepted|?escalated]`; None for other sources."""
    scheme, colon, rest = address.partition(":")
    if scheme != "job" or not colon:
        return None
    return rest.rpartition("?")[0] if "?" in rest else rest


def origin_of(address: str) -> Origin | None:
    """Parse `job:NAME[?failed|?accepted|?escalated]`; None for other sources.

    Raises UsageError if there is no such job.
    """
    name = origin_job(address)
    if name is None:
        return None
    filters = {"": None, "failed": False, "accepted": True, "escalated": False}
    choice = address.rpartition("?")[2] if "?" in address else ""
    if choice not in filters:
        raise UsageError(f"{address}: write job:NAME, job:NAME?failed, job:NAME?accepted or job:NAME?escalated")
    return Origin(_job_id(name), filters[choice], escalates=choice == "escalated")


def _job_id(name: str) -> int:
    with transaction() as connection:
        row = connection.execute(Q["job_by_name"], {"name": name}).one_or_none()
    if row is None:
        raise _unknown_job(name)
    return int(row.id)


def _unknown_job(name: str) -> UsageError:
    with transaction() as connection:
        return unknown_name("job", name, connection.execute(text("select name from jobs order by id")).scalars().all())


def job_spec(request: JobRequest, upcoming: Collection[str] = ()) -> JobSpec:
    """Build the settings of the requested job. Raises UsageError for a wrong request; stores nothing.

    `upcoming`: names of jobs that are not open yet. A job that builds on one of them has no `from_job_id` here.
    """
    model, method = model_settings(request.model), named(request.method)
    name = request.name or f"{request.source.name}-{request.model}-{request.method}"
    builds_on = origin_job(request.source.address)
    origin = None if builds_on in upcoming else origin_of(request.source.address)
    _require_origin(method, builds_on)
    if request.purpose == "evaluate" and (request.escalate or (origin and origin.escalates)):
        raise UsageError(f"job {name}: an evaluation measures one model, so it escalates nothing. Remove --escalate")
    if "trace" in method.needs and request.escalate:
        raise UsageError(
            f"job {name}: method {request.method} quotes traces of its source, and a next tier has another source. "
            "Remove --escalate, or take another method"
        )
    own = own_sampling(model, settings().data_dir.resolve(), ask_hub=True)
    sampling = replace(
        job_sampling(request.sampling, model, own, request.purpose, request.samples), logprobs=request.logprobs
    )
    _require_room(name, request.model, model, sampling)
    spec = JobSpec(
        name=name,
        purpose=request.purpose,
        model=request.model,
        method=request.method,
        prompts=prompts(method, request.shots),
        ask_as=request.ask_as,
        from_job_id=origin.job_id if origin else None,
        escalates=origin is not None and origin.escalates,
        negative=method.negative,
        samples=request.samples,
        sampling=sampling,
        policy=informed(request.policy),
        source=request.source.address,
        source_options=None if builds_on is not None else request.source.options,
        round_id=request.round_id,
        priority=request.priority,
    )
    return _with_limits(spec, request.stopping, request.budget)


def spec_like(job: str, request: JobRequest) -> JobSpec:
    """The settings of a stored job, with the source, name, stopping rule, budget and priority of a request.

    Raises UsageError if there is no such job, or if its model alias no longer fits its settings.
    """
    source = request.source
    with transaction() as connection:
        stored = stored_job(connection, job)
    if stored is None:
        raise _unknown_job(job)
    name = request.name or f"{source.name}-{job.rpartition(':')[2]}"
    origin = origin_of(source.address)
    _require_origin(named(stored.method), origin_job(source.address))
    _require_room(name, stored.model, model_settings(stored.model), stored.sampling)
    spec = replace(
        stored,
        name=name,
        source=source.address,
        source_options=None if origin else source.options,
        from_job_id=origin.job_id if origin else None,
        escalates=origin is not None and origin.escalates,
        priority=request.priority,
        budget=None,
        budget_unit=None,
    )
    return _with_limits(spec, request.stopping, request.budget)


def _require_origin(method: Method, builds_on: str | None) -> None:
    """Raise UsageError if the method quotes the traces of another job, and the source is none."""
    if "trace" in method.needs and builds_on is None:
        raise UsageError(f"method {method.name} quotes the traces of another job: name it as the source, job:NAME")


def _with_limits(spec: JobSpec, stopping: Stopping | None, budget: Budget | None) -> JobSpec:
    """Add a stopping rule and a budget. Raises UsageError for limits that the job cannot keep."""
    model = model_settings(spec.model)
    if budget is not None:
        if budget.unit == "money" and not model.price_in + model.price_out:
            raise UsageError(
                f"job {spec.name}: a budget in money needs prices, and model {spec.model} has none. "
                f"Set price_in, price_out in [models.{spec.model}]"
            )
        if spec.sampling.max_tokens is None and model.context is None:
            raise UsageError(
                f"job {spec.name}: a budget needs the longest answer, because the context of a server is not known "
                "here: set max_tokens (--max-tokens)"
            )
        spec = replace(spec, budget=budget.amount, budget_unit=budget.unit)
    if stopping is None:
        return spec
    if stopping.enough > spec.most:
        raise UsageError(
            f"job {spec.name}: enough = {stopping.enough} is more than the {spec.most} traces that a question can get"
        )
    batch = stopping.batch or max(1, spec.most // 4)
    return replace(spec, enough=stopping.enough, batch=batch, give_up=stopping.give_up)


def _require_room(name: str, alias: str, model: ModelSettings, sampling: Sampling) -> None:
    """Raise UsageError for settings that the model's engine cannot use, as far as its context is known here."""
    if model.engine == "vllm" and sampling.extra_body:
        raise UsageError(f"job {name}: extra_body is for servers, and model {alias} runs in the worker's process")
    context = context_of(alias, model) if sampling.max_tokens else None
    if context is not None and (sampling.max_tokens or 0) > context.tokens:
        advice = f"Lower it, or raise {context.setting}" if context.setting else "Lower it"
        raise UsageError(
            f"job {name}: max_tokens = {sampling.max_tokens} (--max-tokens) is more than the {context.tokens} tokens "
            f"that model {alias} has for prompt and answer. {advice}"
        )


def informed(policy: Policy) -> Policy:
    """Add what the judge's newest calibration says: the uninformative signals, and the thresholds of the gates."""
    if policy.judge is None:
        return policy
    from db.calibrations import latest
    from tracemill.verification.calibration import threshold, why_not

    calibrations = latest(policy.judge, model_settings(policy.judge).model)
    thresholds: dict[Signal, Threshold] = {}
    uninformative: dict[Signal, str] = {}
    for name in policy.signals:
        measured, gate = calibrations.get(name), policy.gates.get(name)
        reason = why_not(measured, policy.auc_above)
        if measured is not None and reason is None and gate is not None and gate.least is None:
            result = threshold(measured, gate)
            if isinstance(result, Threshold):
                thresholds[name] = result
            else:
                reason = result
        if reason is not None:
            uninformative[name] = reason
    return policy.model_copy(update={"uninformative": uninformative, "thresholds": thresholds})


def require_source(source: SourceSpec) -> None:
    """Raise UsageError unless the source can be opened. Reads no question."""
    if origin_job(source.address) is None:
        open_source(source.address, mapping=source.mapping, limit=source.limit)


def store_questions(
    source: SourceSpec,
    spec: JobSpec,
    reading: Reading = unseen,
    rows: Iterable[Question | Problem] | None = None,
    remark: Callable[[str], None] = lambda sentence: None,
) -> Enqueued:
    """Open the job, or find it, and store the questions of its source. `rows` replace the source's rows.

    `remark` gets a sentence about columns of the source (`open_source`).
    """
    needs_gold = "gold" in named(spec.method).needs
    origin = origin_of(source.address)
    if origin is not None:
        if needs_gold:
            _require_gold(spec.method, source.address, origin)
        if origin.escalates:
            if source.limit is not None:
                raise UsageError(f"{source.address} takes every question that the job fails: remove limit (--limit)")
            return open_tier(spec)
        return enqueue_from(spec, accepted=origin.accepted, limit=source.limit)
    if rows is None:
        rows = open_source(source.address, mapping=source.mapping, limit=source.limit, remark=remark)
    if needs_gold:
        rows = _with_gold(rows, spec.method, source.address)
    with reading(source) as report:
        return enqueue(
            rows, spec, dataset=source.name, domain=source.domain, progress=lambda stored: report(stored.read)
        )


def _require_gold(method: str, address: str, origin: Origin) -> None:
    """Raise UsageError if the other job has questions, but none with a gold answer."""
    query = text(
        "select count(*) as questions, count(gold) as golds "
        "from job_questions join questions on questions.id = question_id where job_id = :job_id"
    )
    with transaction() as connection:
        row = connection.execute(query, {"job_id": origin.job_id}).one()
    if row.questions and not row.golds:
        raise UsageError(f"{address}: none of its questions has a gold answer, and method {method} needs one")


def _with_gold(rows: Iterable[Question | Problem], method: str, address: str) -> Iterator[Question | Problem]:
    """The rows of a source; a question without a gold answer becomes a Problem.

    Raises UsageError at the call if none of the first questions has one: then the column is usually missing.
    """
    rows = iter(rows)
    first = list(islice(rows, FIRST_ROWS))
    golds = [row.gold for row in first if isinstance(row, Question)]
    if golds and not any(golds):
        raise UsageError(
            f"{address}: none of its first {len(golds)} questions has a gold answer, and method {method} needs one. "
            "Name its column: --map gold=COLUMN"
        )
    return (
        Problem(f"{address}:{row.line}", f"it has no gold answer, and method {method} needs one")
        if isinstance(row, Question) and row.gold is None
        else row
        for row in chain(first, rows)
    )


def tier_specs(request: JobRequest, name: str) -> list[JobSpec]:
    """Build the settings of the next tiers before the job of that name exists. Raises UsageError like `job_spec`."""
    tiers = next_tiers(request, name)
    upcoming = [name, *(str(tier.name) for tier in tiers)]
    return [job_spec(tier, upcoming) for tier in tiers]


def open_tiers(request: JobRequest, name: str) -> None:
    """Open the next tiers of the job of that name, which exists, with the questions that it has failed so far."""
    for tier in next_tiers(request, name):
        store_questions(tier.source, job_spec(tier))


def open_request(request: JobRequest, reading: Reading = unseen) -> Enqueued:
    """Open the requested job and its next tiers, and store its questions.

    Raises UsageError if the source has no question.
    """
    spec = job_spec(request)
    tier_specs(request, spec.name)  # raises before anything is stored
    stored = store_questions(request.source, spec, reading)
    if not stored.read and spec.from_job_id is None:
        raise UsageError(f"job {spec.name}: {request.source.address} has no readable question")
    open_tiers(request, spec.name)
    return stored
