"""Everything that the engine uses of vLLM exists in the wheel for GPUs, read without an import and without a GPU."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from packaging.requirements import Requirement

from tests import ROOT
from tests.package_sources import Sources, WheelSources
from tracemill.engines.memory_plan import SHARE
from tracemill.engines.vllm import SLEEP_MODE
from tracemill.model_settings import LORA_RANKS

ENGINES = ROOT / "tracemill" / "engines"
SETTINGS = ("tracemill.example.toml", "docker/settings.toml", "recipes/tracemill.toml")

#: Members that the engine reads of objects, or calls, by class. The rest of this file reads the engine's own code.
READ = {
    "vllm.v1.engine.async_llm:AsyncLLM": {"get_tokenizer", "shutdown", "output_processor", "log_stats"},
    "vllm.v1.engine.output_processor:OutputProcessor": {"request_states", "external_req_ids"},
    "vllm.v1.engine.output_processor:RequestState": {"is_prefilling"},
    "vllm.config.vllm:VllmConfig": {"model_config", "cache_config", "scheduler_config", "lora_config"},
    "vllm.config.model:ModelConfig": {"max_model_len"},
    "vllm.config.cache:CacheConfig": {"kv_cache_size_tokens"},
    "vllm.config.scheduler:SchedulerConfig": {"max_num_seqs"},
    "vllm.config.lora:LoRAConfig": {"max_lora_rank"},
    "vllm.platforms.interface:Platform": {"is_cpu"},
    "vllm:RequestOutput": {"outputs", "prompt_logprobs"},
    "vllm.outputs:CompletionOutput": {"text", "token_ids", "finish_reason", "logprobs"},
    "vllm.logprobs:Logprob": {"logprob", "decoded_token"},
    "vllm.logprobs:FlatLogprobs": {"start_indices", "end_indices", "token_ids", "logprobs"},
    "vllm.v1.metrics.loggers:StatLoggerBase": {"record", "log_engine_initialized"},
    "vllm.distributed.device_communicators.shm_broadcast:SpinCondition": {"wait", "busy_loop_s"},
}
#: Parameters of the methods that the engine calls on objects.
CALLED = {
    "vllm.v1.engine.async_llm:AsyncLLM.generate": ["prompt", "sampling_params", "request_id", "lora_request"],
    "vllm.v1.engine.async_llm:AsyncLLM.add_lora": ["lora_request"],
    "vllm.v1.engine.async_llm:AsyncLLM.sleep": ["level", "mode"],
    "vllm.v1.engine.async_llm:AsyncLLM.wake_up": ["tags"],
    "vllm.lora.request:LoRARequest.__init__": ["lora_name", "lora_int_id", "lora_path"],
    "vllm.engine.arg_utils:AsyncEngineArgs.create_engine_config": ["usage_context"],
}
#: Environment variables that the engine sets for vLLM.
VARIABLES = {
    "VLLM_NO_USAGE_STATS",
    "VLLM_LOGGING_LEVEL",
    "VLLM_WORKER_MULTIPROC_METHOD",
    "VLLM_CPU_OMP_THREADS_BIND",
}


class Call(NamedTuple):
    """A call of a name that the engine imports from vLLM, or of an attribute of that name."""

    module: str
    name: str
    attribute: str
    keywords: frozenset[str]


def _pin() -> str:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return next(requirement for requirement in extras["gpu"] if requirement.startswith("vllm=="))


@pytest.fixture(scope="module")
def wheel() -> WheelSources:
    sources = WheelSources(_pin())
    try:
        assert sources.names
    except OSError as error:
        pytest.skip(f"!!! THE ENGINE WAS NOT COMPARED WITH {_pin()}: {error}")
    return sources


@pytest.fixture(scope="module", params=["wheel for GPUs", "installed build"])
def vllm(request: pytest.FixtureRequest) -> Sources:
    if request.param == "wheel for GPUs":
        return cast(Sources, request.getfixturevalue("wheel"))
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    return Sources(Path(spec.origin).parents[1])


def modules() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted(ENGINES.glob("*.py"))]


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vllm":
            yield from ((node.module or "", alias.name) for alias in node.names)


def uses() -> Iterator[Call]:
    """Calls, and attributes without a call, of the names that the engine imports from vLLM."""
    for tree in modules():
        homes = {name: module for module, name in imports(tree)}
        called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for node in called:
            keywords = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
            if isinstance(node.func, ast.Name) and node.func.id in homes:
                yield Call(homes[node.func.id], node.func.id, "__init__", keywords)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in homes:
                keywords = {
                    keyword.arg for call in called if call.func is node for keyword in call.keywords if keyword.arg
                }
                yield Call(homes[node.value.id], node.value.id, node.attr, frozenset(keywords))


def keys_of(name: str) -> set[str]:
    """The keys of the dictionaries that the engine assigns to a variable of this name."""
    return {
        str(key.value)
        for tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and isinstance(node.value, ast.Dict)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    }


def options() -> set[str]:
    """The arguments of vLLM's engine that our engine sets, and that the shipped settings files set."""
    names = {SLEEP_MODE, SHARE} | keys_of("options")
    for file in SETTINGS:
        for table in re.findall(r"options = \{(.*?)\}", (ROOT / file).read_text()):
            names |= set(re.findall(r"(\w+) =", table))
    return names


