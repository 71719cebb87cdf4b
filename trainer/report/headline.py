"""The conclusions of a report in sentences: what the numbers of a round show, and what they do not show."""

from dataclasses import dataclass

from tracemill.statistics import Interval
from trainer.compare import Compared, p_value, points
from trainer.report.facts import Facts, together


@dataclass(frozen=True)
class Headline:
    """One sentence, and two lists of conclusions."""

    sentence: str
    shown: list[str]
    not_shown: list[str]


def headline(facts: Facts) -> Headline:
    """The headline of a report."""
    gain = facts.whole
    shown: list[str] = []
    not_shown: list[str] = []
    worth = _worth(gain)
    questions = f"{gain.questions} held-out questions"
    moved = f"from {_percent(gain.first)} to {_percent(gain.second)} of {questions}"
    if gain.shown and gain.difference.value > 0:
        sentence = f"Training on {_examples(facts)} raised right answers {moved}."
        shown.append(f"The student answers more questions right than the base model: {worth}.")
    elif gain.shown:
        sentence = f"Training on {_examples(facts)} lowered right answers {moved}."
        shown.append(f"The student answers fewer questions right than the base model: {worth}.")
    else:
        sentence = f"Training on {_examples(facts)} moved right answers {moved}: no more than chance would."
        not_shown.append(f"That the student became better or worse: {worth}.")
    (shown if _is_control_shown(facts) else not_shown).append(_about_control(facts))
    strict = _strict_gain(facts)
    if strict is not None and strict > gain.difference.value + 0.005:
        not_shown.append(
            f"How much of it is reasoning: right answers in the asked form rose by {100 * strict:.1f} points, more "
            "than right answers in any form. Learning the form is part of that."
        )
    if len(facts.before_after) > 1:
        not_shown.append(
            f"Anything near p = 0.05 about one benchmark alone: there are {len(facts.before_after)}, and their p "
            "values are not corrected for that."
        )
    not_shown.append("What another seed would give: this is one run, and runs of one recipe differ by several points.")
    not_shown.append("Anything about questions unlike these.")
    return Headline(sentence, shown, not_shown)


def control_gain(facts: Facts) -> Compared | None:
    """The round against its control arm, on all benchmarks; None if no control arm is measured."""
    return together(facts.control.compared) if facts.control and facts.control.compared else None


def _is_control_shown(facts: Facts) -> bool:
    gain = control_gain(facts)
    return gain is not None and gain.shown


def _about_control(facts: Facts) -> str:
    gain = control_gain(facts)
    if gain is None and facts.control is not None:
        return f"Whether the filter matters: its control arm {facts.control.name} is {facts.control.state}."
    if gain is None:
        return "Whether the filter matters: there is no control arm (tracemill train ROUND.toml --control)."
    worth = _worth(gain)
    if not gain.shown:
        return f"That the filter matters: against as many tokens of unfiltered traces it is {worth}."
    better = "more" if gain.difference.value > 0 else "less"
    return f"The chosen traces teach {better} than as many tokens of unfiltered ones: {worth}."


def _strict_gain(facts: Facts) -> float | None:
    """The change in the share of right answers in the required form; None without questions."""
    share = {"before": 0, "after": 0}
    for row in facts.evaluations:
        share[row["stage"]] += row["correct_strict"]
    questions = sum(row["questions"] for row in facts.evaluations if row["stage"] == "before")
    return (share["after"] - share["before"]) / questions if questions else None


def _examples(facts: Facts) -> str:
    # The traces of the examples may be deleted since.
    count = sum(int(stage["examples"]) for stage in facts.stages) or facts.metrics.get("examples", 0)
    return f"{count:,} examples"


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.1f} %"


def _worth(compared: Compared) -> str:
    """The difference with its interval and its p value; the p value never breaks across lines."""
    value, _, interval = points(compared.difference).partition(" ")
    p = p_value(compared.p).replace(" ", "\N{NO-BREAK SPACE}")
    return f"{value} points {interval}, {p}"
