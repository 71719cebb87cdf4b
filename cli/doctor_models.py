"""Checks of `tracemill doctor`: the model aliases, and the memory that they take on the cards."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from cli.findings import Finding, in_time, lacking
from tracemill import thinking
from tracemill.engines.memory_plan import STUDENT, local_plans
from tracemill.engines.startable import require_startable
from tracemill.errors import UsageError, reason_of
from tracemill.memory import gib
from tracemill.model_settings import ModelSettings
from tracemill.settings import Settings
from tracemill.weights import is_folder, model_config, model_file, vocabulary_hash

#: Longest wait for all servers and hubs together, and for one of them, in seconds.
NETWORK_SECONDS = 5.0
REQUEST_SECONDS = 3.0
SERVER_ADVICE = "start the server, or correct base_url, model and the key"
TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")


def aliases(settings: Settings) -> Iterator[Finding]:
    """One finding for each model alias. Problems of aliases that `tracemill up` does not serve are warnings."""
    models = settings.models.values()
    calls = {url: call for config in models for url, call in _calls(config, settings.data_dir).items()}
    troubles = in_time(calls, NETWORK_SECONDS)
    served = settings.local.served
    for alias, config in settings.models.items():
        check, is_needed = f"model {alias}", alias in served
        try:
            require_startable(alias)
            yield Finding(check, "ok", ", ".join(_facts(alias, config, settings, troubles)))
        except UsageError as error:
            reason, advice = str(error).removeprefix(f"model alias '{alias}': "), f"correct [models.{alias}]"
            yield lacking(check, reason, advice, is_needed=is_needed)
        except _Unusable as error:
            yield lacking(check, error.result, error.advice, is_needed=is_needed)
    for alias in served:
        if alias not in settings.models:
            advice = f"add [models.{alias}], or correct [local]"
            yield Finding(f"model {alias}", "broken", "[local] names it, but there is no such alias", advice)


def memory_plans() -> Iterator[Finding]:
    """The memory of each group of GPUs that a local generate worker takes."""
    try:
        plans = local_plans()
    except UsageError as error:
        yield Finding("GPU memory", "broken", str(error), "the last sentence says how to make room")
        return
    for plan in plans:
        check = f"memory of GPU {', '.join(plan.group)}"
        if plan.shares is None:
            known = "unknown until every model is downloaded and nvidia-smi shows the card"
            yield Finding(check, "ok", known)
            continue
        shares = ", ".join(f"{name} {share:.0%}" for name, share in plan.shares.items())
        fit = f"; {gib(plan.fit.least)} GiB for a fit of {plan.fit.name} while they sleep" if plan.fit else ""
        yield Finding(check, "ok", f"{shares}{fit}")


class _Unusable(Exception):
    """A model that cannot answer, with the remedy."""

    def __init__(self, result: str, advice: str) -> None:
        super().__init__(result)
        self.result, self.advice = result, advice


def _facts(alias: str, config: ModelSettings, settings: Settings, troubles: dict[str, str | None]) -> Iterator[str]:
    """Facts about a usable model. Raises _Unusable. `troubles`: the result of each request of `_calls`."""
    yield from (config.engine, config.model)
    for url in _calls(config, settings.data_dir):
        if trouble := troubles.get(url, f"{url} gave no answer within {NETWORK_SECONDS:.0f} s"):
            raise _Unusable(trouble, SERVER_ADVICE if config.engine == "openai" else _hub_advice(trouble))
        yield "reachable"
    if config.engine == "openai":
        return
    values = model_config(config.model, settings.data_dir)
    if values is None:
        yield "its files come at the first start"
        return
    longest = {**values, **(values.get("text_config") or {})}.get("max_position_embeddings")
    if isinstance(longest, int) and longest < config.vllm.max_model_len:
        raise _Unusable(
            f"max_model_len = {config.vllm.max_model_len}, but the model reads at most {longest} tokens",
            f"set max_model_len = {longest} or less",
        )
    template = chat_template(config.model, settings.data_dir)
    if template is None:
        raise _Unusable(
            "it has no chat template, so it cannot be asked", "take the -Instruct or -it model of the family"
        )
    yield "it thinks" if thinking.names_marks(template) else "no thoughts in its template"
    tokens, students = (_tokens(each, settings.data_dir) for each in (config, settings.models.get(STUDENT)))
    if alias != STUDENT and tokens and students:
        yield "the student's tokens" if tokens == students else "other tokens than the student: no objective logits"


def _tokens(config: ModelSettings | None, data_dir: Path) -> str | None:
    """A hash of a model's tokens; None if its tokenizer is not here."""
    path = model_file(config.model, "tokenizer.json", data_dir) if config and config.engine == "vllm" else None
    with suppress(ImportError):
        from tokenizers import Tokenizer

        with suppress(Exception):  # the library has no error class of its own
            return vocabulary_hash(Tokenizer.from_file(str(path)).get_vocab()) if path else None
    return None


