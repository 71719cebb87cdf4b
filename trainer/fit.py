"""The process that fits one round: `python -m trainer.fit ROUND_ID`.

It reads the round and its examples from Postgres, stores its progress there, saves the adapter and ends. Nothing else
runs in it: a 4-bit model must not be evaluated in the process that trains it, and its memory must be freed at the end.
"""

import json
import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.retry import is_away, patiently, reason
from db.session import transaction
from tracemill.errors import TracemillError, UsageError
from tracemill.interpreter import python
from tracemill.prompts import Prompt
from tracemill.settings import model, settings
from tracemill.weights import resolve
from trainer import objectives
from trainer.child_process import main
from trainer.evaluate import jobs_by_names, template_options
from trainer.hub import card
from trainer.rows import learnt_text
from trainer.spec import RoundSpec, parse, with_row_limit

#: Seconds between two reports of progress.
REPORT_SECONDS = 2.0


def fit_round(round_id: int) -> Path:
    """Fit the round, which must be in state `fitting`; returns the folder of its adapter.

    With `fit.processes` > 1 as many processes do this together; the first of them reports and saves the adapter. Raises
    UsageError when there is no such round to fit, TracemillError when the fit fails.
    """
    with transaction() as connection:
        connection.execute(Q["more_time"])
        row = connection.execute(Q["round_for_work"], {"round_id": round_id}).mappings().one_or_none()
        if row is None or row["state"] != "fitting":
            raise UsageError(f"round {round_id} is {row['state'] if row else 'unknown'}: nothing to fit")
        spec = with_row_limit(parse(row["spec"], f"round {round_id}"))
        if spec.fit.processes > 1 and "RANK" not in os.environ:
            connection.rollback()
            _launch(round_id, spec.fit.processes)
        objective = objectives.find(spec.fit.objective)
        examples = round_examples(connection, round_id, objective)
        start = connection.execute(Q["round_by_name"], {"name": spec.start}).mappings().one() if spec.start else None
        options = template_options(jobs_by_names(connection, spec.evaluate.jobs).values())
        sources = [dict(source) for source in connection.execute(Q["round_sources"], {"round_id": round_id}).mappings()]
    folder = model_folder(settings().data_dir, spec)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    first = os.environ.get("RANK", "0") == "0"
    if first:
        for leftover in folder.parent.glob(".*"):  # of killed fits
            shutil.rmtree(leftover)
        unfinished.mkdir(parents=True)
    lesson = objectives.Lesson(
        model=_path(spec.student),
        prompt=Prompt(tuple(row["messages"])),
        examples=examples,
        fit=spec.fit,
        options=spec.fit.options,
        epochs=tuple(spec.curriculum.epochs) if spec.curriculum else (spec.fit.epochs,),
        round=folder.parent,
        folder=unfinished,
        report=_reporter(round_id),
        teachers=_teachers(objective, spec, sources),
        start=start["adapter_path"] if start else None,
        chat_template_kwargs=options,
    )
    outcome = asdict(objective.fit(lesson))
    if first:
        text = card(spec, model(spec.student).model, row["prompt_hash"], sources, outcome)
        (unfinished / "README.md").write_text(text)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        saved = {"round_id": round_id, "adapter_path": str(folder), "metrics": json.dumps(outcome)}
        patiently(lambda: _save(saved))
        shutil.rmtree(folder.parent / "checkpoints", ignore_errors=True)
    return folder


def _save(adapter: Mapping[str, Any]) -> None:
    with transaction() as connection:
        connection.execute(Q["round_adapter"], adapter)


def round_folder(data_dir: Path, name: str) -> Path:
    """The folder of a round's adapter, checkpoints and log."""
    return data_dir.resolve() / "rounds" / name


def model_folder(data_dir: Path, spec: RoundSpec) -> Path:
    """The folder of a round's result: an adapter, or a whole model."""
    return round_folder(data_dir, spec.name) / ("adapter" if spec.fit.tuning == "lora" else "model")


def _launch(round_id: int, processes: int) -> NoReturn:
    """Replace this process by torchrun, which runs this module in connected processes and ends with them."""
    run = python("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    os.execv(run[0], [*run, "-m", "trainer.fit", str(round_id), "--parent", str(os.getpid())])


def round_examples(connection: Connection, round_id: int, objective: objectives.Objective) -> list[objectives.Example]:
    """The examples of a round. Raises TracemillError when an objective needs tokens that must not be learnt."""
    values = {"round_id": round_id, "logprobs": objective.logprobs, "rewards": objective.rewards}
    rows = connection.execute(Q["examples_of_round"], values).all()
    methods: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for row in rows:
        methods[row.stage, row.position].add(row.method)
    texts = [learnt_text(row.text, methods[row.stage, row.position]) for row in rows]
    if objective.logprobs:
        _refuse_shortened([row.method for row, text in zip(rows, texts, strict=True) if text != row.text], objective)
    return [_example(row, text) for row, text in zip(rows, texts, strict=True)]


def _refuse_shortened(methods: Sequence[str], objective: objectives.Objective) -> None:
    if methods:
        raise TracemillError(
            f"objective '{objective.name}' learns all tokens of the teacher, but {len(methods)} traces of "
            f"{', '.join(sorted(set(methods)))} have thoughts that must not be learnt: their model was given more than "
            "the question. Name the other methods in select.methods."
        )


def _example(row: Any, text: str) -> objectives.Example:
    steps = tuple(step["text"] for step in row.steps)
    return objectives.Example(
        row.role, row.question, text, row.stage, row.position, steps, row.logprobs, row.is_cut_off, row.advantage
    )


def _teachers(
    objective: objectives.Objective, spec: RoundSpec, sources: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    if isinstance(spec.fit.options, objectives.TeacherOptions):
        return (_path(spec.fit.options.teacher),)
    return tuple(_path(alias) for alias in sorted({source["model"] for source in sources}) if objective.logprobs)


def _path(alias: str) -> str:
    return resolve(model(alias).model, settings().data_dir.resolve())


def _reporter(round_id: int) -> Callable[[objectives.Progress], None]:
    """Stores progress in the round's metrics: the first step, then every few seconds, then the last step."""
    due = 0.0

    def report(progress: objectives.Progress) -> None:
        nonlocal due
        if time.monotonic() < due and progress.step < progress.steps:
            return
        due = time.monotonic() + REPORT_SECONDS
        try:
            with transaction() as connection:
                connection.execute(Q["round_progress"], {"round_id": round_id, "metrics": json.dumps(asdict(progress))})
        except SQLAlchemyError as error:
            if not is_away(error):  # a failover of Postgres must not end the fit
                raise
            print(f"progress not stored: {reason(error)}", file=sys.stderr)

    return report


if __name__ == "__main__":
    sys.exit(main("trainer.fit", "Fit the adapter of one round.", fit_round))
