"""`tracemill demo`: the whole factory on real parts, small enough for a laptop without a GPU.

Teacher and student are the same 135M-parameter model; the teacher is shown four worked examples, the student none. The
teacher answers each training question eight times, only traces with the right answer and no false equation are kept,
and the student is trained on them by QLoRA. Everything printed is measured in this run.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import text

from cli.demo_report import report
from cli.jobs import follow as follow_jobs
from cli.output import Json, console, print_json
from cli.train import follow as follow_round
from db.jobs import JobSpec
from db.session import transaction
from producer.demo_questions import EXAMPLES, mixed
from producer.job_request import JobRequest, SourceSpec, read_shots
from producer.opening import job_spec, store_questions
from tracemill import stack as local
from tracemill.errors import TracemillError
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.settings import model as model_settings
from tracemill.settings import settings
from tracemill.stack.programs import start
from tracemill.text import fingerprint

if TYPE_CHECKING:
    from producer.sources import Question

#: The judge rates all of the teacher's held-out answers, right and wrong: that measures it. Its rating then gates the
#: teaching traces, unless it was found to be at chance.
MEASURING = Policy(judge="verifier", judge_refused=True)
GATED = Policy(judge="verifier", gates={"rating": 0.5})


def register(app: typer.Typer) -> None:
    app.command(help=DEMO, rich_help_panel="Local stack")(demo)


DEMO = """Run the whole factory on real parts, on CPU: ask, verify, train, and measure before and after.

Takes ten to fifteen minutes on two cores. Example: tracemill demo"""


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


def demo(
    questions: Annotated[int, typer.Option(min=20, help="Training questions.")] = 320,
    held_out: Annotated[int, typer.Option(min=20, help="Questions that are only for measuring.")] = 240,
    samples: Annotated[int, typer.Option(min=1, help="Answers per training question.")] = 8,
    keep_up: Annotated[bool, typer.Option(help="Leave the stack running afterwards.")] = False,
    json: Json = False,
) -> None:
    from db.migrate import prepare  # imports Alembic, which no other command needs

    seconds: dict[str, float] = {}
    clock = time.monotonic()

    def stage(name: str) -> None:
        nonlocal clock
        seconds[name] = round(time.monotonic() - clock, 1)
        clock = time.monotonic()

    _say("Starting Postgres, Redis, the feeder, the workers (vLLM loads the model) and Flower …")
    stack = start(prepare)
    try:
        flower = f"http://127.0.0.1:{stack.flower_port}"
        _say(f"Flower watches at {flower} (user {stack.flower_user}; `tracemill flower` prints the password)")
        names = Names(_unfinished())
        test = list(mixed(held_out, seed=1, split="test"))
        known = {fingerprint(question.text) for question in test}
        training = list(mixed(questions, seed=2, split="train", known=known))
        if len(test) < held_out or len(training) < questions:
            raise TracemillError("there are not so many different questions: ask for fewer")

        _say(f"Measuring the student, and the teacher, on {held_out} held-out questions …")
        _open(names.before, test, "student", shots=False, samples=1, teach=False, policy=Policy())
        _open(names.teacher, test, "teacher", shots=True, samples=1, teach=False, policy=MEASURING)
        _wait_for_engine(names.before)
        stage("start")
        follow_jobs([names.before, names.teacher])
        stage("evaluate before")

        _say(f"The teacher answers {questions} other questions {samples} times each; every trace is verified …")
        _calibrate(names.teacher)
        taught = _open(names.teach, training, "teacher", shots=True, samples=samples, teach=True, policy=GATED)
        for signal, why in taught.policy.uninformative.items():
            _say(f"The LLM verifier's {signal} is stored and ignored: {why}")
        follow_jobs([names.teach])
        stage("ask and verify")

        _say("Training the student on the accepted traces (NF4 QLoRA), then measuring it again …")
        _train(names)
        follow_round(names.round)
        stage("train and evaluate after")
        found = report(names.round, names.before, names.teacher, names.teach, seconds)
    finally:
        if not keep_up:
            _say("Stopping the stack …")
            local.down(settings().data_dir)
    if json:
        print_json(found)
    else:
        _say(
            f"The data are in {settings().data_dir.absolute()}. Start the stack again with `tracemill up`: Flower is "
            f"then at {flower}, and `tracemill sql` answers more questions."
        )


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _unfinished() -> str:
    """The name of a demo round that was broken off, to go on with it; else the next free name."""
    with transaction() as connection:
        done = set(connection.execute(text("select name from rounds where state in ('done', 'failed')")).scalars())
    return next(name for number in range(1, 10**6) if (name := f"demo-{number}") not in done)


def _calibrate(job: str) -> None:
    """Measure the judge on what it rated in `job`, and store it, as `tracemill calibrate --job` does."""
    from db.calibrations import judged_traces, store
    from tracemill.verification.calibration import measure

    measured = measure(judged_traces(job, "verifier", None))
    if measured:  # there were enough right ones and enough wrong ones
        store("verifier", model_settings("verifier").model, f"job {job}", measured)


def _open(
    name: str, questions: "list[Question]", model: str, *, shots: bool, samples: int, teach: bool, policy: Policy
) -> JobSpec:
    request = JobRequest(
        source=SourceSpec("demo", dataset="demo-train" if teach else "demo-held-out"),
        name=name,
        purpose="teach" if teach else "evaluate",
        model=model,
        shots=read_shots(EXAMPLES if shots else None),
        samples=samples,
        sampling=Sampling(temperature=0.7 if teach else 0.0, max_tokens=80),
        policy=policy,
    )
    spec = job_spec(request)
    store_questions(request.source, spec, rows=questions)
    return spec


def _wait_for_engine(job: str) -> None:
    """Wait for the first trace, so that loading the model is not counted as answering."""
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
    from trainer.spec import RoundSpec
    from trainer.submit import queue_round

    queue_round(
        RoundSpec.model_validate(
            {
                "name": names.round,
                "student": "student",
                "select": {"jobs": [names.teach], "max_per_question": 4},
                "fit": {"epochs": 3, "learning_rate": 1e-3, "batch_size": 16, "max_tokens": 192},
                "evaluate": {"jobs": [names.before]},
            }
        )
    )