def chat_template(model: str, data_dir: Path) -> str | None:
    """The chat template of a model on this machine; None if it has none."""
    for name in TEMPLATE_FILES:
        path = model_file(model, name, data_dir)
        if path is None:
            continue
        text = path.read_text(encoding="utf-8")
        if name.endswith(".jinja"):
            return text
        with suppress(ValueError):
            template = json.loads(text).get("chat_template")
            if isinstance(template, list):  # several named templates
                template = next((each.get("template") for each in template if each.get("name") == "default"), None)
            return template if isinstance(template, str) else None
    return None


def _calls(config: ModelSettings, data_dir: Path) -> dict[str, Any]:
    """The requests that show whether a model can be had, by the address of its server."""
    if config.engine == "openai":
        url = (config.openai.base_url or "").rstrip("/")
        return {url: partial(_server_trouble, config, f"{url}/models")} if url else {}
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    if config.model.startswith("wheel:") or is_folder(config.model) or model_config(config.model, data_dir) or offline:
        return {}
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return {f"{endpoint}/{config.model}": partial(_hub_trouble, config.model, endpoint)}


def _server_trouble(config: ModelSettings, url: str) -> str | None:
    """Why a server with the OpenAI protocol cannot answer for this model; None if it can."""
    key = os.environ.get(config.openai.api_key_env, "").strip()
    status, body = _get(url, key)
    if status in (401, 403):
        return f"{url} refuses the key in {config.openai.api_key_env} ({status})"
    if status is None:
        return f"{url} does not answer: {body}"
    try:
        listed = [model["id"] for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return None  # not every server lists its models
    if listed and config.model not in listed:
        return f"{url} lists {', '.join(listed[:3])}{' and others' if len(listed) > 3 else ''}, not {config.model}"
    return None


def _hub_trouble(model: str, endpoint: str) -> str | None:
    """Why the hub does not give a model; None if it does."""
    token = ""
    with suppress(ImportError):
        from huggingface_hub import get_token

        token = get_token() or ""
    status, body = _get(f"{endpoint}/{model}/resolve/main/config.json", token)
    if status == 200:
        return None
    if status in (401, 403):
        return f"the hub does not give {model} to you ({status}): it does not exist, or its licence must be accepted"
    if status == 404:
        return f"the hub has no model {model}"
    return f"the hub {endpoint} does not answer: {body if status is None else status}"


def _hub_advice(trouble: str) -> str:
    if "licence" in trouble:
        return "correct its name, or accept the licence on its page and set HF_TOKEN"
    return "correct its name" if "no model" in trouble else "set HF_ENDPOINT to a mirror, or name a folder as `model`"


def _get(url: str, key: str) -> tuple[int | None, str]:
    """The status and the body of a page; without an answer None and the reason."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as reply:
            return reply.status, reply.read(2**20).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return None, reason_of(reason) if isinstance(reason, BaseException) else str(reason)
