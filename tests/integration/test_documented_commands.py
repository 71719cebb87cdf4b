"""Every documented command works as documented: the installed command, in an empty folder, with a running stack.

The models are scripted and nothing is trained here: `test_recipes_run.py` and `test_hijack.py` train.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.documented import ROOT, commands
from tests.installed import succeed
from tests.integration.documented_world import MODEL, World, store_rounds, world
from tests.tiny import TEMPLATE, byte_tokenizer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


class Shown(NamedTuple):
    """The test of one documented command."""

    #: A pattern of its output.
    prints: str
    #: The commands that must run first, and the job whose traces must have verdicts.
    after: tuple[str, ...] = ()
    job: str = ""
    #: Additional options, so that it ends within seconds.
    more: str = ""


def opened(job: str) -> str:
    """A pattern of the output of `tracemill enqueue`."""
    return rf"^job {job}: [1-9]\d* questions read, \d+ new, \d+ left out\. Watch it: tracemill jobs watch {job}$"


MAPPED = "tracemill enqueue questions.jsonl --map question=problem --map gold=answer"
QUESTIONS = f"{MAPPED} --samples 8"
SAMPLED = f"{MAPPED} --temperature 0.6 --sampling top_k=40 --name sampled"
FIRST = "tracemill enqueue gsm8k.jsonl --map gold=answer --samples 8 --name first"
ADAPTIVE = "tracemill enqueue gsm8k.jsonl --map gold=answer --samples 8 --enough 2 --batch 2 --budget-tokens 5e6"
ROUTED = "tracemill enqueue gsm8k.jsonl --map gold=answer --model student --escalate teacher --name routed"
PILOT = (
    "tracemill pilot gsm8k.jsonl --map gold=answer --method cot --method stepwise --temperature 0.3 --temperature 0.7"
)
TEST = "tracemill enqueue test.jsonl --model student --purpose evaluate --samples 1 --temperature 0"
BEFORE = f"{TEST} --name student-before"
METHOD = "tracemill enqueue docs/methods_questions.jsonl"
COT = f"{METHOD} --samples 4 --examples producer/demo_examples.jsonl --method cot --name cot"
RECIPE = "tracemill --config recipes/tracemill.toml"
SMALL = next(line for line in commands() if "--set name=small" in line)
LUCK = next(line for line in commands() if "as false_equation" in line)
WATCH = "tracemill jobs watch"
TAUGHT = (ADAPTIVE, BEFORE)
VERIFY = "tracemill verify traces.jsonl -o verified.jsonl"
ARCHIVE = "tracemill archive first --to archive"
ARCHIVED = (FIRST, "tracemill jobs watch first", ARCHIVE)
PLANNED = "Not asked yet: these jobs come first"

COMMANDS = {
    "tracemill up": Shown(r"postgres +│ RUNNING(.|\n)*verify +│ (RUNNING|LOADING)(.|\n)*^logs: .*/\.tracemill/logs$"),
    f"{MAPPED} --dry-run": Shown(r"^mapping: question = problem, gold = answer$"),
    "tracemill enqueue questions.jsonl --dry-run": Shown(r"^mapping: question = problem, gold = answer$"),
    QUESTIONS: Shown(opened("questions-teacher-cot")),
    WATCH: Shown(r"│ questions-teacher-cot │ done +│ +6 of 6 │ +0 │ +48 │", (QUESTIONS,)),
    # Here a producer leads, and no job waits for a worker of the student.
    "tracemill health": Shown(r"│ redis +│ well", (WATCH,)),
    'tracemill sql "select job, questions, traces, correct, accepted, tokens_out from job_progress"': Shown(
        r"│ questions-teacher-cot +│ +6 │ +48 │", (QUESTIONS,), "questions-teacher-cot"
    ),
    LUCK: Shown(r"│ no +│ +40 │ +40 │", (QUESTIONS,), "questions-teacher-cot"),
    'tracemill sql "select question, answer, gold, proof from trace_scores where accepted limit 5"': Shown(
        r"│ What is \d \+ 1\? │ +(\d) │ +\1 │ exact rational │", (QUESTIONS,), "questions-teacher-cot"
    ),
    FIRST: Shown(opened("first")),
    "tracemill enqueue 'job:first?failed' --method rationalize --name rescued": Shown(
        r"^job rescued: 1 questions read", (FIRST,), "first"
    ),
    "tracemill enqueue job:first --method inject --model student --name helped": Shown(
        opened("helped"), (FIRST,), "first"
    ),
    PILOT: Shown(r"^take gsm8k:teacher-(cot|stepwise)-t0\.[37]: its accepted traces are cheapest, by tokens$"),
    "tracemill enqueue gsm8k.jsonl --map gold=answer --like gsm8k:teacher-cot-t0.7": Shown(
        opened("gsm8k-teacher-cot-t0.7"), (PILOT,)
    ),
    ADAPTIVE: Shown(opened("gsm8k-teacher-cot")),
    ROUTED: Shown(rf"{opened('routed')}\n^job routed-tier2: teacher answers each question"),
    "tracemill jobs show routed": Shown(r"│ +2 │ routed-tier2 +│ teacher │", (ROUTED,)),
    "tracemill jobs show gsm8k-teacher-cot": Shown(
        r"^adaptive sampling +2 accepted of at most 8, 2 at a time", (ADAPTIVE,), "gsm8k-teacher-cot"
    ),
    SAMPLED: Shown(opened("sampled")),
    "tracemill jobs show sampled": Shown(r"^sampling\.top_k +40 *$", (SAMPLED,)),
    f"{MAPPED} --policy policy.toml --name strict": Shown(opened("strict")),
    "tracemill jobs": Shown(r"questions-teacher-cot", (QUESTIONS,)),
    "tracemill enqueue 'gym:chain_sum?min_terms=2' --model teacher --method cot --samples 8 --limit 100": Shown(
        opened("gym-chain_sum-teacher-cot")
    ),
    COT: Shown(opened("cot")),
    **{
        f"{METHOD} --samples 2 --method {name} --name {name}": Shown(opened(name))
        for name in ("contrast", "explain", "refine", "stepwise", "stepwise-gold")
    },
    "tracemill enqueue job:cot?accepted --samples 2 --model student --method inject --name inject": Shown(
        opened("inject"), (COT,), "cot"
    ),
    "tracemill enqueue job:cot?failed --samples 4 --method rationalize --name rationalize": Shown(
        opened("rationalize"), (COT,), "cot"
    ),
    "tracemill models": Shown(rf"│ {re.escape(MODEL)} +│ +494 M │ Apache-2\.0 │ +491 MB │ \.tracemill/models/Qwen"),
    f"tracemill models get {MODEL}": Shown(rf"^{re.escape(MODEL)} is in \.tracemill/models/"),
    f"tracemill models show {MODEL}": Shown(r"^sha256 +1d9614638d18024d"),
    "tracemill methods": Shown(r"│ refine +│"),
    "tracemill methods refine --domain code": Shown(r"^user: .*\{question\}"),
    VERIFY: Shown(r"^right +1\b"),
    "tracemill import traces.jsonl --model deepseek-r1": Shown(r"^job traces-import: 1 traces in 1 rows, 1 new"),
    "tracemill calibrate --judge verifier labelled.jsonl": Shown(r"│ rating +│ +15 │ +15 │ 0\.50 "),
    "tracemill export good.parquet --where \"method = 'cot'\"": Shown(
        r"^good\.parquet: \d+ traces$", (FIRST,), "first"
    ),
    "tracemill export good --columns question,text,answer": Shown(r"^good: \d+ traces$", (FIRST,), "first"),
    "tracemill export messages.jsonl --as messages": Shown(r"^messages\.jsonl: \d+ rows$", (FIRST,), "first"),
    "tracemill export all.jsonl.gz --include all": Shown(r"^all\.jsonl\.gz: [\d,]+ traces$", (FIRST,), "first"),
    ARCHIVE: Shown(r"^first is archived in /.*/archive/first \(\d+ traces\)$", ARCHIVED[:-1]),
    "tracemill verify archive/first/traces-00000.parquet -o again.jsonl": Shown(r"^right +\d", ARCHIVED),
    "tracemill import 'archive/first/traces-*.parquet' --name again": Shown(
        r"^job again: \d+ traces in \d+ rows, \d+ new, 0 left out\.", ARCHIVED
    ),
    "tracemill doctor": Shown(r"│ Postgres +│ ok(.|\n)*^everything needed is here, \d warnings?$"),
    "tracemill health --here": Shown(r"│ redis +│ well"),
    "tracemill db upgrade": Shown(r"^the schema is up to date$"),
    "tracemill db roles": Shown(r"^`tracemill up` has set the roles of the local stack$"),
}
#: These run last, when there are stored rounds.
TRAINING = {
    BEFORE: Shown(opened("student-before")),
    "tracemill train round.toml --dry-run": Shown(r"round-1: what it would train on", TAUGHT, "gsm8k-teacher-cot"),
    "tracemill train round.toml --control": Shown(
        r"round-1: what it would train on", TAUGHT, "gsm8k-teacher-cot", "--dry-run"
    ),
    "tracemill rounds show round-1": Shown(r"│ held-out +│ after +│ +20 │ +50\.0 "),
    "tracemill rounds compare round-1-control round-1": Shown(r"^held-out: \+10\.0 points"),
    "tracemill rounds compare round-1 round-2": Shown(r"^held-out: \+10\.0 points"),
    "tracemill rounds compare a-1,a-2,a-3 b-1,b-2,b-3": Shown(r"^held-out: \+10\.0 points in each of 3 seeds"),
    "tracemill rounds tiers round-1 --limit 100": Shown(
        r"│ teacher-bf16 +│ +0\.0 \[0\.0, 16\.1\] │(.|\n)*^merged-bf16 was not tried here: ", more="--formats bf16"
    ),
    "tracemill report round-1 -o round-1.html": Shown(r"^report of round round-1: /.*/round-1\.html$"),
    "tracemill loop star.toml": Shown(r"^loop star is open\. ", (BEFORE,), more="--no-wait"),
    "tracemill loop own-words.toml": Shown(r"^loop own-words is open\. ", more="--no-wait"),
    "tracemill loops": Shown(r"^.*star\b.* running\b"),
    "tracemill loops show star": Shown(r"star"),
    "tracemill loops stop star": Shown(r"star"),
    f"{RECIPE} train recipes/gsm8k-cot.toml --dry-run": Shown(PLANNED),
    f"{RECIPE} train recipes/gsm8k-cot.toml --control": Shown(PLANNED, more="--dry-run"),
    f"{RECIPE} report gsm8k-cot": Shown(r"^report of round gsm8k-cot: /"),
    SMALL: Shown(PLANNED, more="--dry-run"),
}
#: These end or change the stack, so they have another one. `test_documented_processes.py` has the endless ones.
ALONE = {f"{RECIPE} up", "tracemill down"}
PROCESSES = {
    "tracemill producer",
    "tracemill worker generate --model teacher",
    "tracemill worker verify",
    "tracemill worker train",
    "tracemill verify --serve",
    "tracemill view",
    "tracemill view traces.jsonl",
    "tracemill celery flower --address=127.0.0.1",
}


@pytest.fixture(scope="module")
def beside_a_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    student = tmp_path_factory.mktemp("models") / "student"
    byte_tokenizer(TEMPLATE, "<|im_start|>", "<|im_end|>").save_pretrained(student)
    (student / "config.json").write_text('{"model_type": "llama"}')
    with world(tmp_path_factory.mktemp("world"), str(student)) as running:
        yield running


def test_every_documented_command_is_tried() -> None:
    assert set(commands()) == COMMANDS.keys() | TRAINING.keys() | ALONE | PROCESSES


@pytest.fixture(scope="module")
def beside_rounds(beside_a_stack: World) -> World:
    store_rounds(beside_a_stack.folder)
    return beside_a_stack


@pytest.mark.parametrize("line", COMMANDS)
def test_a_documented_command_does_what_its_page_states(beside_a_stack: World, line: str) -> None:
    check(beside_a_stack, line, COMMANDS[line])


@pytest.mark.parametrize("line", TRAINING)
def test_a_training_command_does_what_its_page_states(beside_rounds: World, line: str) -> None:
    check(beside_rounds, line, TRAINING[line])


def check(running: World, line: str, case: Shown) -> None:
    for earlier in case.after:
        running.run(earlier)
    if case.job:
        running.wait(case.job)
    ended = running.run(f"{line} {case.more}".strip())
    printed = ended.stdout + ended.stderr
    assert ended.returncode == 0, printed
    assert re.search(case.prints, printed, re.MULTILINE), printed


def test_the_verified_trace_has_the_documented_verdict(beside_a_stack: World) -> None:
    check(beside_a_stack, VERIFY, COMMANDS[VERIFY])
    verdict = json.loads((beside_a_stack.folder / "verified.jsonl").read_text())
    fields = {name: verdict[name] for name in ("correct", "proof", "first_error", "equations")}
    assert json.dumps(fields)[1:-1] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_stack_of_the_recipes_starts_and_ends_as_documented(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    settings = ROOT / "recipes" / "tracemill.toml"
    (tmp_path / "recipes" / "tracemill.toml").write_text(settings.read_text())
    up = shlex.split(f"{RECIPE} up --services-only")[1:]
    try:
        assert "RUNNING" in succeed(tmp_path, *up, seconds=300)
    finally:
        assert succeed(tmp_path, "down") == ""
    assert "STOPPED" in succeed(tmp_path, "status")
