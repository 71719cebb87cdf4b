"""The control arm: what would the same recipe have learnt from as many tokens that nobody verified?"""

from tracemill.errors import UsageError
from trainer.objectives import find
from trainer.spec import RoundSpec, parse

#: What says where traces come from, and how often one question may occur. Everything else in [select] filters by what
#: was found about a trace, or bounds the amount, which is the round's own.
POOL = {
    *("jobs", "methods", "models", "domains", "datasets", "since", "until"),
    *("near_duplicates", "max_per_question", "ngram", "overlap", "seed"),
}


def control_name(name: str) -> str:
    """The name of a round's control arm."""
    return f"{name}-control"


def control_of(spec: RoundSpec) -> RoundSpec:
    """The round's twin on unfiltered traces: as many tokens of each difficulty as the round's own examples have.

    It is selected once the round's examples are written (`claim_round`). Raises UsageError when the objective learns
    from pairs of right and wrong traces: without verdicts there are none.
    """
    if find(spec.fit.objective).pairs:
        raise UsageError(
            f"--control: fit.objective = '{spec.fit.objective}' learns from pairs of right and wrong traces, and "
            "unfiltered traces have none. Compare it with a round of another objective: tracemill rounds compare"
        )
    pool = spec.select.model_dump(include=POOL)
    twin = {"name": control_name(spec.name), "select": pool | {"accepted": "any", "like": spec.name}}
    return parse(spec.model_dump() | twin, f"the control arm of round '{spec.name}'")
