"""The conclusions of a report in sentences: what the numbers of a round show, and what they do not show."""

import re
from dataclasses import dataclass

from tracemill.statistics import Interval
from trainer.compare import Compared, OverSeeds, family, together
from trainer.compare import worth as worth_in_words
from trainer.report.facts import Facts


@dataclass(frozen=True)
class Headline:
    """One sentence, and two lists of conclusions."""

    sentence: str
    shown: list[str]
    not_shown: list[str]


def headline(facts: Facts) -> Headline:
    """The headline of a report.

    The gain and the effect of the filter are one family of tests, of this run and again over seeds.
    """
    gain, against_control = tested(facts)
    shown: list[str] = []
    not_shown: list[str] = []
    worth = _worth(gain)
    questions = f"{gain.questions} held-out questions"
    moved = f"from {_percent(gain.first)} to {_percent(gain.second)} of {questions}"
    if gain.shown and gain.difference.value > 0:
        sentence = f"Training on {_examples(facts)} raised right answers {moved}."
        shown.append(f"This student answers more questions right than the base model: {worth}.")
    elif gain.shown:
        sentence = f"Training on {_examples(facts)} lowered right answers {moved}."
        shown.append(f"This student answers fewer questions right than the base model: {worth}.")
    else:
        sentence = f"Training on {_examples(facts)} moved right answers {moved}: no more than chance would."
        not_shown.append(f"That the student became better or worse: {worth}.")
    is_control_shown = against_control is not None and against_control.shown
    (shown if is_control_shown else not_shown).append(_about_control(facts, against_control))
    strict = _strict_gain(facts)
    if strict is not None and strict > gain.difference.value + 0.005:
        not_shown.append(
            f"How much of it is reasoning: right answers in the asked form rose by {100 * strict:.1f} points, more "
            "than right answers in any form. Learning the form is part of that."
        )
    for claim, test in _of_the_recipe(facts):
        (shown if test.shown else not_shown).append(f"{claim}: {_worth(test)} ({', '.join(facts.seeds)}).")
    if len(facts.seeds) < 2:
        not_shown.append(
            "What the recipe gives with another seed: this is one run, the intervals are over questions, and runs of "
            "one recipe differ by several points."
        )
    not_shown.append("Anything about questions unlike these.")
    return Headline(sentence, shown, not_shown)


def control_gain(facts: Facts) -> Compared | None:
    """The round against its control arm, on all benchmarks; None if no control arm is measured."""
    return together(facts.control.compared) if facts.control and facts.control.compared else None


def tested(facts: Facts) -> tuple[Compared, Compared | None]:
    """The gain, and that over the control arm if it is measured, with their p values by Holm if both are."""
    gain, *against_control = family([facts.whole, *filter(None, [control_gain(facts)])])
    return gain, against_control[0] if against_control else None


def _of_the_recipe(facts: Facts) -> list[tuple[str, OverSeeds]]:
    """The claims about the recipe, each with its test over seeds; none for one seed."""
    claims = {
        "The recipe changes the right answers of its students": facts.over_seeds,
        "The recipe's filter changes them, against as many tokens of unfiltered traces": facts.control_over_seeds,
    }
    measured = {claim: test for claim, test in claims.items() if test is not None}
    return list(zip(measured, family(list(measured.values())), strict=True))


def _about_control(facts: Facts, gain: Compared | None) -> str:
    if gain is None and facts.control is not None:
        return f"Whether the filter matters: its control arm {facts.control.name} is {facts.control.state}."
    if gain is None:
        return "Whether the filter matters: there is no control arm (tracemill train ROUND.toml --control)."
    worth = _worth(gain)
    if not gain.shown:
        return f"That the filter matters: against as many tokens of unfiltered traces it is {worth}."
    better = "more" if gain.difference.value > 0 else "less"
    return f"In this run the chosen traces taught {better} than as many tokens of unfiltered ones: {worth}."


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


def _worth(test: Compared | OverSeeds) -> str:
    """The difference with its interval and its p value; the p value never breaks across lines."""
    return re.sub(r"p ([<=]) ", "p\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", worth_in_words(test))
