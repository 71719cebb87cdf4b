"""A fit in two processes learns the same adapter as a fit in one, also if they share the student (FSDP)."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import ROOT
from tests.tiny import byte_model
from tracemill.interpreter import python

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SETTINGS = {"examples": 12, "epochs": [1], "batch_size": 4, "max_tokens": 512, "learning_rate": 3e-3}
TWO = {"processes": 2}
SHARDED = {"processes": 2, "shard": True}
#: The shorter rows of a step make one pass, the longer ones two. So two processes have different numbers of passes.
PASSES = {"tokens_a_pass": 200}


class Fitted(NamedTuple):
    losses: list[float]
    adapter: dict[str, Any]
    #: The step at which the fit resumed.
    resumed: int

    def difference(self, other: "Fitted") -> float:
        """The distance of two adapters relative to their norm."""
        import torch

        assert self.adapter.keys() == other.adapter.keys()
        one, two = (torch.cat([fit.adapter[name].flatten() for name in sorted(fit.adapter)]) for fit in (self, other))
        return float((one - two).norm() / one.norm())


def fit(model: str, folder: Path, **settings: Any) -> Fitted:
    """Fit in as many processes as the settings name."""
    from safetensors.torch import load_file

    given = [model, str(folder), json.dumps(SETTINGS | settings)]
    command = python("tests.fit_lesson", *given)
    if (count := settings.get("processes", 1)) > 1:
        command = python("torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", *command[3:])
    ended = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    tensors = load_file(folder / "adapter" / "adapter_model.safetensors")
    result = json.loads((folder / "fit.json").read_text())
    return Fitted(result["losses"], {name: value.float() for name, value in tensors.items()}, result["resumed"])


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("student"))


def test_two_processes_learn_the_adapter_of_one(student: str, tmp_path: Path) -> None:
    one = fit(student, tmp_path / "one")
    for name, settings in {"two": TWO, "passes": TWO | PASSES, "sharded": SHARDED | PASSES}.items():
        several = fit(student, tmp_path / name, **settings)
        assert several.losses == pytest.approx(one.losses, abs=0.001), name
        assert one.difference(several) < 0.005, name


def test_two_processes_learn_pairs_as_one_does(student: str, tmp_path: Path) -> None:
    # Each process takes the mean of its own tokens, so the results differ a little.
    one = fit(student, tmp_path / "one", objective="preference")
    two = fit(student, tmp_path / "two", objective="preference", **TWO)
    assert two.losses == pytest.approx(one.losses, abs=0.005)
    assert one.difference(two) < 0.01


def test_a_sharded_fit_resumes_and_ends_with_the_same_adapter(student: str, tmp_path: Path) -> None:
    settings = SHARDED | PASSES | {"checkpoint_seconds": 1e-9, "keep_epochs": True}
    whole = fit(student, tmp_path, **settings)
    shutil.copytree(tmp_path / "epoch-1", tmp_path / "kept")
    shutil.rmtree(tmp_path / "adapter")
    resumed = fit(student, tmp_path, **settings)
    assert (whole.resumed, resumed.resumed) == (0, 2)
    assert resumed.losses == whole.losses
    assert whole.difference(resumed) == 0
    kept = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("kept", "adapter")]
    assert kept[0] == kept[1]
