"""Write docs/settings.md from the classes of the settings, by `python docs/make_settings.py`."""

import inspect
import json
import re
from collections.abc import Container, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tracemill.model_settings import ModelSettings, OpenaiOptions, VllmOptions
from tracemill.policy import Gate, Policy
from tracemill.sampling import SamplingSettings
from tracemill.sections import Section
from tracemill.settings import DEFAULT_MODELS, CallSettings, FeederSettings, LocalSettings, MethodSettings, Settings
from trainer.ask_spec import AskSpec, TeachSpec
from trainer.fit_spec import FitSpec
from trainer.loop import LoopSpec, RationalizeSpec
from trainer.objectives.base import OBJECTIVES
from trainer.select.spec import CurriculumSpec, SelectSpec
from trainer.spec import EvaluateSpec, RoundSpec

PAGE = Path(__file__).with_name("settings.md")

INTRODUCTION = """# Settings, rounds, loops and policies

Every key with its default, unit and range. `python docs/make_settings.py` generates this page.

An unknown key is an error that suggests the right one. "none" means that the key is absent by default.

## When a change takes effect

| where | takes effect |
|---|---|
| `tracemill.toml` | when a process starts: after a change, `tracemill up` restarts the processes that it concerns |
| `tracemill.toml`, all processes at once | `tracemill restart`, or `tracemill restart generate` for one of them |
| variables, also keys such as `OPENAI_API_KEY` | `tracemill down`, then `tracemill up` |
| ports under `[local]` | `tracemill up`, which then restarts Postgres or Redis |
| `data_dir`, `database_url`, `redis_url` | in all processes: with different addresses they do not meet |
| a policy, the flags of `tracemill enqueue` | in new jobs: a job keeps its policy and its sampling |
| a round's or a loop's file | in new rounds and loops: the file is stored when the round or the loop is opened |
"""


class Part(NamedTuple):
    """A part of a file and its class."""

    heading: str
    content: type[BaseModel]


PARTS = {
    "tracemill.toml": (
        Part("top level", Settings),
        Part("[models.ALIAS]", ModelSettings),
        Part("[models.ALIAS.sampling]", SamplingSettings),
        Part("[models.ALIAS.vllm]", VllmOptions),
        Part("[models.ALIAS.openai]", OpenaiOptions),
        Part("[methods.NAME]", MethodSettings),
        Part("calls of [methods.NAME]", CallSettings),
        Part("[feeder]", FeederSettings),
        Part("[local]", LocalSettings),
    ),
    "A policy": (
        Part("policy.toml, [teach.policy], [attempt.policy]", Policy),
        Part("a gate of gates, such as gates.rating", Gate),
    ),
    "ROUND.toml": (
        Part("top level", RoundSpec),
        Part("[[teach]]", TeachSpec),
        Part("[select]", SelectSpec),
        Part("[curriculum]", CurriculumSpec),
        Part("[fit]", FitSpec),
        *(
            Part(f"[fit.{name}]", chosen.options)
            for name, chosen in OBJECTIVES.items()
            if chosen.options is not Section
        ),
        Part("[evaluate], [dev]", EvaluateSpec),
    ),
    "LOOP.toml": (
        Part("top level", LoopSpec),
        Part("[attempt]", AskSpec),
        Part("[rationalize]", RationalizeSpec),
    ),
}

#: The unit of each number, by the end of its key.
UNITS = {
    "clip": "ratio",
    "seconds": "seconds",
    "gib": "GiB",
    "per_minute": "per minute",
    "port": "port",
    "price_in": "money per million tokens",
    "price_out": "money per million tokens",
    "concurrency": "at a time",
    "window": "questions",
    "backlog": "questions",
    "attempts": "visits",
    "max_model_len": "tokens",
    "tokens": "tokens",
    "logprobs": "tokens",
    "rank": "rank",
    "alpha": "scale",
    "majority": "share",
    "share": "share",
    "overlap": "share",
    "target": "share",
    "plateau": "share",
    "near_duplicates": "similarity",
    "give_up": "probability",
    "top_p": "probability",
    "min_p": "share",
    "top_k": "tokens",
    "presence_penalty": "logits",
    "frequency_penalty": "logits",
    "repetition_penalty": "divisor",
    "auc_above": "AUC",
    "precision": "share",
    "quantile": "share",
    "least": "signal",
    "steps": "steps",
    "epochs": "epochs",
    "learning_rate": "per step",
    "batch_size": "examples",
    "batch": "traces",
    "enough": "traces",
    "samples": "traces",
    "max_per_question": "traces or pairs",
    "limit": "count",
    "ngram": "words",
    "processes": "processes",
    "rounds": "rounds",
    "budget_money": "money",
    "weight": "weight",
    **dict.fromkeys(("seed", "priority", "temperature", "balance", "label_balance", "beta"), "number"),
}


