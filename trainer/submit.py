"""Submission of a round and of its control arm: all checks of a round come here, before anything runs."""

import json
from operator import attrgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.model_settings import served_rank
from tracemill.prompts import SLOT
from tracemill.queues import TRAIN_QUEUE
from tracemill.settings import model, settings
from trainer import objectives
from trainer.evaluate import jobs_by_names, template_options
from trainer.fit import model_folder
from trainer.spec import RoundSpec, parse

#: The keys of [select] that a control arm keeps: the origin of traces, and the limits of one question. Its other keys
#: filter by verdicts, or limit the amount, which is that of the round. It never takes traces that were cut off.
POOL = {
    "jobs",
    "methods",
    "models",
    "domains",
    "datasets",
    "since",
    "until",
    "near_duplicates",
    "max_per_question",
    "ngram",
    "overlap",
    "seed",
}

#: The error of a round that the user has cancelled.
CANCELLED = "cancelled by `tracemill rounds cancel`"


def queue_round(spec: RoundSpec) -> int:
    """Store the round, state `queued`, and nudge a trainer; its id. The same round again: found, retried if it failed.

    Raises UsageError naming what is wrong: an unknown alias, job or objective, or a name that belongs to another round.
    """
    with transaction() as connection:
        round_id = store_round(connection, spec)
    nudge_trainer(round_id)
    return round_id


def store_round(connection: Connection, spec: RoundSpec) -> int:
    """`queue_round` as part of a transaction; `nudge_trainer` comes after it."""
    return _store(connection, spec, checked(connection, spec))


def nudge_trainer(round_id: int) -> None:
    """Tell a trainer of the round."""
    from tracemill.celery import TRAIN, send

    send(TRAIN, [round_id], TRAIN_QUEUE)  # if Redis is away, the feeder nudges until a trainer takes the round


def checked(connection: Connection, spec: RoundSpec) -> str:
    """Hash of the prompt that the round's examples and evaluations share. Raises UsageError if anything is wrong."""
    check_student(spec)
    check_start(connection, spec)
    if objectives.find(spec.fit.objective).pairs and spec.select.accepted is not True:
        raise UsageError(f"select.accepted: the pairs of fit.objective = '{spec.fit.objective}' need accepted traces")
    like = {"name": spec.select.like}
    if spec.select.like and connection.execute(Q["round_by_name"], like).one_or_none() is None:
        raise UsageError(
            f"select.like: there is no round '{spec.select.like}'. `tracemill rounds` lists those there are."
        )
    return _prompt_hash(connection, spec)


def check_evaluation(spec: RoundSpec) -> None:
    """Raises UsageError unless the round's evaluations measure its student with one prompt."""
    with transaction() as connection:
        evaluation_prompt(connection, spec)


def check_student(spec: RoundSpec) -> None:
    """Raises UsageError when the round's student cannot be trained and served, or there is no such objective."""
    objective = objectives.find(spec.fit.objective)
    student = model(spec.student)
    if student.engine != "vllm":
        raise UsageError(
            f"student = '{spec.student}': its engine is a server elsewhere. Only a model with engine = \"vllm\" has "
            "weights that can be trained and served with an adapter."
        )
    _check_scorer(spec)
    if spec.fit.shard and (objective.pairs or objective.teacher):
        raise UsageError(f"fit.shard cannot learn '{objective.name}'. Set shard = false, or another objective")
    if spec.fit.tuning == "full":
        _check_full(spec, objective)
        return
    if spec.evaluate.served_by is not None:
        raise UsageError("evaluate.served_by names the engine of a whole model: set fit.tuning = 'full', or remove it")
    if spec.fit.lora_rank > student.vllm.max_lora_rank or not student.vllm.adapters:
        raise UsageError(
            f"model {spec.student} cannot serve an adapter of rank {spec.fit.lora_rank}: set adapters = true and "
            f"max_lora_rank = {served_rank(spec.fit.lora_rank)} under [models.{spec.student}.vllm]"
        )


