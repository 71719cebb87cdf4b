"""[[teach]] of a ROUND.toml and [attempt] of a loop: the jobs that they open by themselves."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from producer.job_request import JobRequest, SourceSpec, budget_of, read_shots, stopping_of
from tracemill.errors import UsageError
from tracemill.methods import Shot
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.sections import Section

#: Columns of a source, ours → theirs.
Columns: TypeAlias = dict[Literal["question", "gold", "domain", "kind", "choices"], str]
Domain: TypeAlias = Literal["math", "code", "legal", "medical", "general"]


class AskSpec(Section):
    """Which questions a model is asked, and how: the flags of `tracemill enqueue` as keys."""

    #: The questions: a SOURCE as `tracemill enqueue` takes it.
    source: str
    #: Which of its columns are ours, as in `--map`.
    map: Columns = Field(default={})
    #: The dataset's name. Absent: the source's.
    dataset: str | None = None
    #: The domain of questions that bring none.
    domain: Domain = "math"
    #: The domain in whose way all questions are asked. Absent: each in its own.
    ask_as: Domain | None = None
    #: At most this many questions; 0: all.
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

    def source_spec(self) -> SourceSpec:
        """The questions."""
        columns = {str(ours): theirs for ours, theirs in self.map.items()}
        return SourceSpec(self.source, columns, self.domain, self.dataset, self.limit or None)

    def shots(self, folder: Path) -> tuple[Shot, ...]:
        """The worked examples; the file's path is relative to `folder`. Raises UsageError if it cannot be read."""
        return read_shots(folder / self.examples if self.examples else None)

    def request(self, name: str, model: str, method: str = "cot", shots: Sequence[Shot] = ()) -> JobRequest:
        """The job that asks this."""
        return JobRequest(
            source=self.source_spec(),
            name=name,
            model=model,
            method=method,
            shots=shots,
            ask_as=self.ask_as,
            samples=self.samples,
            sampling=Sampling(self.temperature, self.top_p, self.max_tokens),
            policy=self.policy,
        )


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
    #: With `enough`: traces asked for at a time (absent: a quarter), and the chance below which a question is given up.
    batch: int | None = Field(default=None, ge=1)
    give_up: float = Field(default=0.0, ge=0, le=0.99)
    #: What the job may cost, in tokens or in money. Absent: no limit.
    budget_tokens: float | None = Field(default=None, ge=1)
    budget_money: float | None = Field(default=None, gt=0)
    #: Higher goes first; jobs of the same priority share their model.
    priority: int = 0

    @model_validator(mode="after")
    def _has_one_budget_and_a_whole_stopping_rule(self) -> "TeachSpec":
        try:
            stopping_of(self.enough, self.batch, self.give_up)
            budget_of(self.budget_tokens, self.budget_money)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    def teaching_request(self, folder: Path) -> JobRequest:
        """The job. `folder`: where the file of examples is."""
        request = self.request(self.name, self.model, self.method, self.shots(folder))
        return replace(
            request,
            sampling=replace(request.sampling, logprobs=self.logprobs),
            stopping=stopping_of(self.enough, self.batch, self.give_up),
            budget=budget_of(self.budget_tokens, self.budget_money),
            priority=self.priority,
        )
