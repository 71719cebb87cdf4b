"""The sampling settings of a request, stored with its job."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """The sampling settings. They are stored with the job under these names."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    #: Texts that end an answer. vLLM keeps the text in the answer; other servers may remove it.
    stop: tuple[str, ...] = ()
    #: Number of likeliest tokens to report at each position, with log-probabilities. 0 means none.
    logprobs: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Sampling":
        """Read the settings of a stored job. A missing key has its default."""
        return cls(**{**values, "stop": tuple(values.get("stop", ()))})

    def as_json(self) -> dict[str, Any]:
        """The settings as a job stores them, without `logprobs` if it is 0."""
        values = asdict(self) | {"stop": list(self.stop)}
        if not self.logprobs:
            del values["logprobs"]
        return values
