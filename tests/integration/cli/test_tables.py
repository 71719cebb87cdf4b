"""Commands show names and figures of a real database whole in 80 and in 60 columns.

They run in a folder that nobody can write to, and with a data folder whose name has spaces and umlauts. The installed
command also runs without colour and in the C locale, once for each way to print.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from db.session import transaction
from tests.conftest import empty, forget
from tests.in_process import here
from tests.installed import tracemill
from tests.integration.factory import change
from tests.integration.judged import judged_job
from tests.integration.rounds import finish, job, new_round, question, round_spec, trace
from tests.tiny import TEMPLATE, byte_tokenizer
from tracemill.policy import Policy
from tracemill.settings import settings
from tracemill.stack import Stack
from trainer.loop import LoopSpec

pytestmark = pytest.mark.integration

JOB = "gsm8k-train-teacher-rationalize-2"
JUDGED = "gsm8k-train-teacher-cot-with-judge"
EVALUATION = "gsm8k-test-student-first-1319-x16"
LOOP = "llama-star-with-hints-and-dev-set"
ROUND = "llama-distilled-without-filter-17"
PROCESS = "generate.4194304@gpu-worker-7f9c4d5b6-x2x9z"
TOKENS = 1_234_567_890

PROCESSES = """
insert into processes (name, kind, host, leads, queues, concurrency)
values (:name, 'generate', :host, false, '["generate.teacher-70b-instruct", "verify.teacher-70b-instruct"]', 64)
"""
EVALUATIONS = """
insert into evaluations (round_id, job_id, benchmark, stage, questions, correct, correct_strict, accuracy, low, high,
                         tokens_out)
