"""The sampling of a job, what adaptive sampling saved, and the job's tiers, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.output import print_rows

#: What a stored null means.
DEFAULTS = {"temperature": "the server's own", "top_p": "the server's own", "max_tokens": "the rest of the context"}
TIER_COLUMNS = (
    *("tier", "job", "model", "questions", "solved"),
    *("traces", "accepted", "tokens_per_accepted", "cost_per_accepted"),
)


def named_defaults(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling of a job with words for the values that the engine decides."""
    return {name: DEFAULTS.get(name) if value is None else value for name, value in sampling.items()}


def saved(job: Mapping[str, Any], ends: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the traces and tokens that adaptive sampling saved in the questions that are done.

    None for a job that asks for all samples of each question.
    """
    if job["enough"] is None or not ends:
        return None
    questions = sum(row["questions"] for row in ends)
    traces = int(sum(row["traces"] for row in ends))
    tokens_per_trace = int(job["tokens_out"]) / max(1, job["traces"])
    return {
        "traces": traces,
        "traces_of_fixed": questions * job["most"],
        "share_saved": round(1 - traces / (questions * job["most"]), 4),
        "tokens_saved": round((questions * job["most"] - traces) * tokens_per_trace),
        "ended": {row["ended"]: row["questions"] for row in ends},
    }


def sampling_in_words(job: Mapping[str, Any], saving: Mapping[str, Any]) -> str:
    """Describe the limits of adaptive sampling and its saving in sentences."""
    give_up = f", given up below a chance of {job['give_up']:g}" if job["give_up"] else ""
    ended = ", ".join(f"{count} {reason}" for reason, count in saving["ended"].items())
    return (
        f"{job['enough']} accepted of at most {job['most']}, {job['batch']} at a time{give_up}. "
        f"{saving['traces']} traces instead of {saving['traces_of_fixed']}: {saving['share_saved']:.0%} saved, about "
        f"{saving['tokens_saved']} tokens. Questions ended: {ended}"
    )


def print_tiers(tiers: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of the view job_tiers, if there are any."""
    if tiers:
        title = "tiers: each answers what the one before failed"
        print_rows(tiers, TIER_COLUMNS, title=title, optional=("traces", "questions"))
