"""`tracemill doctor`: what this machine has and lacks, each with the remedy."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.fake_cards import MIB_OF_24_GIB, path_with_cards
from tests.in_process import here
from tests.installed import tracemill
from tests.tiny import TEMPLATE

pytestmark = pytest.mark.integration

SHAPE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
THINKS = TEMPLATE + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"


@contextmanager
def pages(statuses: Mapping[str, int], answers: Mapping[str, Any]) -> Iterator[str]:
    """A server with these statuses by the first path that begins a request; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = next((status for path, status in statuses.items() if self.path.startswith(path)), 404)
            if status == 0:
                time.sleep(120)
            body = json.dumps(answers.get(self.path, {})).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def model_folder(folder: Path, *, words: tuple[str, ...] = ("a", "b"), template: str = TEMPLATE, **config: int) -> None:
    """A model without weights."""
    from tokenizers import Tokenizer, models

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SHAPE | config))
    Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, words[0])).save(
        str(folder / "tokenizer.json")
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template} if template else {}))


def examined(
    folder: Path, settings: str = "", run: "Callable[..., CompletedProcess[str]]" = here, **variables: str
) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and each finding by its check."""
    (folder / "tracemill.toml").write_text(settings)
    done = run(folder, "doctor", "--json", **variables)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}


def test_a_complete_machine_passes_and_stays_unchanged(tmp_path: Path) -> None:
    code, findings = examined(tmp_path)
    assert code == 0, findings
    checks = ["Python", "torch", "CUDA", "vLLM", "bitsandbytes", "other packages", "sandbox", "disk", "Postgres",
              "Redis", "ports", "local stack", "data folder", "keys", "Flower", "model teacher", "model student",
              "model verifier"]  # fmt: skip
    assert list(findings) == checks
    assert findings["torch"]["result"].endswith("built for the CPU")
    assert [path.name for path in tmp_path.iterdir()] == ["tracemill.toml"]


def test_wrong_settings_end_with_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "tracemill.toml").write_text("[local]\ngpu = 'all'\n")
    ended = here(tmp_path, "doctor")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "did you mean gpus?" in ended.stderr


MODELS = """
[local]
generate = ["thinker", "cut", "untemplated", "missing", "nobody"]
judge = ""
[models]
teacher.model = "./base"
student.model = "./base"
verifier.model = "./none"
thinker.model = "./thinker"
cut.model = "./short"
stretched.model = "./stretched"
untemplated.model = "./plain"
missing.model = "./none"
"""


def test_every_model_is_examined_and_unserved_ones_only_warn(tmp_path: Path) -> None:
    model_folder(tmp_path / "base")
    model_folder(tmp_path / "thinker", words=("a", "c"), template=THINKS)
    model_folder(tmp_path / "short", max_position_embeddings=1024)
    model_folder(tmp_path / "stretched", max_position_embeddings=1024, rope_scaling={"factor": 4.0})
    model_folder(tmp_path / "plain", template="")
    code, findings = examined(tmp_path, MODELS)
    assert code == 1
    results = {name.removeprefix("model "): (row["state"], row["result"]) for name, row in findings.items()}
    assert results["student"] == ("ok", "vllm, ./base, no thoughts in its template")
    assert results["teacher"] == ("ok", "vllm, ./base, no thoughts in its template, the student's tokens")
    thinks = "vllm, ./thinker, it thinks, other tokens than the student: no objective logits"
    assert results["thinker"] == ("ok", thinks)
    assert results["cut"] == ("broken", "max_model_len = 2048, but the model reads at most 1024 tokens")
    assert results["stretched"][0] == "ok"
    assert results["untemplated"] == ("broken", "it has no chat template, so it cannot be asked")
    assert results["verifier"][0] == "warning"
    assert results["missing"][0] == "broken"
    assert results["verifier"][1] == results["missing"][1]
    assert results["nobody"] == ("broken", "[local] names it, but there is no such alias")
    assert all(row["advice"] for row in findings.values() if row["state"] != "ok")


SERVERS = """
[local]
generate = ["good", "other", "locked", "away", "student"]
judge = ""
gpus = [0]
[models]
good = {{ engine = "openai", model = "m", openai.base_url = "{url}/good/v1" }}
other = {{ engine = "openai", model = "m", openai.base_url = "{url}/other/v1" }}
locked = {{ engine = "openai", model = "m", openai.base_url = "{url}/locked/v1" }}
away = {{ engine = "openai", model = "m", openai.base_url = "http://127.0.0.1:1/v1" }}
student.model = "org/student"
teacher.model = "org/gated"
verifier.model = "org/none"
slow.model = "org/slow"
"""


def test_servers_and_the_hub_are_asked_for_a_few_seconds(tmp_path: Path) -> None:
    statuses = {"/good": 200, "/other": 200, "/locked": 401, "/org/student": 200, "/org/gated": 403, "/org/slow": 0}
    answers = {f"/{name}/v1/models": {"data": [{"id": name[0]}]} for name in ("good", "other")}
    answers["/good/v1/models"] = {"data": [{"id": "m"}]}
    answers["/org/student/resolve/main/config.json"] = SHAPE | {"max_position_embeddings": 4096}
    answers["/org/student/resolve/main/chat_template.jinja"] = THINKS
    with pages(statuses, answers) as url:
        start = time.monotonic()
        hub = {"HF_ENDPOINT": url, "HF_HUB_CACHE": str(tmp_path / "hub")}
        hub["PATH"] = path_with_cards(tmp_path / "bin", MIB_OF_24_GIB)
        code, findings = examined(tmp_path, SERVERS.format(url=url), tracemill, **hub)
        seconds = time.monotonic() - start
    assert code == 1
    assert seconds < 90  # its start takes most of it on a busy machine; the slow page would take 120
    results = {name.removeprefix("model "): (row["state"], row["result"]) for name, row in findings.items()}
    assert results["good"] == ("ok", "openai, m, reachable")
    assert results["other"] == ("broken", f"{url}/other/v1/models lists o, not m")
    assert results["locked"] == ("broken", f"{url}/locked/v1/models wants a key, set openai.api_key_env (401)")
    assert results["away"][0] == "broken"
    assert "does not answer: Connection refused" in results["away"][1]
    assert results["student"] == ("ok", "vllm, org/student, reachable, it thinks")
    assert findings["memory of GPU 0"]["result"].startswith("student ")  # planned before any download
    assert results["teacher"][0] == "warning"
    assert "its licence must be accepted" in results["teacher"][1]
    assert results["verifier"] == ("warning", "the hub has no model org/none")
    assert results["slow"][0] == "warning"


def test_idle_cards_taken_ports_and_absent_servers_are_reported(tmp_path: Path) -> None:
    path = path_with_cards(tmp_path / "bin", MIB_OF_24_GIB, MIB_OF_24_GIB, used_mib=8192)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = f"redis_url = 'redis://127.0.0.1:1/0'\n[local]\npostgres_port = {port}\n"
        code, findings = examined(tmp_path, settings, PATH=path)
    assert code == 1
    assert findings["CUDA"]["state"] == "warning"
    assert findings["CUDA"]["result"] == "the driver runs CUDA up to 12.8, but torch is a CPU build: the GPU is idle"
    assert "pip install 'tracemill[gpu" in findings["CUDA"]["advice"]
    card = "NVIDIA GeForce RTX 4090, 24.0 GiB, 16.0 free, driver 550.54"
    assert (findings["GPU 1"]["state"], findings["GPU 1"]["result"]) == ("warning", card)
    assert findings["vLLM"]["result"].endswith("built for the CPU: the GPU is idle")
    assert findings["ports"]["result"] == f"taken by another program: postgres_port = {port}"
    assert findings["Redis"]["state"] == "broken"
    assert findings["Redis"]["advice"] == "start it, or correct redis_url"


def test_the_variable_for_visible_cards_limits_the_cards(tmp_path: Path) -> None:
    path = path_with_cards(tmp_path / "bin", MIB_OF_24_GIB, 2 * MIB_OF_24_GIB)
    code, findings = examined(tmp_path, PATH=path, CUDA_VISIBLE_DEVICES="GPU-1f3a1b2c,7")
    assert code == 0
    cards = {check: row["result"] for check, row in findings.items() if check.startswith("GPU")}
    assert list(cards) == ["GPU GPU-1f3a1b2c", "GPU 7"]
    assert "48.0 GiB" in cards["GPU GPU-1f3a1b2c"]
    assert cards["GPU 7"] == "unknown, its memory is unknown"
