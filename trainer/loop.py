"""STAR.toml: a loop of rounds, each taught by the model of the round before, and its end.

STaR, Zelikman et al. 2022, arXiv:2203.14465: attempt the questions and keep the right traces; rationalise the failed
questions; train the base model on all kept traces; repeat with the better model.

With an objective that learns from the student's own samples, right or wrong, a round is another one: attempt the
questions; score the attempts, if the objective has a teacher; continue to train the adapter on these attempts alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from tracemill.errors import UsageError
from tracemill.sections import Section, key_of
from trainer.ask_spec import AskSpec
from trainer.fit_spec import FitSpec
from trainer.objectives import OwnOptions, Scorer
from trainer.spec import EvaluateSpec, RoundSpec, parse, read, require_apart

#: The default plateau of a loop with a dev set.
PLATEAU = 0.005
#: [select] of a round on the student's own samples, unless the loop says otherwise: all of them.
EVERY_SAMPLE = {"accepted": "any", "finished": False, "max_per_question": 0}


class RationalizeSpec(Section):
    """Sampling of the second try: the gold answer is a hint, for questions without an accepted attempt."""

    #: Answers per question.
    samples: int = Field(default=4, ge=1, le=1024)
    #: The sampling temperature; 0 always takes the likeliest token. Default: as in [attempt].
    temperature: float | None = Field(default=None, ge=0, le=10)


class LoopSpec(Section):
    """One loop."""

    #: The loop's name; its rounds are NAME-1, NAME-2, …
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")
    #: Alias of the model to train.
    student: str = "student"
    #: The maximum number of rounds.
    rounds: int = Field(default=4, ge=1, le=99)
    #: The share of right answers on the dev set at which the loop ends. Default: no target.
    target: float | None = Field(default=None, gt=0, le=1)
    #: The loop ends when a round gains at most this share over the best round before, on the dev set. Default: 0.005 if
    #: there is a dev set. -1 turns this rule off.
    plateau: float | None = Field(default=None, ge=-1, le=1)
    #: The questions of every round. The prompt has the examples for the base model, which does not know the form yet,
    #: and for every hint. A trained model gets the prompt of its evaluation. If a model scores
    #: the student's own samples, the prompt of that model has them instead.
    attempt: AskSpec
    #: The name of a round: the first attempt is made with its adapter, and the first round continues to train it. Only
    #: for objectives that learn from the student's own samples. Default: the base model.
    start: str | None = None
    #: The second try at failed questions, with a hint. Default: they are not asked again.
    rationalize: RationalizeSpec | None = None
    #: [select] of each round, without `jobs`: a round learns from all attempts so far.
    select: dict[str, Any] = Field(default={})
    #: [curriculum] of each round.
    curriculum: dict[str, Any] | None = None
    #: [fit] of each round.
    fit: FitSpec = FitSpec()
    #: The reported evaluation. It never decides when the loop ends.
    evaluate: EvaluateSpec
    #: The evaluation that decides when the loop ends, and nothing else. Default: all rounds run.
    dev: EvaluateSpec | None = None

    @model_validator(mode="after")
    def _dev_and_reported_sets_differ(self) -> "LoopSpec":
        if self.dev is None:
            if self.target is not None or self.min_gain is not None:
                raise ValueError(
                    "target and plateau need questions that are not reported: add a table [dev] with its own jobs or "
                    "benchmarks, as in [evaluate]. Without both keys all rounds run"
                )
            return self
        require_apart(self.dev, self.evaluate)
        return self

    @model_validator(mode="after")
    def _rounds_make_adapters(self) -> "LoopSpec":
        if self.fit.tuning == "full":
            raise ValueError("fit.tuning = 'full': the student of a loop attempts its questions with an adapter")
        return self

    @model_validator(mode="after")
    def _learns_own_words_alone(self) -> "LoopSpec":
        objective = self.fit.objective
        if self.own is None:
            if self.start is not None:
                raise ValueError(f"start: a round with fit.objective = '{objective}' always trains a new adapter")
            return self
        if self.rationalize is not None:
            raise ValueError(
                f"[rationalize]: fit.objective = '{objective}' learns from the student's own attempts alone"
            )
        if self.attempt.temperature not in (None, 1.0):
            raise ValueError(
                f"attempt.temperature = {self.attempt.temperature:g}: fit.objective = '{objective}' learns the "
                "distribution that is sampled, at temperature 1. Remove the key"
            )
        if self.attempt.examples is not None and self.scorer is None:
            raise ValueError(f"attempt.examples: with fit.objective = '{objective}' no prompt has examples")
        return self

    @property
    def own(self) -> OwnOptions | None:
        """The options of an objective that learns from the student's own samples; None for other objectives."""
        options = self.fit.options
        return options if isinstance(options, OwnOptions) else None

    @property
    def scorer(self) -> Scorer | None:
        """The model that scores the attempts; None if the objective needs no scores."""
        return self.own.scorer(self.student) if self.own is not None else None

    @property
    def min_gain(self) -> float | None:
        """The gain on the dev set that a round must exceed for the loop to continue; None means no condition."""
        if self.plateau is None:
            return PLATEAU if self.dev is not None else None
        return None if self.plateau == -1 else self.plateau


