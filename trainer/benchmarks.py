"""Evaluation jobs for the benchmarks of a round or a loop, with the untrained student."""

from sqlalchemy import Connection

from db.jobs import open_job
from db.queries import Q
from db.session import transaction
from producer.job_request import JobRequest, SourceSpec, source_name
from producer.opening import Reading, job_spec, require_source, store_questions, unseen
from producer.sources.benchmarks import BENCHMARKS
from tracemill.errors import UsageError
from trainer.evaluate import jobs_by_names
from trainer.spec import APART, EvaluateSpec, RoundSpec


def open_benchmarks(spec: RoundSpec, reading: Reading = unseen) -> RoundSpec:
    """Open the jobs of the round's benchmarks unless they exist; return the round with their names.

    Raises UsageError when a job of that name has other settings.
    """
    for evaluation in filter(None, (spec.evaluate, spec.dev)):
        open_measured(evaluation, spec.student, reading)
    named = with_benchmarks(spec)
    with transaction() as connection:
        require_other_questions(connection, named.dev_jobs, named.evaluate.jobs)
    return named


def require_other_questions(connection: Connection, dev: list[str], reported: list[str]) -> None:
    """Raise UsageError if the jobs to choose by and the reported ones share a question."""
    shared = connection.execute(Q["shared_questions"], {"jobs": dev, "others": reported}).scalar_one()
    if shared:
        raise UsageError(f"[dev] and [evaluate] share {shared} questions: {APART}")


def with_benchmarks(spec: RoundSpec) -> RoundSpec:
    """Add the names of the benchmarks' jobs to the round, whether or not the jobs exist."""
    dev = with_jobs(spec.dev, spec.student) if spec.dev is not None else None
    return spec.model_copy(update={"evaluate": with_jobs(spec.evaluate, spec.student), "dev": dev})


def with_jobs(evaluate: EvaluateSpec, student: str) -> EvaluateSpec:
    """Add the names of the benchmarks' jobs to the evaluation, whether or not the jobs exist."""
    names = (_job_name(source, evaluate, student) for source in evaluate.benchmarks)
    return evaluate.model_copy(update={"jobs": list(dict.fromkeys((*evaluate.jobs, *names)))})


def open_measured(evaluate: EvaluateSpec, student: str, reading: Reading = unseen) -> None:
    """Open the job of each benchmark unless it exists.

    Raises UsageError when a job has other settings, and for an unreadable source before the first job is opened.
    """
    sources = evaluate.benchmarks
    requests = {_job_name(source, evaluate, student): _request(source, evaluate, student) for source in sources}
    with transaction() as connection:
        known = jobs_by_names(connection, list(requests))
    for name in requests.keys() - known.keys():
        require_source(requests[name].source)
    for request in requests.values():
        _open(request, reading)


def _job_name(source: str, evaluate: EvaluateSpec, student: str) -> str:
    first = f"-first-{evaluate.limit}" if evaluate.limit else ""
    times = f"-x{evaluate.samples}" if evaluate.samples > 1 else ""
    return f"{source_name(source)}-{student}{first}{times}"


def _request(source: str, evaluate: EvaluateSpec, student: str) -> JobRequest:
    columns = {} if source in BENCHMARKS else {str(ours): theirs for ours, theirs in evaluate.map.items()}
    return JobRequest(
        source=SourceSpec(source, columns, evaluate.domain, limit=evaluate.limit or None),
        name=_job_name(source, evaluate, student),
        purpose="evaluate",
        model=student,
        ask_as=evaluate.domain,
        samples=evaluate.samples,
        sampling=evaluate.sampling(),
    )


def _open(request: JobRequest, reading: Reading) -> None:
    spec = job_spec(request)
    with transaction() as connection:
        known = connection.execute(Q["job_by_name"], {"name": spec.name}).one_or_none()
        if known is not None:
            open_job(connection, spec)  # raises if it has other settings
    is_complete = known is not None and known.state != "filling"
    if not is_complete and not store_questions(request.source, spec, reading).read:
        raise UsageError(f"evaluate.benchmarks: {request.source.address} has no readable question")
