"""Models and checkpoints of others are data: their code never runs, and no pickle is read."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tracemill.errors import TracemillError
from trainer.experts import unquantised_bytes
from trainer.rows import load_tokenizer


def loads() -> Iterator[tuple[str, ast.Call]]:
    """Every call in our packages that loads a part of a model with Transformers."""
    packages = ("tracemill", "trainer", "workers", "cli")
    for path in [file for package in packages for file in (ROOT / package).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("Auto"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}", node


def test_every_load_of_a_model_refuses_its_code_and_pickles() -> None:
    calls = list(loads())
    assert len(calls) > 4
    for where, call in calls:
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert options.get("trust_remote_code") == "False", where
        if where.endswith("ForCausalLM.from_pretrained"):
            assert "gguf_file" in options or options.get("use_safetensors") == "True", where


@pytest.mark.parametrize("load", [load_tokenizer, unquantised_bytes])
def test_code_of_a_model_folder_does_not_run(tmp_path: Path, load: object) -> None:
    code = {"AutoConfig": "hostile.Config", "AutoTokenizer": ["hostile.Tokenizer", None]}
    config = {"model_type": "hostile", "auto_map": code, "tokenizer_class": "Hostile"}
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(json.dumps(config))
    run = f"open({str(tmp_path / 'ran')!r}, 'w')"
    (tmp_path / "hostile.py").write_text(f"{run}\nclass Config: ...\nclass Tokenizer: ...\n")
    with pytest.raises(ValueError, match="trust_remote_code"):
        load(str(tmp_path))  # type: ignore[operator]
    assert not (tmp_path / "ran").exists()


def test_a_fit_resumes_only_from_a_folder_that_nobody_else_can_write(tmp_path: Path) -> None:
    from trainer.callbacks import MARK, latest

    folder = tmp_path / "round" / "checkpoints"
    assert latest(folder, "mine") is None
    checkpoint = folder / "checkpoint-3"
    checkpoint.mkdir()
    (checkpoint / MARK).write_text("mine")
    assert latest(folder, "mine") == checkpoint
    folder.chmod(0o777)
    with pytest.raises(TracemillError, match=r"others can write the checkpoints in .* `chmod go-w"):
        latest(folder, "mine")
