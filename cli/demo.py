"""`tracemill demo`: the whole factory with real parts, on a laptop without a GPU.

Teacher and student are the same 135M-parameter model. Only the teacher's prompt has four worked examples. With
--larger-teacher Qwen2.5-Coder-0.5B-Instruct teaches, and judges too (`cli.demo_teacher`). Traces with the right answer
and no false equation train the student by QLoRA. Every printed figure is measured in this run.
"""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import text

from cli.demo_report import report
from cli.demo_teacher import ITSELF, LARGER, choose
from cli.interruption import ended_like_ctrl_c
from cli.jobs import follow as follow_jobs
from cli.output import Json, console, print_json
from cli.preflight import require_programs
from cli.train import follow as follow_round
from db.jobs import JobSpec
from db.session import transaction
from producer.demo_questions import EXAMPLES, mixed
from producer.job_request import JobRequest, SourceSpec, read_shots
from producer.opening import job_spec, store_questions
from tracemill import stack as local
from tracemill.errors import TracemillError, UsageError
from tracemill.policy import Policy
from tracemill.sampling import SamplingSettings
from tracemill.settings import model as model_settings
from tracemill.settings import settings
from tracemill.stack.programs import start
from tracemill.text import fingerprint

if TYPE_CHECKING:
    from producer.sources import Question
    from trainer.spec import RoundSpec


def register(app: typer.Typer) -> None:
    app.command(help=DEMO, rich_help_panel="Local stack")(demo)


DEMO = """Run the whole factory on CPU: ask, verify, train, and measure before and after.

The student's own model teaches. With --larger-teacher Qwen2.5-Coder-0.5B-Instruct
(491 MB) does, if it can be had. It takes ten to fifteen minutes on two cores.

Example: tracemill demo"""


@dataclass(frozen=True)
class Names:
    """The jobs and the round of one demo."""

    round: str

    @property
    def before(self) -> str:
        return f"{self.round}-before"

    @property
    def teacher(self) -> str:
        return f"{self.round}-teacher"

    @property
    def teach(self) -> str:
        return f"{self.round}-teach"


@ended_like_ctrl_c()
def demo(
    questions: Annotated[
        int | None,
        typer.Option(
            min=20,
            show_default=f"{ITSELF.questions}; {LARGER.questions} with --larger-teacher",
            help="Training questions.",
        ),
    ] = None,
    held_out: Annotated[int, typer.Option(min=20, help="Questions for the evaluations only.")] = 240,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=f"{ITSELF.samples}; {LARGER.samples} with --larger-teacher",
            help="Answers per training question at most.",
        ),
    ] = None,
    larger_teacher: Annotated[
        bool, typer.Option("--larger-teacher", help="A model of 0.5B parameters teaches: 16 minutes, 16 GB.")
    ] = False,
    keep_up: Annotated[bool, typer.Option(help="Keep the stack running afterwards.")] = False,
    json: Json = False,
) -> None:
    from db.migrate import prepare  # imports Alembic, which no other command needs

    _require_models()
    seconds: dict[str, float] = {}
    clock = time.monotonic()

    def stage(name: str) -> None:
        nonlocal clock
        seconds[name] = round(time.monotonic() - clock, 1)
        clock = time.monotonic()

    teaching = choose() if larger_teacher else ITSELF
    n_questions, n_samples = questions or teaching.questions, samples or teaching.samples
    stage("fetch the teacher")
    try:
        _print("Starting Postgres, Redis, the feeder, the workers (vLLM loads the models) and Flower …")
        stack = start(prepare, environment=teaching.environment)
        flower = f"http://127.0.0.1:{stack.flower_port}"
        _print(f"Flower watches at {flower} (user {stack.flower_user}; `tracemill flower` prints the password)")
        names = Names(_round_name())
        test = list(mixed(held_out, seed=1, split="test"))
        test_fingerprints = {fingerprint(question.text) for question in test}
        training = list(mixed(n_questions, seed=2, split="train", known=test_fingerprints))
        if len(test) < held_out or len(training) < n_questions:
            raise TracemillError("there are fewer distinct questions than that: lower --questions or --held-out")

        _print(f"Measuring the student, and the teacher, on {held_out} held-out questions …")
        _open(names.before, test, _request("student", policy=Policy()))
        _open(names.teacher, test, _request("teacher", policy=teaching.measuring))
        _wait_for_engine(names.before)
        stage("start")
        follow_jobs([names.before, names.teacher])
        stage("evaluate before")

        tries = f"up to {n_samples} times, until a trace is accepted" if teaching.stopping else f"{n_samples} times"
        _print(f"The teacher answers {n_questions} other questions {tries}; every trace is verified …")
        _calibrate(names.teacher)
        request = replace(
            _request("teacher", policy=teaching.policy, temperature=0.7),
            source=SourceSpec("demo", dataset="demo-train"),
            purpose="teach",
            samples=n_samples,
            stopping=teaching.stopping,
        )
        taught = _open(names.teach, training, request)
        for signal, reason in taught.policy.uninformative.items():
            _print(f"The LLM verifier's {signal} is stored and ignored: {reason}")
        follow_jobs([names.teach])
        stage("ask and verify")

        _print("Training the student on the accepted traces (NF4 QLoRA), then measuring it again …")
        _train(names)
        follow_round(names.round)
        stage("train and evaluate after")
        result = report(names.round, names.before, names.teacher, names.teach, seconds)
    finally:
        if not keep_up:
            _print("Stopping the stack …")
            local.down(settings().data_dir)
    if json:
        print_json(result)
    else:
        _print(
            f"The data are in {settings().data_dir.absolute()}. Start the stack again with `tracemill up`: Flower is "
            f"then at {flower}, and `tracemill sql` answers more questions."
        )


