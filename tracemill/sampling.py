"""How a model samples: the settings of one request, stored with its job."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """How to sample. Stored with the job under these names."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    #: Text at which an answer ends (it stays part of the answer's end, it is not written).
    stop: tuple[str, ...] = ()
    #: How many of the likeliest tokens to report at each place, with their log-probabilities; 0: none.
    logprobs: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Sampling":
        """The settings as a job stores them; a key that is absent has its default."""
        return cls(**{**values, "stop": tuple(values.get("stop", ()))})

    def as_json(self) -> dict[str, Any]:
        """The settings as a job stores them: without `logprobs` where none are kept."""
        values = asdict(self) | {"stop": list(self.stop)}
        if not self.logprobs:
            del values["logprobs"]
        return values
