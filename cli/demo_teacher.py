"""The demo's teacher: the student's own model, or on request a larger one by name where it can be had."""

import os
import time
from typing import NamedTuple

from cli.models import fetch_bar
from cli.output import libraries_in_log, log_of, print_line
from producer.job_request import Stopping
from tracemill.errors import TracemillError
from tracemill.known_models import KNOWN
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.policy import Gate, Policy
from tracemill.settings import settings
from tracemill.weights import resolve

TEACHER = "Qwen2.5-Coder-0.5B-Instruct"
#: The aliases that it serves: it also judges. Equal settings make one engine serve both.
ALIASES = ("teacher", "verifier")
#: Seconds after which a slow download ends, so that the demo keeps its time.
FETCH_SECONDS = 180


class Teaching(NamedTuple):
    """The demo's teaching job, as far as it depends on the teacher."""

    questions: int
    #: Answers per question at most.
    samples: int
    stopping: Stopping | None
    #: The policy of the teacher's held-out answers, whose ratings calibrate the judge.
    measuring: Policy
    #: The policy of the teaching traces.
    policy: Policy
    #: Variables that name the models of the aliases.
    environment: dict[str, str]


#: A teacher that answers most questions at the first try: many questions, and a further try only after a failure. It
#: reads 124 new tokens to rate a trace, and 88 to answer a question. So it rates half of its held-out answers, and no
#: teaching trace: the gold answers decide about those.
LARGER = Teaching(
    questions=400,
    samples=3,
    stopping=Stopping(enough=1, batch=1),
    measuring=Policy(judge="verifier", judge_refused=True, judge_share=0.5),
    policy=Policy(),
    environment={
        f"TRACEMILL_MODELS__{alias.upper()}__{key}": value
        for alias in ALIASES
        for key, value in (("MODEL", TEACHER), ("VLLM__ADAPTERS", "false"), ("VLLM__KV_CACHE_GIB", "0.5"))
    },
)
#: A teacher that answers one question in ten. Its ratings gate the teaching traces, unless they are no better than
#: chance: the gate refuses at most a tenth of the right ones.
ITSELF = Teaching(
    questions=320,
    samples=8,
    stopping=None,
    measuring=Policy(judge="verifier", judge_refused=True),
    policy=Policy(judge="verifier", gates={"rating": Gate(quantile=0.1)}),
    environment={},
)


def choose() -> Teaching:
    """Choose the teacher, and fetch it if it is not here. Changes this process's settings.

    Models that the user's settings name for the aliases remain.
    """
    models = settings().models
    if any(models[alias].model != EMBEDDED_MODEL for alias in ALIASES):
        return ITSELF
    try:
        _fetch()
    except TracemillError as error:
        print_line(f"{error}\nSo the student's own model teaches.")
        return ITSELF
    os.environ.update(LARGER.environment)
    settings.cache_clear()
    return LARGER


def _fetch() -> None:
    """Bring the teacher into the data folder. Raises TracemillError if it cannot be had in time."""
    print_line(f"The teacher is {TEACHER} ({KNOWN[TEACHER].size / 1e6:.0f} MB). Fetching it if it is not here …")
    end = time.monotonic() + FETCH_SECONDS
    with libraries_in_log(log_of("demo")), fetch_bar(TEACHER) as show:

        def report(step: str, done: int, total: int | None) -> None:
            show(step, done, total)
            if time.monotonic() > end and done < (total or 0):
                raise TracemillError(
                    f"{TEACHER} is not here after {FETCH_SECONDS} s. `tracemill models get {TEACHER}` continues its "
                    "download"
                )

        resolve(TEACHER, settings().data_dir, report=report)


def display_name(model: str) -> str:
    """The known name of a model; otherwise the model as the settings write it."""
    return next((known.name for known in KNOWN.values() if model == f"wheel:{known.folder}"), model)