select rounds.id, jobs.id, :benchmark, 'after', 1319, 1036, 1000, 0.785, 0.721, 0.839, 1234.5 from rounds, jobs
"""


@pytest.fixture(scope="module")
def variables(stack: Stack, files: Path) -> Iterator[dict[str, str]]:
    """The variables of commands beside jobs, rounds and a loop with long names, and a worker with a heartbeat."""
    forget()
    empty(stack)
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 1?") for n in range(3)]
        job_id = job(connection, JOB, questions)
        for number, question_id in enumerate(questions):
            trace(connection, job_id, question_id, "The answer is 1.", accepted=number > 0)
        finish(connection, job_id)
        for name in (ROUND, "short"):
            new_round(connection, round_spec(name))
    change("update traces set tokens_out = :tokens", tokens=TOKENS)
    change(
        "update rounds set state = 'failed', finished_at = now(), error = 'the disk is full', "
        'metrics = \'{"seconds": 512.34567, "loss": [2.5, 1.25]}\''
    )
    change("update rounds set error = 'kein Platz für 漢字' where name = 'short'")
    change(EVALUATIONS, benchmark=JOB)
    judged_job(JUDGED, 12, 14, Policy(judge="verifier", judge_refused=True))
    with transaction() as connection:
        job(connection, EVALUATION, [question(connection, "How many legs has a spider?")], evaluate=True)
    change("update jobs set state = case purpose when 'teach' then 'cancelled' else 'done' end, finished_at = null")
    spec = {"name": LOOP, "attempt": {"source": "gsm8k-train.jsonl"}, "evaluate": {"jobs": [EVALUATION]}}
    change(
        "insert into loops (name, awaits, spec, shots) values (:name, :awaits, cast(:spec as jsonb), '[]')",
        name=LOOP,
        awaits=f"{LOOP}-1-attempt",
        spec=LoopSpec.model_validate(spec).model_dump_json(),
    )
    change("delete from processes")
    change(PROCESSES, name=PROCESS, host=PROCESS.split("@")[1])
    data_dir = files / "Räume für Spuren"
    data_dir.symlink_to(settings().data_dir.absolute())
    student = {"model": str(files / "student"), "vllm": {"adapters": True}}
    yield {"TRACEMILL_DATA_DIR": str(data_dir), "TRACEMILL_MODELS": json.dumps({"student": student})}
    change("delete from processes")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a round, questions, traces, and a student's tokenizer."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "round.toml").write_text(
        f'name = "{ROUND}"\n[select]\njobs = ["{JOB}"]\n[fit]\nmax_tokens = 512\n[evaluate]\njobs = ["{EVALUATION}"]\n'
    )
    (folder / "questions.jsonl").write_text('{"question": "What is 40 + 2?", "gold": "42"}\n')
    (folder / "traces.jsonl").write_text('{"question": "1 + 1?", "trace": "The answer is 2.", "gold": "2"}\n')
    byte_tokenizer(TEMPLATE, "<|im_start|>", "<|im_end|>").save_pretrained(folder / "student")
    (folder / "student" / "config.json").write_text('{"model_type": "llama"}')
    return folder


#: Beginnings of lines that a terminal wraps.
SENTENCES = ("logs: ", f"{JOB}: ", f"{EVALUATION}: ", "job a-new-job-", "Picture: ", "Other seeds ")
#: A folder that no user can write to, not even root.
READ_ONLY = Path("/proc")


TRAIN = "train {files}/round.toml --dry-run"
VERIFY = "verify {files}/traces.jsonl -o {tmp}/verdicts.jsonl"
ENQUEUE = "enqueue {files}/questions.jsonl --name a-new-job-{width}"
#: Words that the output of each command must hold.
COMMANDS = {
    "jobs": [JOB, "cancelled", "traces", "accepted"],
    "jobs watch": [JOB, "cancelled", "2 (67%)"],
    f"jobs show {JOB}": [JOB, str(3 * TOKENS), "accepted when"],
    "rounds": [ROUND, "failed", "the disk is full"],
    f"rounds show {ROUND}": [ROUND, JOB, "1319", "78.5 [72.1, 83.9]", "metrics.seconds", "512.3"],
    "status": ["postgres", "redis", "RUNNING", "restarts"],
    "health": [PROCESS, "postgres", "generate.teacher-70b-instruct"],
    "sql": [JOB, str(3 * TOKENS), "tokens_out", "failed"],
    "config": ["models.teacher.vllm.max_model_len", "feeder.running_lease_seconds", "default"],
    "methods": ["rationalize", "Zelikman"],
    f"rounds compare {ROUND} short": [ROUND, "short", JOB, "McNemar", "no difference is shown"],
    "loops": [LOOP, "1 of ", f"{LOOP}-1-attempt"],
    f"loops show {LOOP}": [LOOP, "gsm8k-train.jsonl", EVALUATION],
    f"calibrate --judge verifier --job {JUDGED} --no-store --signals rating": [
        "rating",
        "12",
        "14",
        "1.00 [",
        "informative",
    ],
    TRAIN: [ROUND, JOB, "chosen", "not known", "[learnt]"],
    VERIFY: ["rows", "right", "with false equation"],
    ENQUEUE: ["a-new-job", "1 questions read, 1 new"],
}
#: One command for each way to print: tables, progress, facts, records, processes of a stack, child processes.
INSTALLED = ("jobs", "jobs watch", f"jobs show {JOB}", "sql", "status", VERIFY)


def arguments(command: str, files: Path, tmp: Path, width: int = 60) -> list[str]:
    query = ["select * from job_progress"] if command == "sql" else []
    return [*command.format(files=files, tmp=tmp, width=width).split(), *query]


def assert_is_whole(ended: "CompletedProcess[str]", command: str, width: int) -> None:
    """Check that the command printed its words, cut nothing and kept to the width."""
    assert "error" not in ended.stderr, ended.stderr
    out = ended.stdout + (ended.stderr if command.startswith("verify") else "")
    assert [word for word in COMMANDS[command] if word not in out] == []
    assert "…" not in out
    tables = [line for line in out.splitlines() if not line.startswith(SENTENCES)]
    assert max(map(len, tables), default=0) <= width


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[:2]))
def test_commands_show_names_and_figures_whole(
    variables: dict[str, str], files: Path, width: int, command: str, tmp_path: Path
) -> None:
    ended = here(READ_ONLY, *arguments(command, files, tmp_path, width), COLUMNS=str(width), **variables)
    if command == ENQUEUE:
        change("update jobs set state = 'cancelled' where name like 'a-new-job-%'")
    assert_is_whole(ended, command, width)


@pytest.mark.parametrize("command", INSTALLED, ids=lambda command: " ".join(command.split()[:2]))
def test_the_installed_command_shows_them_in_the_c_locale(
    variables: dict[str, str], files: Path, command: str, tmp_path: Path
) -> None:
    hostile = {"COLUMNS": "60", "LC_ALL": "C", "NO_COLOR": "1"}
    ended = tracemill(READ_ONLY, *arguments(command, files, tmp_path), **hostile, **variables)
    assert_is_whole(ended, command, 60)


def test_json_is_one_line_at_every_width(variables: dict[str, str]) -> None:
    assert json.loads(here(READ_ONLY, "jobs", "list", "--json", COLUMNS="60", **variables).stdout)[0]["job"] == JOB


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_tables_of_its_characters(variables: dict[str, str], encoding: str) -> None:
    ended = tracemill(READ_ONLY, "rounds", PYTHONIOENCODING=encoding, **variables)
    assert "kein Platz f" in ended.stdout


FIGURES = """
select 6 / 29.0 as share, 22020.4::float8 as tokens, 0::numeric(30, 20) as cost, interval '873 seconds' as wait,
       '{"rating": 0.66666666, "uninformative": ["rating"]}'::jsonb as signals
"""


def test_sql_rounds_figures_for_people_and_keeps_them_exact_in_json(variables: dict[str, str]) -> None:
    out = here(READ_ONLY, "sql", FIGURES, **variables).stdout
    assert [
        word for word in ("0.2069 ", "22020 ", " 0 ", "14 min 33 s", "rating 0.6667, uninformative") if word not in out
    ] == []
    assert not {"{", "E-20", "e+04"} & set(out.split())
    (row,) = json.loads(here(READ_ONLY, "sql", "--json", FIGURES, **variables).stdout)
    assert row["share"] == pytest.approx(6 / 29, abs=1e-15)
    assert row["signals"] == {"rating": 0.66666666, "uninformative": ["rating"]}


def test_uptime_has_units_for_people_and_is_exact_in_json(variables: dict[str, str]) -> None:
    table = here(READ_ONLY, "status", **variables).stdout
    assert re.search(r"RUNNING +│ +\d+ +│ +(\d+\.\d s|\d+ s|\d+ min \d+ s|\d+ h \d+ min)", table)
    assert isinstance(json.loads(here(READ_ONLY, "status", "--json", **variables).stdout)[0]["uptime"], float)