def test_the_engine_has_the_uses_that_these_tests_look_for() -> None:
    assert {call.name for call in uses()} >= {"AsyncEngineArgs", "AsyncLLM", "SamplingParams", "LoRARequest"}
    assert {"model", "max_lora_rank", "block_size", "gpu_memory_utilization", "max_logprobs"} <= options()


def test_every_imported_name_exists(vllm: Sources) -> None:
    imported = {pair for tree in modules() for pair in imports(tree)}
    assert {pair for pair in imported if vllm.definition(*pair) is None} == set()


def test_every_keyword_argument_of_a_call_exists(vllm: Sources) -> None:
    unknown = {
        f"{call.name}.{call.attribute}({keyword})"
        for call in uses()
        for keyword in call.keywords - set(vllm.parameters(call.module, call.name, call.attribute))
    }
    assert unknown == set()


def test_every_value_of_the_sampling_settings_is_one_of_vllms(vllm: Sources) -> None:
    values = keys_of("values")
    assert {"temperature", "thinking_token_budget"} <= values
    assert values - set(vllm.parameters("vllm", "SamplingParams")) == set()


def test_every_attribute_of_an_imported_class_exists(vllm: Sources) -> None:
    attributes = {call for call in uses() if isinstance(vllm.definition(call.module, call.name), ast.ClassDef)}
    attributes = {call for call in attributes if call.attribute != "__init__"}
    assert attributes
    assert {call for call in attributes if call.attribute not in vllm.members(call.module, call.name)} == set()


@pytest.mark.parametrize("name", READ)
def test_every_member_that_the_engine_reads_exists(vllm: Sources, name: str) -> None:
    assert READ[name] - vllm.members(*name.split(":")) == set()


@pytest.mark.parametrize("name", CALLED)
def test_every_parameter_that_the_engine_passes_exists(vllm: Sources, name: str) -> None:
    module, _, path = name.partition(":")
    cls, _, method = path.partition(".")
    assert [each for each in vllm.parameters(module, cls, method) if each in CALLED[name]] == CALLED[name]


def test_the_ranks_of_adapters_are_those_of_vllm(vllm: Sources) -> None:
    ranks = vllm.definition("vllm.config.lora", "MaxLoRARanks")
    assert isinstance(ranks, ast.Assign)
    assert tuple(node.value for node in ast.walk(ranks.value) if isinstance(node, ast.Constant)) == LORA_RANKS


def test_every_option_is_an_argument_of_vllms_engine(vllm: Sources) -> None:
    assert options() - set(vllm.parameters("vllm.engine.arg_utils", "AsyncEngineArgs")) == set()


@pytest.mark.parametrize("function", ["bgmv_shrink", "bgmv_expand", "bgmv_expand_slice"])
def test_a_replaced_lora_function_takes_the_same_arguments(vllm: Sources, function: str) -> None:
    ours = Sources(ROOT).parameters("tracemill.engines.cpu_lora", function)
    theirs = vllm.parameters("vllm.lora.ops.torch_ops.lora_ops", function)
    assert len(ours) == len(theirs)
    assert vllm.definition("vllm.lora.punica_wrapper.punica_cpu", function) is not None


def test_the_environment_variables_and_the_plugin_group_exist(vllm: Sources) -> None:
    variables = vllm.read("vllm/envs.py")
    assert variables is not None
    assert {name for name in VARIABLES if name not in variables} == set()
    plugins = vllm.read("vllm/plugins/__init__.py")
    assert plugins is not None
    assert '"vllm.general_plugins"' in plugins


def test_the_extras_pin_versions_that_the_wheel_accepts(wheel: WheelSources) -> None:
    metadata = wheel.read(next(name for name in wheel.names if name.endswith(".dist-info/METADATA")))
    assert metadata is not None
    needs = [Requirement(line.partition(": ")[2]) for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pins = dict(requirement.split("==") for requirement in extras["gpu"] + extras["train"] if "==" in requirement)
    compared = {need.name: need for need in needs if need.name in pins and need.marker is None}
    assert {"torch", "transformers"} <= set(compared)
    assert {name for name, need in compared.items() if not need.specifier.contains(pins[name])} == set()