def check_start(connection: Connection, spec: RoundSpec) -> int | None:
    """The id of the round whose adapter this round continues to train. Raises UsageError if it cannot do so."""
    if spec.start is None:
        return None
    row = connection.execute(Q["round_by_name"], {"name": spec.start}).mappings().one_or_none()
    if row is None:
        raise UsageError(f"start: there is no round '{spec.start}'. `tracemill rounds` lists those there are.")
    if row["adapter_path"] is None:
        raise UsageError(f"start: round '{spec.start}' has no adapter. See: tracemill rounds show {spec.start}")
    earlier = parse(row["spec"], f"round '{spec.start}'")
    for key in ("student", "fit.tuning", "fit.lora_rank", "fit.lora_alpha"):
        ours, theirs = (attrgetter(key)(each) for each in (spec, earlier))
        if ours != theirs:
            raise UsageError(f"start: round '{spec.start}' has {key} = {theirs!r}, and this round has {ours!r}")
    return int(row["id"])


def _check_scorer(spec: RoundSpec) -> None:
    options = spec.fit.options
    scorer = options.scorer(spec.student) if isinstance(options, objectives.OwnOptions) else None
    if scorer is not None and model(scorer.model).engine != "vllm":
        raise UsageError(
            f"fit.{spec.fit.objective}: model '{scorer.model}' is a server elsewhere, which cannot score the tokens of "
            'another model. Take a model with engine = "vllm"'
        )


def _check_full(spec: RoundSpec, objective: objectives.Objective) -> None:
    if objective.pairs or objective.teacher:
        raise UsageError(
            f"fit.tuning = 'full' cannot learn '{objective.name}': the fit needs the memory of a second model beside "
            "the trained one. Set tuning = 'lora', or another objective"
        )
    folder = model_folder(settings().data_dir, spec)
    alias = spec.evaluate.served_by
    if alias is None or Path(model(alias).model).expanduser().resolve() != folder or model(alias).engine != "vllm":
        raise UsageError(
            "fit.tuning = 'full' makes a whole model, which needs an engine of its own for its evaluation. Write in "
            f'tracemill.toml: [models.{alias or "tuned"}] model = "{folder}", and in the round: [evaluate] '
            f'served_by = "{alias or "tuned"}". When the fit is done, run: tracemill worker generate --model '
            f"{alias or 'tuned'}"
        )


def _store(connection: Connection, spec: RoundSpec, prompt_hash: str) -> int:
    row = {"name": spec.name, "spec": spec.model_dump_json(), "prompt_hash": prompt_hash}
    new = connection.execute(Q["insert_round"], row).scalar()
    if new is not None:
        return int(new)
    known = connection.execute(Q["round_by_name"], {"name": spec.name}).mappings().one()
    # A round of an older release lacks the keys that came later: it meant their defaults.
    stored = json.loads(parse(known["spec"], f"round '{spec.name}'").model_dump_json())
    different = difference(stored, json.loads(row["spec"]))
    if different:
        raise UsageError(f"round '{spec.name}' exists with other settings ({different}). Give this round another name.")
    if connection.execute(Q["retry_round"], {"round_id": known["id"]}).rowcount:
        connection.execute(Q["reopen_evaluations"], {"round_id": known["id"]})
    return int(known["id"])


def cancel_round(name: str) -> list[str] | None:
    """Cancel a round and the evaluation jobs of its model. Returns their names; None if the round has ended.

    The trainer then ends its child process. The adapter of a finished fit is kept.
    """
    with transaction() as connection:
        values = {"name": name, "error": CANCELLED}
        round_id = connection.execute(Q["cancel_round"], values).scalar_one_or_none()
        if round_id is None:
            return None
        jobs = connection.execute(Q["cancel_evaluations"], {"round_id": round_id}).all()
        for job in jobs:
            connection.execute(Q["unqueue"], {"job_id": job.id, "question_ids": None})
    return [job.name for job in jobs]


def difference(known: dict[str, Any], given: dict[str, Any]) -> str:
    """The first key whose value differs, with both values; empty when none does."""
    for key in given:
        old, new = known.get(key), given[key]
        if isinstance(old, dict) and isinstance(new, dict):
            inner = difference(old, new)
            if inner:
                return f"{key}.{inner}"
        elif old != new:
            return f"{key}: {old!r}, not {new!r}"
    return ""


