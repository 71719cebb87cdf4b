"""The local stack on a machine with two cards: one generate worker a card, pinned, and memory that must fit.

The cards exist only in the environment: a script in place of `nvidia-smi`, and CUDA_VISIBLE_DEVICES.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from db.heartbeat import program_and_pid
from tests.fake_cards import MIB_OF_24_GIB, path_with_cards
from tests.in_process import here
from tests.installed import succeed, tracemill
from tests.integration.factory import wait_until
from tests.scripted_server import ScriptedServer
from tracemill.lending import borrowed
from tracemill.queues import generate_queue
from tracemill.stack import load

pytestmark = pytest.mark.integration

SERVED = """
[local]
gpus = [0, 1]
generate = ["teacher"]
judge = ""
flower = false
[models.teacher]
engine = "openai"
openai.base_url = "{url}"
model = "scripted"
"""
WORKERS = ["generate-openai-gpu0", "generate-openai-gpu1"]


@pytest.fixture(scope="module")
def two_cards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a running stack."""
    folder = tmp_path_factory.mktemp("cards")
    with ScriptedServer(lambda _: "1 + 1 = 2. The answer is 2.") as server:
        (folder / "tracemill.toml").write_text(SERVED.format(url=server.base_url))
        try:
            succeed(folder, "up", seconds=180)
            yield folder
        finally:
            succeed(folder, "down")


