"""Jobs that a ROUND.toml or a loop describes, opened as `tracemill enqueue` would."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cli.enqueue import Domain, job_source, mapping, read_shots, source_name, store
from cli.jobs import follow
from cli.output import console, print_json, print_rows
from db.jobs import JobSpec
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.sampling import Sampling
from tracemill.settings import model as model_settings
from trainer.ask_spec import AskSpec, TeachSpec
from trainer.evaluate import jobs_by_names
from trainer.spec import EvaluateSpec


def teach(jobs: Sequence[TeachSpec], folder: Path) -> None:
    """Open each job, in their order, and follow them until all traces have their verdicts.

    `folder`: where the files of examples are. Raises UsageError for what `tracemill enqueue` would refuse.
    """
    for job in jobs:
        scheme, _, rest = job.source.partition(":")
        if scheme == "job":  # it starts from what another one has left
            follow([rest.partition("?")[0]])
        open_(_taught(job, folder), job)
    if jobs:
        follow([job.name for job in jobs])


def planned(jobs: Sequence[TeachSpec], folder: Path) -> list[JobSpec]:
    """The jobs, if any of them has not been opened yet. Raises UsageError for what is wrong with one."""
    with transaction() as connection:
        there = jobs_by_names(connection, [job.name for job in jobs])
    names = {f"job:{job.name}" for job in jobs}
    # What starts from another of them cannot know that one's number before it is there.
    alone = (job.model_copy(update={"source": ""}) if job.source.partition("?")[0] in names else job for job in jobs)
    found = [replace(_taught(each, folder), source=job.source) for job, each in zip(jobs, alone, strict=True)]
    return found if len(there) < len(jobs) else []


def _taught(job: TeachSpec, folder: Path) -> JobSpec:
    return job_of(job, job.name, job.model, job.method, folder, logprobs=job.logprobs, enough=job.enough)


def show_plan(jobs: Sequence[JobSpec], evaluate: EvaluateSpec, json: bool) -> None:
    """What would be asked before there is anything to select from."""
    rows = [
        {"job": job.name, "source": job.source, "model": job.model, "method": job.method, "traces a question": job.most}
        for job in jobs
    ]
    measured = [*evaluate.jobs, *evaluate.benchmarks]
    if json:
        print_json({"teach": rows, "evaluate": measured})
        return
    print_rows(rows, list(rows[0]), title="Not asked yet: these jobs come first")
    console.print(f"Measured before and after: {', '.join(measured)}", markup=False)


def job_of(
    ask: AskSpec,
    name: str,
    model: str,
    method: str,
    folder: Path | None,
    *,
    round_id: int | None = None,
    logprobs: int = 0,
    enough: int | None = None,
) -> JobSpec:
    """The job of purpose `teach`. Examples are read from `folder`; None: they are not shown."""
    from workers.methods import named, prompts

    model_settings(model)  # an unknown alias is an error before anything is stored
    way = named(method)
    origin = job_source(ask.source)
    shots = read_shots(folder / ask.examples if folder is not None and ask.examples else None)
    templates = prompts(way, shots)
    most = ask.samples * len(templates["general"])
    if enough is not None and enough > most:
        raise UsageError(f"job {name}: enough = {enough} is more than the {most} traces that a question gets at most")
    return JobSpec(
        name=name,
        purpose="teach",
        model=model,
        method=method,
        prompts=templates,
        from_job_id=origin.job_id if origin else None,
        negative=way.negative,
        samples=ask.samples,
        enough=enough,
        batch=None if enough is None else max(1, most // 4),
        sampling=Sampling(ask.temperature, ask.top_p, ask.max_tokens, logprobs=logprobs),
        policy=ask.policy,
        source=ask.source,
        round_id=round_id,
    )


def open_(job: JobSpec, ask: AskSpec) -> int:
    """Store its questions and open it, or find it; how many questions it has. Raises UsageError if it has none."""
    columns = mapping([f"{ours}={theirs}" for ours, theirs in ask.map.items()])
    dataset, domain = source_name(ask.source), Domain(ask.domain)
    done = store(ask.source, job_source(ask.source), job, dataset, domain, columns, ask.limit or None)
    if not done.read and job.from_job_id is None:
        raise UsageError(f"job {job.name}: {ask.source} has not one readable question")
    return done.read
