"""The sampling settings of a request, as people write them and as they are stored with a job."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pydantic import Field

from tracemill.sections import Section


class SamplingSettings(Section):
    """How a model samples. The keys of a job are used first, then those of its model alias, then the model's own.

    A model's own values are those of its `generation_config`. A server has its own, which are not known here.
    """

    #: The sampling temperature; 0 always takes the likeliest token. Default: the model's own. Without one it is 0.7,
    #: and 0 for an evaluation with one answer per question.
    temperature: float | None = Field(default=None, ge=0, le=10)
    #: Sample from the likeliest tokens that together have this probability. Default: the model's own, otherwise 1.
    top_p: float | None = Field(default=None, gt=0, le=1)
    #: Sample from at most this number of likeliest tokens. Default: the model's own, otherwise no limit.
    top_k: int | None = Field(default=None, ge=1)
    #: Sample from tokens with at least this share of the likeliest token's probability. Default: the model's own.
    min_p: float | None = Field(default=None, ge=0, le=1)
    #: Subtracted once from the logits of each token that the answer already has.
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    #: Subtracted from the logits of a token for each time that the answer has it.
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    #: Divisor of the logits of tokens that prompt or answer already have. Default: the model's own, otherwise 1.
    repetition_penalty: float | None = Field(default=None, gt=0)
    #: The longest answer with its thoughts, in tokens. Default: what the model's context leaves after the prompt.
    max_tokens: int | None = Field(default=None, ge=1)
    #: The longest thoughts, in tokens; then vLLM closes them. It needs `options = { reasoning_parser = "…" }`.
    thinking_tokens: int | None = Field(default=None, ge=0)
    #: Texts that end an answer. vLLM keeps the text in the answer; other servers may remove it.
    stop: list[str] = Field(default=[])
    #: Variables of the chat template, such as `enable_thinking` or `reasoning_effort`.
    chat_template_kwargs: dict[str, Any] = Field(default={})
    #: Further keys of each request to a server. An engine in the worker's process refuses them.
    extra_body: dict[str, Any] = Field(default={})

    def sampling(self) -> "SamplingSettings":
        """The keys of this class alone, from a section that has others too."""
        return SamplingSettings(**{name: getattr(self, name) for name in SamplingSettings.model_fields})


@dataclass(frozen=True)
class Sampling:
    """The sampling settings. They are stored with the job under these names.

    None leaves a value to the engine: no limit, no penalty, or a server's own value.
    """

    temperature: float | None = 0.7
    top_p: float | None = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    #: Number of likeliest tokens to report at each position, with log-probabilities. 0 means none.
    logprobs: int = 0
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    thinking_tokens: int | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read the settings of a stored job. A missing key has its default."""
        return cls(**{**values, "stop": tuple(values.get("stop", ()))})

    def as_json(self) -> dict[str, Any]:
        """The settings as a job stores them: the first four keys, and those with another value than the default."""
        values, defaults = asdict(self) | {"stop": list(self.stop)}, asdict(Sampling())
        first = ("temperature", "top_p", "max_tokens", "stop")
        return {name: value for name, value in values.items() if name in first or value != defaults[name]}


def merged(*layers: SamplingSettings, **fallback: float | None) -> Sampling:
    """The settings of a job: each key has the value of the first layer with one, otherwise that of `fallback`.

    The variables of chat templates and the further keys of requests are merged one by one.
    """
    values: dict[str, Any] = dict(fallback)
    for layer in reversed(layers):
        for name, value in layer:
            if isinstance(value, dict):
                values[name] = {**values.get(name, {}), **value}
            elif value not in (None, []):
                values[name] = value
    return Sampling(**values | {"stop": tuple(values.get("stop", ()))})