def workers(folder: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads(here(folder, "status", "--json").stdout)
    return {row["name"]: row for row in rows if row["name"].startswith("generate")}


def states(folder: Path) -> set[str]:
    return {row["state"] for row in workers(folder).values()}


def test_each_card_has_a_pinned_worker_that_status_and_celery_name(two_cards: Path) -> None:
    wait_until(lambda: states(two_cards) == {"RUNNING"}, 60)
    rows = workers(two_cards)
    assert list(rows) == WORKERS
    assert [(row["gpu"], row["engine"]) for row in rows.values()] == [("0", "openai"), ("1", "openai")]
    environments = [psutil.Process(row["pid"]).environ() for row in rows.values()]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1"]
    assert {environment["CUDA_DEVICE_ORDER"] for environment in environments} == {"PCI_BUS_ID"}
    names = {f"{name}.{row['pid']}" for name, row in rows.items()}
    beats = {part["name"].split("@")[0] for part in json.loads(here(two_cards, "health", "--json").stdout)}
    assert names <= beats
    wait_until(lambda: names <= set(map(program_and_pid, re.findall(r"[\w.-]+@", pinged(two_cards)))), 60)
    table = succeed(two_cards, "status")
    assert re.search(r"generate-openai-gpu1 │ RUNNING .*│ +1 │ openai", table), table


def pinged(folder: Path) -> str:
    """The answers of the Celery workers, by the names that Flower shows."""
    return tracemill(folder, "celery", "inspect", "ping", "--timeout", "5").stdout


def test_a_kind_restarts_all_its_workers(two_cards: Path) -> None:
    before = {name: row["pid"] for name, row in workers(two_cards).items()}
    assert f"restarted: {', '.join(WORKERS)}\n" in tracemill(two_cards, "restart", "generate").stderr
    after = {name: row["pid"] for name, row in workers(two_cards).items()}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_workers_lend_their_cards_to_a_fit_and_continue_after_it(two_cards: Path) -> None:
    (two_cards / "one.jsonl").write_text('{"question": "What is 1 + 1?", "gold": "2"}\n')
    logs = [two_cards / ".tracemill" / "logs" / f"{name}.log" for name in WORKERS]
    with borrowed(two_cards / ".tracemill", ["0", "1"], lambda: True) as is_held:
        assert is_held
        assert all("the engines sleep" in log.read_text() for log in logs)
        assert here(two_cards, "enqueue", "one.jsonl", "--samples", "1", "--name", "lent").returncode == 0
        wait_until(lambda: progress(two_cards)["queued"] == 1, 60)
        wait_until(lambda: states(two_cards) == {"LENDING"}, 60)
        assert "lent: generate is lending its GPU to a fit" in here(two_cards, "jobs", "list").stdout
        assert "lent: generate is lending its GPU to a fit" in here(two_cards, "status").stdout
        time.sleep(3)
        assert (progress(two_cards)["traces"], messages(two_cards, "teacher")) == (0, 1)
    wait_until(lambda: progress(two_cards)["traces"] == 1, 120)
    wait_until(lambda: states(two_cards) == {"RUNNING"}, 60)


def messages(folder: Path, alias: str) -> int:
    """The messages for the workers of an alias that none has taken."""
    stack = load(folder / ".tracemill")
    assert stack is not None
    with redis.Redis.from_url(stack.redis_url) as client:
        return int(client.llen(generate_queue(alias)))


def progress(folder: Path) -> dict[str, Any]:
    (job,) = json.loads(here(folder, "jobs", "list", "--json").stdout)
    return dict(job)


LLAMA_8B = {
    "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip
BIG = """
[local]
gpus = [0]
generate = ["teacher", "verifier"]
judge = ""
train = {train}
[models]
teacher.model = "./big"
verifier = {{ model = "./big", vllm.max_model_len = 4096 }}
student.model = "./{student}"
"""


def big(folder: Path, *, train: str = "false", student: str = "none") -> None:
    (folder / "big").mkdir()
    (folder / "big" / "config.json").write_text(json.dumps(LLAMA_8B))
    (folder / "huge").mkdir()
    (folder / "huge" / "config.json").write_text(json.dumps(LLAMA_8B | {"num_hidden_layers": 128}))
    (folder / "tracemill.toml").write_text(BIG.format(train=train, student=student))


def test_engines_that_do_not_fit_a_card_are_refused_with_the_arithmetic(tmp_path: Path) -> None:
    big(tmp_path)
    path = path_with_cards(tmp_path / "bin", MIB_OF_24_GIB)
    ended = here(tmp_path, "up", PATH=path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: the engines do not fit on a card of 24.0 GiB.")
    assert re.search(r"teacher needs 17\.\d GiB \(15\.0 weights \+ .* computing \+ 0\.25 one sequence\)", ended.stderr)
    assert not (tmp_path / ".tracemill").exists()
    findings = json.loads(here(tmp_path, "doctor", "--json", PATH=path).stdout)
    (memory,) = [finding for finding in findings if finding["check"] == "GPU memory"]
    assert memory["state"] == "broken"
    assert ended.stderr.strip().removeprefix("error: ") == memory["result"]


def test_each_engine_gets_its_share_of_a_card_that_is_large_enough(tmp_path: Path) -> None:
    big(tmp_path)
    path = path_with_cards(tmp_path / "bin", 2 * MIB_OF_24_GIB)
    findings = json.loads(here(tmp_path, "doctor", "--json", PATH=path).stdout)
    (memory,) = [finding for finding in findings if finding["check"] == "memory of GPU 0"]
    shares = dict(re.findall(r"(\w+) (\d+)%", memory["result"]))
    assert shares.keys() == {"teacher", "verifier"}
    assert 90 <= sum(map(int, shares.values())) <= 95


def test_a_fit_that_does_not_fit_a_card_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    big(tmp_path, train="true", student="huge")
    ended = here(tmp_path, "up", PATH=path_with_cards(tmp_path / "bin", MIB_OF_24_GIB))
    assert ended.returncode == 2
    assert re.search(r"error: a fit of ./huge needs \d+\.\d GiB \(.* NF4 weights \+ ", ended.stderr)


def test_an_engine_that_spans_more_cards_than_there_are_is_refused(tmp_path: Path) -> None:
    big(tmp_path)
    with (tmp_path / "tracemill.toml").open("a") as settings:
        settings.write("teacher.vllm.options = { tensor_parallel_size = 2 }\n")
    ended = here(tmp_path, "up")
    assert ended.returncode == 2
    assert "model alias 'teacher' computes on 2 GPUs (tensor_parallel_size, pipeline_parallel_size)" in ended.stderr
