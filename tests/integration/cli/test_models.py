"""`tracemill models`: a model by its name, from a local file to a folder that engines and trainers load."""

import hashlib
import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.in_process import here
from tests.tiny_gguf import PARAMETERS, VOCABULARY, WIDTH, tiny_gguf
from tracemill.conversion import convert
from tracemill.known_models import KNOWN, KnownModel

pytestmark = pytest.mark.integration


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A known model, whose file is in the folder `usb`."""
    (tmp_path / "usb").mkdir()
    content = tiny_gguf(tmp_path / "usb" / "tiny.gguf").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    model = KnownModel(
        "Tiny-18K", PARAMETERS, "MIT", "tiny/18K", "tiny/18K-GGUF", "t.gguf", len(content), sha256, (), "Tiny-18K"
    )
    monkeypatch.setitem(KNOWN, model.name, model)
    return model


def printed(ended: "CompletedProcess[str]") -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def n_parameters(folder: Path) -> int:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as weights:
        return sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118


def test_a_model_that_was_fetched_needs_no_source_again(
    tiny: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = json.loads(printed(here(tmp_path, "models", "show", tiny.name, "--json")))
    assert (row["here"], row["context"], row["template"]) == (None, None, None)
    folder = str(Path(".tracemill", "models", tiny.name))
    first = printed(here(tmp_path, "models", "get", tiny.name, "--from", "usb"))
    assert first == f'{tiny.name} is in {folder}. In tracemill.toml: model = "{tiny.name}"\n'

    monkeypatch.setattr("tracemill.weights.fetch", None)
    assert printed(here(tmp_path, "models", "get", tiny.name)) == first
    row = json.loads(printed(here(tmp_path, "models", "show", tiny.name, "--json")))
    assert (row["here"], row["sha256"], row["context"], row["thinks"]) == (folder, tiny.sha256, 128, False)
    assert row["template"].startswith("{% for m in messages %}")
    assert "here        .tracemill/models/Tiny-18K" in printed(here(tmp_path, "models", "show", tiny.name))
    assert [row["here"] for row in json.loads(printed(here(tmp_path, "models", "list", "--json")))][-1] == folder
    # The file holds the output embeddings, although they are those of the input.
    assert n_parameters(tmp_path / folder) == PARAMETERS


def test_output_embeddings_of_their_own_stay(tmp_path: Path) -> None:
    convert(tiny_gguf(tmp_path / "tiny.gguf", tied=False), tmp_path / "model")
    assert n_parameters(tmp_path / "model") == PARAMETERS + VOCABULARY * WIDTH


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    ended = here(tmp_path, "models", "get", "Qwen2.5-Coder-0.5B")
    assert ended.returncode == 2
    assert "no model 'Qwen2.5-Coder-0.5B'. Models: SmolLM2-135M-Instruct, Qwen2.5-" in ended.stderr
    ended = here(tmp_path, "models", "get", "Qwen/Qwen3-4B")
    assert "Qwen/Qwen3-4B is a hub name: it is downloaded at its first use" in ended.stderr
