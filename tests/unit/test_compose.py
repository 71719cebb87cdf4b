"""The containers of docker/compose.yaml: each has its own secrets, no privileges and a read-only root file system."""

import json
import re
from typing import Any

import pytest
import yaml

from tests import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
#: The secrets of env.example that each container gets.
SECRETS = {
    "postgres": {"POSTGRES_ADMIN_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "roles": {"POSTGRES_ADMIN_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_PASSWORD", "READER_PASSWORD"},
    "schema": {"POSTGRES_OWNER_PASSWORD"},
    "producer": {"POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    "cli": {"POSTGRES_PASSWORD", "READER_PASSWORD", "REDIS_PASSWORD", "HF_TOKEN"},
    "generate": {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "HF_TOKEN", "OPENAI_API_KEY", "TRACEMILL_KEYS"},
    "generate-student": {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "HF_TOKEN", "OPENAI_API_KEY", "TRACEMILL_KEYS"},
    "verify": {"POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    "train": {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "HF_TOKEN"},
    "flower": {"REDIS_PASSWORD", "FLOWER_PASSWORD"},
}
BUBBLEWRAP = ["seccomp=./bubblewrap.json", "apparmor=unconfined"]


def test_each_container_gets_only_its_own_secrets() -> None:
    given = {name: set(re.findall(r"\$\{(\w+)", json.dumps(each["environment"]))) for name, each in SERVICES.items()}
    assert given == SECRETS
    named = re.findall(r"^(\w+)=$", (ROOT / "docker/env.example").read_text(), re.MULTILINE)
    assert set().union(*SECRETS.values()) == set(named)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_privileges_and_a_read_only_root(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert not {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices"} & set(service)
    others = BUBBLEWRAP if name == "verify" else []
    assert service["security_opt"] == ["no-new-privileges:true", *others]
    assert all("docker.sock" not in volume for volume in service.get("volumes", []))
    if "build" not in service:
        assert service["user"] == name  # the images of ours name their user


def test_every_image_of_ours_ends_as_an_ordinary_user() -> None:
    stages = re.split(r"^FROM ", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    built = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    users = {
        stage.split("\n")[0].split(" AS ")[1]: re.findall(r"^USER (\w+)$", stage, re.MULTILINE) for stage in stages
    }
    assert {target: users[target] for target in built} == {target: ["tracemill"] for target in built}


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_images_install_only_versions_with_a_hash() -> None:
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    assert re.findall(r"(?<!uv )pip install (?:--no-cache-dir )?(.*?) ", dockerfile) == ["--require-hashes"]
    assert "UV_CONSTRAINT=/app/docker/constraints.txt" in dockerfile
    for name in ("constraints", "installer"):
        text = re.sub("#.*", "", (ROOT / f"docker/{name}.txt").read_text())
        _, *pins = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
        assert pins
        assert [pin for pin in pins if not re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", pin)] == []
    versions = {line.split(" ")[0] for line in (ROOT / "constraints-gpu.txt").read_text().splitlines()}
    hashed = re.findall(r"^(\S+==\S+) ", (ROOT / "docker/constraints.txt").read_text(), re.MULTILINE)
    assert set(hashed) <= versions
