"""[[teach]] of a ROUND.toml and [attempt] of a loop: the jobs that a round or a loop opens."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from producer.job_request import JobRequest, SourceSpec, budget_of, read_shots, stopping_of, tier_names
from tracemill.errors import UsageError
from tracemill.methods import Shot
from tracemill.policy import Policy
from tracemill.sampling import SamplingSettings

#: Column names of a source, ours → the source's.
Columns: TypeAlias = dict[Literal["question", "gold", "domain", "kind", "choices"], str]
Domain: TypeAlias = Literal["math", "code", "legal", "medical", "general"]


class AskSpec(SamplingSettings):
    """A model's questions and their sampling: the flags of `tracemill enqueue` as keys."""

    #: The questions: a SOURCE as `tracemill enqueue` takes it.
    source: str
    #: Column names, ours → the source's, as in `--map`.
    map: Columns = Field(default={})
    #: The dataset's name. Default: the source's name.
    dataset: str | None = None
    #: The domain of questions without one.
    domain: Domain = "math"
    #: The domain whose prompt all questions use. Default: each question's own domain.
    ask_as: Domain | None = None
    #: The maximum number of questions; 0 means all.
    limit: int = Field(default=0, ge=0)
    #: Answers per question and variant of the method.
    samples: int = Field(default=4, ge=1, le=1024)
    #: JSONL file of worked examples (question, answer) for the prompt. The path is relative to this file.
    examples: str | None = None
    #: The rules that accept a trace.
    policy: Policy = Policy()

    def source_spec(self) -> SourceSpec:
        """Build the source of the questions."""
        columns = {str(ours): theirs for ours, theirs in self.map.items()}
        return SourceSpec(self.source, columns, self.domain, self.dataset, self.limit or None)

    def shots(self, folder: Path) -> tuple[Shot, ...]:
        """Read the worked examples; the file's path is relative to `folder`. Raises UsageError if it cannot be read."""
        return read_shots(folder / self.examples if self.examples else None)

    def request(self, name: str, model: str, method: str = "cot", shots: Sequence[Shot] = ()) -> JobRequest:
        """Build the request for the job."""
        return JobRequest(
            source=self.source_spec(),
            name=name,
            model=model,
            method=method,
            shots=shots,
            ask_as=self.ask_as,
            samples=self.samples,
            sampling=self.sampling(),
            policy=self.policy,
        )


class TeachSpec(AskSpec):
    """A teaching job. It is opened unless it exists; rounds that name the same job share it."""

    #: The job's name.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")
    #: Alias of the model that answers.
    model: str = "teacher"
    #: The method (`tracemill methods`).
    method: str = "cot"
    #: Likeliest tokens stored at each position, for the objective `logits`. 0 stores none.
    logprobs: int = Field(default=0, ge=0, le=20)
    #: Adaptive sampling: accepted traces at which a question is done. Default: every question gets all its samples.
    enough: int | None = Field(default=None, ge=1)
    #: With `enough`: traces requested at a time (default: a quarter).
    batch: int | None = Field(default=None, ge=1)
    #: With `enough`: give a question up when its chance of success falls below this. 0 means never.
    give_up: float = Field(default=0.0, ge=0, le=0.99)
    #: The maximum cost of the job in tokens. Default: no limit.
    budget_tokens: float | None = Field(default=None, ge=1)
    #: The maximum cost of the job in money. Default: no limit.
    budget_money: float | None = Field(default=None, gt=0)
    #: Higher goes first; jobs of the same priority share their model.
    priority: int = 0
    #: Aliases of stronger models. Each answers what the one before failed, in a job NAME-tier2, NAME-tier3.
    escalate: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _has_one_budget_and_a_whole_stopping_rule(self) -> "TeachSpec":
        try:
            stopping_of(self.enough, self.batch, self.give_up)
            budget_of(self.budget_tokens, self.budget_money)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    def teaching_request(self, folder: Path) -> JobRequest:
        """Build the request for the teaching job. `folder` contains the file of examples."""
        request = self.request(self.name, self.model, self.method, self.shots(folder))
        return replace(
            request,
            logprobs=self.logprobs,
            stopping=stopping_of(self.enough, self.batch, self.give_up),
            budget=budget_of(self.budget_tokens, self.budget_money),
            priority=self.priority,
            escalate=self.escalate,
        )

    @property
    def job_names(self) -> list[str]:
        """The names of the job and of its next tiers."""
        return [self.name, *tier_names(self.name, self.escalate)]
