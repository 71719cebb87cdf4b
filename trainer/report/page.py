"""The report as one HTML page: without network or scripts, and with all model text escaped."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from trainer.compare import Compared, p_value, percent, points
from trainer.report.charts import Mark, histogram, intervals, lines
from trainer.report.facts import Facts
from trainer.report.headline import headline, tested

#: The most characters of a text that are shown; a model may write without end.
MAX_CHARACTERS = 4000
SCORES = {
    "pass_rate": "share of the question's traces that are accepted",
    "steps": "steps",
    "tokens_out": "tokens",
    "faithfulness": "faithfulness",
    "coherence": "coherence",
}


def page(facts: Facts) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("trainer.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "p": p_value, "cut": cut, "duration": duration}
    gain, against_control = tested(facts)
    return environment.get_template("page.html").render(
        facts=facts,
        headline=headline(facts),
        gain=gain,
        against_control=against_control,
        cost=_cost(facts, gain),
        removed=facts.metrics.get("selection", {}).get("removed", {}),
        **_pictures(facts),
    )


def cut(text: str | None) -> str:
    """The text, cut after `MAX_CHARACTERS` characters."""
    if text is None:
        return "(no answer)"
    return (
        text
        if len(text) <= MAX_CHARACTERS
        else f"{text[:MAX_CHARACTERS]} … and {len(text) - MAX_CHARACTERS} more characters"
    )


def duration(seconds: float) -> str:
    """Like `48 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _pictures(facts: Facts) -> dict[str, Any]:
    controls = {c.benchmark: c for c in facts.control.compared} if facts.control else {}
    groups = {
        c.benchmark: [
            Mark("before", c.first),
            *([Mark("control", controls[c.benchmark].first)] if c.benchmark in controls else []),
            Mark("after", c.second),
        ]
        for c in facts.before_after
    }
    curves = {"after": facts.metrics.get("loss"), "control": facts.control and facts.control.metrics.get("loss")}
    drawn = {name: [(step, loss) for step, loss in curve] for name, curve in curves.items() if curve}
    return {
        "accuracy": intervals(groups, "Right answers before and after, with 95 % intervals over questions"),
        "loss": lines(drawn, "Loss by optimiser step", "optimiser step") if drawn else None,
        "breakdown": {
            by: intervals(
                {f"{c.benchmark} ({c.questions})": _pair(c) for c in cells},
                f"Right answers by {by}, with 95 % intervals over questions",
            )
            for by, cells in facts.breakdown.items()
            if len(cells) > 1
        },
        "scores": {
            SCORES[name]: histogram(facts.scores[name], f"Traces by {SCORES[name]}")
            for name in SCORES
            if name in facts.scores
        },
    }


def _pair(compared: Compared) -> list[Mark]:
    return [Mark("before", compared.first), Mark("after", compared.second)]


def _cost(facts: Facts, gain: Compared) -> list[tuple[str, str, str | None]]:
    """(name, amount, amount for each point gained); the last is None if no gain is shown."""
    cost = facts.cost
    rows: list[tuple[str, float, Callable[[float], str]]] = [
        ("tokens that the teacher wrote, rejected traces included", cost.tokens, "{:,.0f}".format),
        ("… of which were trained on", cost.trained_tokens, "{:,.0f}".format),
        ("engine time of the teacher", cost.engine_seconds, duration),
        ("price of the teacher's traces", cost.price, "{:,.2f}".format),
        ("time of the fit", cost.fit_seconds, duration),
        ("tokens that the student wrote to be measured", cost.evaluation_tokens, "{:,.0f}".format),
    ]
    value, low, high = (100 * share for share in gain.difference)
    is_gain = gain.shown and value > 0
    costs: list[tuple[str, str, str | None]] = []
    for name, amount, formatted in rows:
        if amount:
            upper = formatted(amount / low) if low > 0 else "no bound"
            each = f"{formatted(amount / value)} [{formatted(amount / high)}, {upper}]" if is_gain else None
            costs.append((name, formatted(amount), each))
    return costs
