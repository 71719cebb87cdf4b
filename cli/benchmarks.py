"""The benchmarks that a ROUND.toml names become evaluation jobs before the round is queued."""

from cli.enqueue import Domain, source_name, store
from db.jobs import JobSpec, open_job
from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from trainer.spec import RoundSpec


def open_benchmarks(spec: RoundSpec) -> RoundSpec:
    """Enqueue each of the round's benchmarks unless its job is there; the round with the names of these jobs.

    Raises UsageError when a job of that name asks in another way.
    """
    for source in spec.evaluate.benchmarks:
        _open(source, spec)
    return with_benchmarks(spec)


def with_benchmarks(spec: RoundSpec) -> RoundSpec:
    """The round with the names of its benchmarks' jobs, whether they are there or not."""
    names = (_job(source, spec).name for source in spec.evaluate.benchmarks)
    jobs = list(dict.fromkeys((*spec.evaluate.jobs, *names)))
    return spec.model_copy(update={"evaluate": spec.evaluate.model_copy(update={"jobs": jobs})})


def _job(source: str, spec: RoundSpec) -> JobSpec:
    from workers.methods import named, prompts

    asked = spec.evaluate
    first = f"-first-{asked.limit}" if asked.limit else ""
    times = f"-x{asked.samples}" if asked.samples > 1 else ""
    return JobSpec(
        name=f"{source_name(source)}-{spec.student}{first}{times}",
        purpose="evaluate",
        model=spec.student,
        method="cot",
        prompts=prompts(named("cot"), []),
        ask_as=asked.domain,
        samples=asked.samples,
        sampling=Sampling(temperature=asked.temperature, max_tokens=asked.max_tokens),
        policy=Policy(),
        source=source,
    )


def _open(source: str, spec: RoundSpec) -> None:
    from producer.sources.benchmarks import BENCHMARKS

    job, asked = _job(source, spec), spec.evaluate
    with transaction() as connection:
        open_job(connection, job)
        known = connection.execute(Q["job_by_name"], {"name": job.name}).mappings().one()
    if known["state"] == "filling":
        columns = {} if source in BENCHMARKS else {str(ours): theirs for ours, theirs in asked.map.items()}
        done = store(source, None, job, source_name(source), Domain(asked.domain), columns, asked.limit or None)
        if not done.read:
            raise UsageError(f"evaluate.benchmarks: {source} has not one readable question")