def _prompt_hash(connection: Connection, spec: RoundSpec) -> str:
    """The prompt that the round's evaluations share. Raises UsageError unless every job fits the round."""
    _require_teaching(connection, spec)
    return evaluation_prompt(connection, spec)


def _require_teaching(connection: Connection, spec: RoundSpec) -> None:
    for name, job in _jobs(connection, "select.jobs", spec.select.jobs).items():
        if job["purpose"] == "evaluate":
            raise UsageError(f"select.jobs: job '{name}' has purpose 'evaluate', and no evaluation is trained on")
        if objectives.find(spec.fit.objective).learns_own_words and job["purpose"] != "round":
            raise UsageError(
                f"select.jobs: fit.objective = '{spec.fit.objective}' learns from samples of the student itself, and "
                f"job '{name}' has none. A loop makes them: tracemill loop FILE"
            )


def evaluation_prompt(connection: Connection, spec: RoundSpec) -> str:
    """The prompt that the round's evaluations share. Raises UsageError unless they all measure its student with it."""
    jobs = _jobs(connection, "evaluate.jobs", spec.measured_jobs)
    for name, job in jobs.items():
        if job["purpose"] != "evaluate":
            raise UsageError(f"evaluate.jobs: job '{name}' has purpose '{job['purpose']}', not 'evaluate'")
        if job["model"] != spec.student or job["round_id"] is not None:
            raise UsageError(f"evaluate.jobs: job '{name}' did not ask '{spec.student}' without an adapter")
        if job["state"] == "cancelled":
            raise UsageError(f"evaluate.jobs: job '{name}' was cancelled, so there is nothing to compare with")
    template_options(jobs.values())  # raises if they differ
    prompts: dict[str, list[str]] = {}
    for name, job in jobs.items():
        for row in connection.execute(Q["prompts_asked"], {"job_id": job["id"]}):
            prompts.setdefault(row.hash, []).append(name)
            slots = {slot for message in row.messages for slot in SLOT.findall(message["content"])}
            if "question" not in slots or slots & {"gold", "trace"}:
                raise UsageError(
                    f"evaluate.jobs: the prompt of job '{name}' has the slots {sorted(slots)}; a student can only be "
                    "trained on a prompt that holds the question and nothing else"
                )
    if len(prompts) != 1:
        askings = ", ".join(f"'{name}' with {prompt}" for prompt, names in prompts.items() for name in names)
        raise UsageError(
            "evaluate.jobs: all questions must be asked with one prompt, the one to train on, but there is "
            f"{askings or 'no question'}. `tracemill enqueue --ask-as` asks questions of several domains with one."
        )
    return next(iter(prompts))


def _jobs(connection: Connection, key: str, names: list[str]) -> dict[str, dict[str, Any]]:
    jobs = jobs_by_names(connection, names)
    missing = [name for name in names if name not in jobs]
    if missing:
        raise UsageError(f"{key}: there is no job '{missing[0]}'. `tracemill jobs list` shows those there are.")
    return jobs


def control_name(name: str) -> str:
    """The name of a round's control arm."""
    return f"{name}-control"


def control_of(spec: RoundSpec) -> RoundSpec:
    """The round's twin on unfiltered traces: as many tokens of each difficulty as the round's own examples have.

    It takes no trace that was cut off. Rows above fit.max_tokens count on neither side. It is selected once the
    round's examples are written (`claim_round`). Raises UsageError when the objective learns from pairs of right and
    wrong traces: without verdicts there are none.
    """
    objective = objectives.find(spec.fit.objective)
    if objective.learns_own_words:
        raise UsageError(
            f"--control: fit.objective = '{objective.name}' learns from right and wrong samples, so it has no filter"
        )
    if objective.pairs:
        raise UsageError(
            f"--control: fit.objective = '{spec.fit.objective}' learns from pairs of right and wrong traces, and "
            "unfiltered traces have none. Compare it with a round of another objective: tracemill rounds compare"
        )
    pool = spec.select.model_dump(include=POOL)
    twin = {"name": control_name(spec.name), "select": pool | {"accepted": "any", "like": spec.name}}
    return parse(spec.model_dump() | twin, f"the control arm of round '{spec.name}'")
