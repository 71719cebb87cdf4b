"""[[teach]] of a ROUND.toml and [attempt] of a loop: the jobs that they open by themselves."""

from typing import Literal, TypeAlias

from pydantic import Field

from tracemill.policy import Policy
from tracemill.sections import Section

#: Columns of a source, ours → theirs.
Columns: TypeAlias = dict[Literal["question", "gold", "domain", "kind", "choices"], str]


class AskSpec(Section):
    """Which questions a model is asked, and how: what `tracemill enqueue` is told by its flags."""

    #: The questions: a SOURCE as `tracemill enqueue` takes it.
    source: str
    #: Which of its columns are ours, as in `--map`.
    map: Columns = Field(default={})
    #: The domain of questions that bring none.
    domain: Literal["math", "code", "legal", "medical", "general"] = "math"
    #: At most so many questions; 0: all.
    limit: int = Field(default=0, ge=0)
    #: Answers a question, of each variant of the method.
    samples: int = Field(default=4, ge=1, le=1024)
    temperature: float = Field(default=0.7, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    #: The longest answer, in tokens.
    max_tokens: int = Field(default=512, ge=1)
    #: JSONL of question, answer, beside this file: shown to the model first.
    examples: str | None = None
    #: What makes a trace accepted.
    policy: Policy = Policy()


class TeachSpec(AskSpec):
    """A job that teaches. It is opened unless it is there; rounds that name the same one share it."""

    #: The job's name.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")
    #: Model alias that answers.
    model: str = "teacher"
    method: str = "cot"
    #: Likeliest tokens that are kept at each place, for the objective `logits`.
    logprobs: int = Field(default=0, ge=0, le=20)
    #: Adaptive sampling: accepted traces at which a question is done. Absent: every question gets all its samples.
    enough: int | None = Field(default=None, ge=1)