def page() -> str:
    """The whole page, as Markdown."""
    lines = [INTRODUCTION]
    for file, parts in PARTS.items():
        lines += [f"## {file}", ""]
        for heading, content in parts:
            lines += [f"### {heading}", "", "| key | default | unit | range | what it is |", "|---|---|---|---|---|"]
            lines += [" | ".join(cells).join(("| ", " |")) for cells in rows(content)]
            lines += ["", "Also the keys of `[models.ALIAS.sampling]`.", ""] if inherited(content) else [""]
    return "\n".join(lines)


def rows(content: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """The cells of each key."""
    comments = comments_of(content)
    for name, field in content.model_fields.items():
        if name in inherited(content):
            continue
        cells = (f"`{name}`", default(field), unit(name, field), allowed(field), comments[name])
        yield tuple(cell.replace("|", "\\|") for cell in cells)


def inherited(content: type[BaseModel]) -> Container[str]:
    """The keys of sampling, which have their own table, in a class that has others too."""
    has_others = content is not SamplingSettings and issubclass(content, SamplingSettings)
    return SamplingSettings.model_fields if has_others else ()


def comments_of(content: type[BaseModel]) -> dict[str, str]:
    """The `#:` comment of each field, in the class and in its bases."""
    comments: dict[str, str] = {}
    for cls in reversed(content.__mro__):
        if not issubclass(cls, BaseModel) or cls in (BaseModel, Section):
            continue
        current: list[str] = []
        for line in inspect.getsource(cls).splitlines():
            if match := re.match(r"    #: ?(.*)", line):
                current.append(match[1])
            else:
                if current and (match := re.match(r"    (\w+):", line)):
                    comments[match[1]] = " ".join(current)
                current = []
    return comments


def default(field: FieldInfo) -> str:
    """The default as TOML."""
    if field.is_required():
        return "required"
    if field is Settings.model_fields["models"]:  # merged with the user's models in a source of its own
        return ", ".join(f"`{alias}`" for alias in DEFAULT_MODELS)
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or (isinstance(value, dict) and value):
        return "see below"
    if value is None:
        return "none"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value, default=str)}`"


def unit(name: str, field: FieldInfo) -> str:
    """The unit of a number, by the longest matching end of its key. Raises KeyError if none matches."""
    annotation = field.annotation
    is_number = annotation in (int, float) or (
        isinstance(annotation, UnionType) and {int, float} & {*get_args(annotation)}
    )
    if not is_number:
        return ""
    ends = [end for end in UNITS if f"_{name}".endswith(f"_{end}")]
    if not ends:
        raise KeyError(f"{name} has no unit: add a row to UNITS in docs/make_settings.py")
    return UNITS[max(ends, key=len)]


def allowed(field: FieldInfo) -> str:
    """The values that the key accepts."""
    limits = {type(limit): next(iter(vars_of(limit))) for limit in field.metadata if isinstance(limit, LIMITS)}
    if Ge in limits and Le in limits:
        return f"{limits[Ge]} to {limits[Le]}"
    if limits:
        return ", ".join(f"{SIGNS[kind]} {value}" for kind, value in limits.items())
    return ", ".join(choices(field.annotation))


SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<", MinLen: "length ≥", MaxLen: "length ≤"}
LIMITS = tuple(SIGNS)


def vars_of(limit: Any) -> tuple[Any, ...]:
    """The bound of a limit."""
    return tuple(getattr(limit, name) for name in limit.__dataclass_fields__)


def choices(annotation: Any) -> Iterator[str]:
    """The values of a choice, as TOML."""
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (json.dumps(value) for value in get_args(annotation))
    elif get_origin(annotation) not in (dict, list):
        for part in get_args(annotation):
            yield from choices(part)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
