"""A folder with the files that the documented commands name, and a running stack whose models are scripted."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.session import transaction
from tests.conftest import forget
from tests.documented import ROOT, block_after
from tests.installed import succeed, tracemill
from tests.integration.factory import wait_until
from tests.integration.measured import benchmark, measured, teach
from tests.scripted_server import ScriptedServer
from tracemill.methods.domains import BOXED
from tracemill.stack import load

QUESTIONS = 6
#: The scripted teacher always answers this question wrong.
TOO_HARD = 3
SERVED = (
    '[models.{alias}]\nengine = "openai"\nopenai.base_url = "{url}"\nmodel = "scripted"\nsampling.max_tokens = 512\n'
)
SETTINGS = """
[local]
generate = ["teacher"]
train = false
flower = false
[feeder]
interval_seconds = 0.2
[models.student]
model = "{student}"
vllm.adapters = true
"""


#: The model that the documents fetch. Its folder is here, so nothing is downloaded.
MODEL = "Qwen2.5-Coder-0.5B-Instruct"
METHODS_QUESTIONS = "docs/methods_questions.jsonl"
GOLDS = {row["question"]: row["gold"] for row in map(json.loads, (ROOT / METHODS_QUESTIONS).open())}


def answer(prompt: str) -> str:
    """The answer of every model: right, except for one sum and for prompts without a sum."""
    gold = GOLDS.get(prompt.removesuffix(f"\n{BOXED}"))
    if gold is not None:
        return f"The answer is {gold if gold.isdigit() else 'unknown'}."
    match = re.search(r"What is (\d+) \+ 1\?", prompt)
    n = int(match[1]) if match else 1
    result = n + 2 if n == TOO_HARD else n + 1
    return f"{n} + 1 = {result}. The answer is {result}."


UNSETTLED = """
select count(*) from job_questions join jobs on jobs.id = job_id join questions on questions.id = question_id
where jobs.name = :job and job_questions.state not in ('done', 'failed') and questions.domain <> 'code'
"""


class World:
    """Runs documented commands in the folder, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ended: dict[str, CompletedProcess[str]] = {}

    def run(self, line: str) -> CompletedProcess[str]:
        """Return the result of the command; run it only the first time."""
        if line not in self._ended:
            self._ended[line] = tracemill(self.folder, *shlex.split(line)[1:], seconds=300, COLUMNS="120")
        return self._ended[line]

    def wait(self, job: str) -> None:
        """Wait until all traces of the job have verdicts, except programs, which need a sandbox."""
        stack = load(self.folder / ".tracemill")
        assert stack is not None
        engine = create_engine(stack.database_url, poolclass=NullPool)

        def is_done() -> bool:
            with engine.connect() as connection:
                return not connection.execute(text(UNSETTLED), {"job": job}).scalar_one()

        wait_until(is_done, 300)


@contextmanager
def world(folder: Path, student: str) -> Iterator[World]:
    """Run the stack until the block ends. `student`: a model folder with a tokenizer; no engine loads it."""
    with ScriptedServer(answer) as server:
        served = "".join(SERVED.format(alias=alias, url=server.base_url) for alias in ("teacher", "verifier"))
        (folder / "tracemill.toml").write_text(SETTINGS.format(student=student) + served)
        write_files(folder)
        try:
            succeed(folder, "up", seconds=300)
            fetched = folder / ".tracemill" / "models" / MODEL
            fetched.mkdir(parents=True)
            (fetched / "config.json").write_text("{}")
            yield World(folder)
        finally:
            succeed(folder, "down")


def write_files(folder: Path) -> None:
    """Write the files of the documented commands: our questions and traces, and the files that the documents show."""
    sums = [(f"What is {n} + 1?", str(n + 1)) for n in range(QUESTIONS)]
    wrong = [(question, f"The answer is {int(gold) + n % 2}.", gold) for n, (question, gold) in enumerate(sums * 5)]
    for name, rows in {
        "questions.jsonl": [{"problem": question, "answer": gold} for question, gold in sums],
        "gsm8k.jsonl": [{"question": question, "answer": f"So it is.\n#### {gold}"} for question, gold in sums],
        "train.jsonl": [{"question": f"{question} Say it.", "gold": gold} for question, gold in sums],
        "test.jsonl": [{"question": f"Add one to {n}, please.", "gold": str(n + 1)} for n in range(50, 56)],
        "dev.jsonl": [{"question": f"Add two to {n}, please.", "gold": str(n + 2)} for n in range(60, 66)],
        "labelled.jsonl": [{"question": question, "trace": trace, "gold": gold} for question, trace, gold in wrong],
        "examples.jsonl": [{"question": question, "answer": answer(question)} for question, _ in sums[:2]],
    }.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "traces.jsonl").write_text(block_after("README.md", '{"question": "Ann'))
    (folder / "policy.toml").write_text(block_after("README.md", "# policy.toml"))
    (folder / "round.toml").write_text(block_after("README.md", "# round.toml"))
    (folder / "star.toml").write_text(block_after("docs/training.md", "# star.toml"))
    (folder / "own-words.toml").write_text(block_after("docs/training.md", "# own-words.toml"))
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    for name in (METHODS_QUESTIONS, "producer/demo_examples.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def store_rounds(folder: Path) -> None:
    """Store finished rounds with increasing accuracy, as a trainer would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACEMILL_DATA_DIR", str(folder / ".tracemill"))
        forget()
        with transaction() as connection:
            traces = teach(connection)
            benchmark(connection, "held-out", [n < 5 for n in range(20)])
            for better, name in enumerate(("round-1-control", "round-1", "round-2", "gsm8k-cot")):
                measured(connection, name, {"held-out": [n < 8 + 2 * better for n in range(20)]}, traces)
            for better, recipe in enumerate("ab"):
                for seed in (1, 2, 3):
                    right = [n < 8 + 2 * better for n in range(20)]
                    measured(connection, f"{recipe}-{seed}", {"held-out": right}, traces, select={"seed": seed})
    forget()
