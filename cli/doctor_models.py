"""Checks of `tracemill doctor`: the model aliases, and the memory that they take on the cards."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cli.findings import Finding, in_time, lacking
from tracemill import thinking
from tracemill.engines.api_key import api_key
from tracemill.engines.memory_plan import STUDENT, local_plans
from tracemill.engines.startable import require_startable
from tracemill.errors import UsageError, reason_of
from tracemill.memory import gib
from tracemill.model_settings import ModelSettings
from tracemill.settings import Settings
from tracemill.weights import is_on_hub, length_in, model_config, model_file, vocabulary_hash

#: Longest wait for all servers and hubs together, and for one of them, in seconds.
NETWORK_SECONDS = 5.0
REQUEST_SECONDS = 3.0
SERVER_ADVICE = "start the server, or correct base_url, model and the key"
#: The small files of a model that the checks read.
CONFIG, JINJA, TOKENIZER_CONFIG = "config.json", "chat_template.jinja", "tokenizer_config.json"


@dataclass(frozen=True)
class Answer:
    """What a server or a hub answered about one model."""

    #: Why the model cannot be had there; None if it can.
    trouble: str | None
    #: Small files of a model of the hub, by name.
    files: Mapping[str, str] = field(default_factory=dict)


Answers = Mapping[str, Answer]


def ask(settings: Settings) -> Answers:
    """Ask all servers and hubs at the same time, by address. Those that are too slow have no answer."""
    return in_time(
        {url: call for config in settings.models.values() for url, call in _calls(config, settings.data_dir).items()},
        NETWORK_SECONDS,
    )


def aliases(settings: Settings, answers: Answers) -> Iterator[Finding]:
    """One finding for each model alias. Problems of aliases that `tracemill up` does not serve are warnings."""
    served = settings.local.served
    for alias, config in settings.models.items():
        check, is_needed = f"model {alias}", alias in served
        try:
            require_startable(alias)
            yield Finding(check, "ok", ", ".join(_facts(alias, config, settings, answers)))
        except UsageError as error:
            reason, advice = str(error).removeprefix(f"model alias '{alias}': "), f"correct [models.{alias}]"
            yield lacking(check, reason, advice, is_needed=is_needed)
        except _Unusable as error:
            yield lacking(check, error.result, error.advice, is_needed=is_needed)
    for alias in served:
        if alias not in settings.models:
            advice = f"add [models.{alias}], or correct [local]"
            yield Finding(f"model {alias}", "broken", "[local] names it, but there is no such alias", advice)


def memory_plans(settings: Settings, answers: Answers) -> Iterator[Finding]:
    """The memory of each group of GPUs that a local generate worker takes."""
    configs = {config.model: _config(config, settings, answers) for config in settings.models.values()}
    try:
        plans = local_plans(configs)
    except UsageError as error:
        yield Finding("GPU memory", "broken", str(error), "the last sentence says how to make room")
        return
    for plan in plans:
        check = f"memory of GPU {', '.join(plan.group)}"
        if plan.shares is None:
            yield Finding(check, "ok", "planned at the first start: a model or the card is not known yet")
            continue
        shares = ", ".join(f"{name} {share:.0%}" for name, share in plan.shares.items())
        fit = f"; {gib(plan.fit.least)} GiB for a fit of {plan.fit.name} while they sleep" if plan.fit else ""
        yield Finding(check, "ok", f"{shares}{fit}")


class _Unusable(Exception):
    """A model that cannot answer, with the remedy."""

    def __init__(self, result: str, advice: str) -> None:
        super().__init__(result)
        self.result, self.advice = result, advice


def _facts(alias: str, config: ModelSettings, settings: Settings, answers: Answers) -> Iterator[str]:
    """Facts about a usable model. Raises _Unusable."""
    yield from (config.engine, config.model)
    for url in _calls(config, settings.data_dir):
        answer = answers.get(url, Answer(f"{url} gave no answer within {NETWORK_SECONDS:.0f} s"))
        if answer.trouble:
            raise _Unusable(answer.trouble, SERVER_ADVICE if config.engine == "openai" else _hub_advice(answer.trouble))
        yield "reachable"
    if config.engine == "openai":
        return
    values = _config(config, settings, answers)
    if values is None:
        yield "its files come at the first start"
        return
    longest = length_in(values)
    if longest is not None and longest < config.vllm.max_model_len and "hf_overrides" not in config.vllm.options:
        raise _Unusable(
            f"max_model_len = {config.vllm.max_model_len}, but the model reads at most {longest} tokens",
            f"set max_model_len = {longest} or less",
        )
    template = chat_template(*(_text(config, name, settings, answers) for name in (JINJA, TOKENIZER_CONFIG)))
    if template is None:
        advice = "take the -Instruct or -it model of the family"
        raise _Unusable("it has no chat template, so it cannot be asked", advice)
    yield "it thinks" if thinking.names_marks(template) else "no thoughts in its template"
    tokens, students = (_tokens(each, settings.data_dir) for each in (config, settings.models.get(STUDENT)))
    if alias != STUDENT and tokens and students:
        yield "the student's tokens" if tokens == students else "other tokens than the student: no objective logits"


def _text(config: ModelSettings, name: str, settings: Settings, answers: Answers) -> str | None:
    """A small file of a model, from this machine or from the hub's answer; None if it has none."""
    if path := model_file(config.model, name, settings.data_dir):
        return path.read_text(encoding="utf-8")
    return next((text for url in _calls(config, settings.data_dir) if (text := _fetched(answers, url, name))), None)