def _require_models() -> None:
    """Raise UsageError if the settings do not start the demo's models, or if one of them cannot start."""
    from trainer.submit import check_student

    chosen = settings().local
    if not {"teacher", "student"} <= set(chosen.generate) or chosen.judge != "verifier" or not chosen.train:
        raise UsageError(
            'the demo needs generate = ["teacher", "student"], judge = "verifier" and train = true under [local]'
        )
    require_programs()
    check_student(_round(Names("demo")))


def _print(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _round_name() -> str:
    """Return the name of an interrupted demo round, otherwise the next free name."""
    with transaction() as connection:
        done = set(connection.execute(text("select name from rounds where state in ('done', 'failed')")).scalars())
    return next(name for number in range(1, 10**6) if (name := f"demo-{number}") not in done)


def _calibrate(job: str) -> None:
    """Calibrate the judge on its ratings in `job`, as `tracemill calibrate --job` does, and store the result."""
    from db.calibrations import judged_traces, store
    from tracemill.verification.calibration import measure

    measured = measure(judged_traces(job, "verifier", None))
    if measured:  # there were enough right and enough wrong answers
        store("verifier", model_settings("verifier").model, f"job {job}", measured)


def _request(model: str, policy: Policy, temperature: float = 0.0) -> JobRequest:
    """The request for an evaluation on the held-out questions. Only the teacher is shown the examples."""
    return JobRequest(
        source=SourceSpec("demo", dataset="demo-held-out"),
        purpose="evaluate",
        model=model,
        shots=read_shots(EXAMPLES if model == "teacher" else None),
        samples=1,
        sampling=SamplingSettings(temperature=temperature, max_tokens=80),
        policy=policy,
    )


def _open(name: str, questions: "list[Question]", request: JobRequest) -> JobSpec:
    """Open the requested job under this name, with these questions."""
    spec = job_spec(replace(request, name=name))
    store_questions(request.source, spec, rows=questions)
    return spec


def _wait_for_engine(job: str) -> None:
    """Wait for the first trace, so that the time of answering excludes loading the model."""
    with console.status("loading the model"):
        while True:
            with transaction() as connection:
                if connection.execute(
                    text("select exists (select from traces t join jobs j on j.id = t.job_id where j.name = :name)"),
                    {"name": job},
                ).scalar():
                    return
            dead = [row for row in local.status(settings().data_dir) if row.state == "FATAL"]
            if dead:
                raise TracemillError(f"{dead[0].name} does not start: see {dead[0].log}")
            time.sleep(0.5)


def _train(names: Names) -> None:
    from trainer.submit import queue_round

    queue_round(_round(names))


def _round(names: Names) -> "RoundSpec":
    from trainer.spec import RoundSpec

    return RoundSpec.model_validate(
        {
            "name": names.round,
            "student": "student",
            "select": {"jobs": [names.teach], "max_per_question": 4},
            "fit": {"epochs": 3, "learning_rate": 1e-3, "batch_size": 16, "max_tokens": 192},
            "evaluate": {"jobs": [names.before]},
        }
    )