def load(path: Path, changes: Sequence[str] = ()) -> LoopSpec:
    """Read a loop's file, with KEY=VALUE `changes`. Raises UsageError with each wrong key and its problem."""
    content = read(path, "loop", changes)
    if ("teach" in content or "jobs" in content.get("select", {})) and "attempt" not in content:
        raise UsageError(f"{path} describes a round, because it has no [attempt]: run `tracemill train {path}`")
    try:
        spec = LoopSpec.model_validate(content)
    except ValidationError as error:
        problems = (f"{key_of(problem['loc']) or 'the loop'}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{path}: " + "; ".join(problems)) from None
    if "jobs" in spec.select:
        raise UsageError(f"{path}: select.jobs: a round of a loop learns from the loop's own jobs")
    round_of(spec, 1, ["none"], where=str(path))  # reports a wrong [select] now
    return spec


def round_of(spec: LoopSpec, number: int, jobs: Sequence[str], where: str = "the loop") -> RoundSpec:
    """Build round `number`, from 1: it trains the base model on the traces of `jobs`.

    With an objective of own samples it continues to train the adapter of the round before. It is measured on the dev
    set too.
    """
    dev = spec.dev.jobs if spec.dev is not None else []
    defaults = EVERY_SAMPLE if spec.own is not None else {}
    start = round_name(spec.name, number - 1) if number > 1 else spec.start
    content = {
        "name": round_name(spec.name, number),
        "student": spec.student,
        "start": start if spec.own is not None else None,
        "select": {**defaults, **spec.select, "jobs": list(jobs)},
        "fit": spec.fit.model_dump(),
        "evaluate": {**spec.evaluate.model_dump(), "jobs": [*spec.evaluate.jobs, *dev]},
    }
    return parse(content | ({"curriculum": spec.curriculum} if spec.curriculum else {}), where)


def round_name(loop: str, number: int) -> str:
    """The name of a loop's round, from 1."""
    return f"{loop}-{number}"


def attempt_name(loop: str, number: int) -> str:
    """The name of the job that asks the model of the round before all questions."""
    return f"{loop}-{number}-attempt"


def rationalize_name(loop: str, number: int) -> str:
    """The name of the job that asks the failed questions again, with a hint."""
    return f"{loop}-{number}-rationalize"


def score_name(loop: str, number: int) -> str:
    """The name of the job that scores the attempts of a round."""
    return f"{loop}-{number}-score"


def ended(spec: LoopSpec, finished: int, dev: Sequence[float] = ()) -> str | None:
    """The reason for ending the loop after `finished` rounds; None means that it continues.

    `dev`: shares of right answers on the dev set, first of the base model, then of each round.

    >>> spec = LoopSpec.model_construct(rounds=4, target=0.5, plateau=0.01)
    >>> ended(spec, 1, [0.1, 0.3]), ended(spec, 2, [0.1, 0.3, 0.305]), ended(spec, 1, [0.1, 0.6])
    (None, 'round 2 gained no more than 1.0 points', 'the target of 50.0 % is reached')
    """
    if finished and dev:
        *earlier, last = dev
        if spec.target is not None and last >= spec.target:
            return f"the target of {spec.target:.1%} is reached".replace("%", " %")
        if spec.min_gain is not None and last - max(earlier) <= spec.min_gain:
            return f"round {finished} gained no more than {100 * spec.min_gain:.1f} points"
    return f"all {spec.rounds} rounds are done" if finished >= spec.rounds else None