def _fetched(answers: Answers, url: str, name: str) -> str | None:
    return answers[url].files.get(name) if url in answers else None


def _config(config: ModelSettings, settings: Settings, answers: Answers) -> dict[str, Any] | None:
    """The config.json of a model that runs in our own process; None if it is not known yet."""
    text = _text(config, CONFIG, settings, answers) if config.engine == "vllm" else None
    with suppress(ValueError):
        values = json.loads(text) if text else None
        return values if isinstance(values, dict) else None
    return None


def _tokens(config: ModelSettings | None, data_dir: Path) -> str | None:
    """A hash of a model's tokens; None if its tokenizer is not here."""
    path = model_file(config.model, "tokenizer.json", data_dir) if config and config.engine == "vllm" else None
    with suppress(ImportError):
        from tokenizers import Tokenizer

        with suppress(Exception):  # the library has no error class of its own
            return vocabulary_hash(Tokenizer.from_file(str(path)).get_vocab()) if path else None
    return None


def chat_template(jinja: str | None, tokenizer_config: str | None) -> str | None:
    """The chat template of a model, from the texts of its two files; None if it has none."""
    if jinja is not None:
        return jinja
    with suppress(ValueError):
        template = json.loads(tokenizer_config or "{}").get("chat_template")
        if isinstance(template, list):  # several named templates
            template = next((each.get("template") for each in template if each.get("name") == "default"), None)
        return template if isinstance(template, str) else None
    return None


def _calls(config: ModelSettings, data_dir: Path) -> dict[str, Callable[[], Answer]]:
    """The requests that show whether a model can be had, by the address of its server."""
    if config.engine == "openai":
        url = (config.openai.base_url or "").rstrip("/")
        return {url: partial(_ask_server, config, f"{url}/models")} if url else {}
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    if offline or not is_on_hub(config.model, data_dir) or model_config(config.model, data_dir):
        return {}
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return {f"{endpoint}/{config.model}": partial(_ask_hub, config.model, endpoint)}


def _ask_server(config: ModelSettings, url: str) -> Answer:
    """Ask a server with the OpenAI protocol for its models."""
    try:
        key = api_key(config)
    except UsageError as error:
        return Answer(str(error))
    status, body = _get(url, key)
    if status in (401, 403):
        refused = f"refuses the key in {config.openai.api_key_env}" if key else "wants a key, set openai.api_key_env"
        return Answer(f"{url} {refused} ({status})")
    if status is None:
        return Answer(f"{url} does not answer: {body}")
    try:
        listed = [model["id"] for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return Answer(None)  # not every server lists its models
    if listed and config.model not in listed:
        others = " and others" if len(listed) > 3 else ""
        return Answer(f"{url} lists {', '.join(listed[:3])}{others}, not {config.model}")
    return Answer(None)


def _ask_hub(model: str, endpoint: str) -> Answer:
    """Fetch the small files of a model from the hub."""
    token = ""
    with suppress(ImportError):
        from huggingface_hub import get_token

        token = get_token() or ""
    files = f"{endpoint}/{model}/resolve/main"
    status, body = _get(f"{files}/{CONFIG}", token)
    if status == 200:
        others = {name: _get(f"{files}/{name}", token) for name in (JINJA, TOKENIZER_CONFIG)}
        return Answer(None, {CONFIG: body} | {name: text for name, (code, text) in others.items() if code == 200})
    if status in (401, 403):
        return Answer(
            f"the hub does not give {model} to you ({status}): it does not exist, or its licence must be accepted"
        )
    if status == 404:
        return Answer(f"the hub has no model {model}")
    return Answer(f"the hub {endpoint} does not answer: {body if status is None else status}")


def _hub_advice(trouble: str) -> str:
    if "licence" in trouble:
        return "correct its name, or accept the licence on its page and set HF_TOKEN"
    return "correct its name" if "no model" in trouble else "set HF_ENDPOINT to a mirror, or name a folder as `model`"


def _get(url: str, key: str) -> tuple[int | None, str]:
    """The status and the body of a page; without an answer None and the reason."""
    request = urllib.request.Request(url)
    if key:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as reply:
            return reply.status, reply.read(2**20).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return None, reason_of(reason) if isinstance(reason, BaseException) else str(reason)
