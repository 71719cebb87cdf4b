"""Each combination of extras that is deployed can be installed: a dry run of its resolution, for Linux x86-64."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import ROOT
from tests.packages import uv_environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: Files with commands that install this project.
FILES = ("Makefile", "README.md", "recipes/README.md", "docker/Dockerfile")
COMMAND = re.compile(r"install (?:--no-cache-dir )?(?:-c (\S+) )?(?:-e )?[\"']?(?:\.|/app)(?:\[([a-z,]+)\])?[\"' ]")
#: Texts of uv's errors when an index does not answer.
AWAY = ("Failed to fetch", "error sending request", "timed out", "Network connectivity is disabled")


class Deployment(NamedTuple):
    """One combination of extras, with the file of versions that constrains it."""

    constraints: str
    extras: tuple[str, ...]

    def __str__(self) -> str:
        return "+".join(self.extras) or "base"


def deployments() -> list[Deployment]:
    image = re.search(r"UV_CONSTRAINT=/app/(\S+)", (ROOT / "docker/Dockerfile").read_text())
    assert image
    commands = [match for file in FILES for match in COMMAND.findall((ROOT / file).read_text())]
    combinations = {
        Deployment(constraints or image[1], tuple(sorted(filter(None, extras.split(",")))))
        for constraints, extras in commands
    }
    return sorted(combinations)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv's cache of metadata, shared by these tests."""
    return tmp_path_factory.mktemp("uv")


def resolve(extras: tuple[str, ...], python: str, cache: Path, *constraints: str) -> str:
    """The versions that would be installed, one a line. Skips the test if pip's index does not answer."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip(f"!!! NO RESOLUTION WAS TRIED: there is no {uv}; `make install` brings it")
    options = [word for extra in extras for word in ("--extra", extra)]
    options += [word for file in constraints for word in ("--constraints", file)]
    options += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_34", "--no-annotate", "--quiet"]
    # Links can name a CPU build of torch, which only the combination for CPU may use.
    variables = uv_environment(links="cpu" in extras) | {"UV_CACHE_DIR": str(cache)}
    ended = subprocess.run(
        [uv, "pip", "compile", "pyproject.toml", *options],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if ended.returncode and any(text in ended.stderr for text in AWAY):
        pytest.skip(f"!!! NO RESOLUTION WAS TRIED: pip's index does not answer: {ended.stderr.strip()[:200]}")
    if ended.returncode and "cpu" in extras and "no version of torch==" in ended.stderr:
        pytest.skip("!!! NOT TRIED FOR CPU: pip's index has no CPU build of torch, which `make install` gets elsewhere")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_deployed_combinations_are_found_in_the_files() -> None:
    named = {str(deployment) for deployment in deployments()}
    assert {"base", "gpu", "train", "openai+verify", "gpu+sources+stack+train+verify"} <= named
    assert any("cpu" in deployment.extras for deployment in deployments())


@pytest.mark.parametrize("deployment", deployments(), ids=str)
def test_a_deployed_combination_resolves_with_its_constraints(deployment: Deployment, cache: Path) -> None:
    versions = resolve(deployment.extras, "3.11", cache, deployment.constraints)
    if deployment.constraints.startswith("docker/"):
        hashed = (ROOT / deployment.constraints).read_text()
        pins = re.findall(r"^[^#\s].*$", versions, re.MULTILINE)
        assert pins
        assert [pin for pin in pins if f"{pin} \\\n" not in hashed] == []
    if {"gpu", "train"} & set(deployment.extras) and "cpu" not in deployment.extras:
        assert re.search(r"^nvidia-cudnn-cu\d+==", versions, re.MULTILINE), "torch is not a CUDA build"


@pytest.mark.parametrize("python", ["3.12", "3.13", "3.14"])
def test_the_gpu_constraints_hold_for_every_newer_python(python: str, cache: Path) -> None:
    resolve(("gpu", "stack", "sources", "verify", "train"), python, cache, "constraints-gpu.txt")


@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_the_gpu_combination_resolves_without_constraints(python: str, cache: Path) -> None:
    resolve(("gpu", "stack", "sources", "verify", "openai", "pictures", "train"), python, cache)
