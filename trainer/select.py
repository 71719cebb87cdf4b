"""Which traces a round trains on: one SQL statement filters, writes the examples and counts what it left out."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from db.queries import Q
from tracemill.errors import TracemillError
from trainer.spec import RoundSpec


@dataclass(frozen=True)
class Selection:
    """What became of the traces, filter by filter; `traces` is the sum of all others."""

    #: Traces of the named jobs.
    traces: int
    #: Without a verdict yet.
    unverified: int
    #: Not accepted by their job's policy.
    rejected: int
    #: Accepted, but the question is also asked in an evaluation.
    overlapping: int
    #: The same text for the same question again.
    repeated: int
    #: Above select.max_per_question.
    over_max_per_question: int
    #: Above select.limit.
    over_limit: int
    #: Written as examples.
    examples: int


def select(connection: Connection, round_id: int, spec: RoundSpec) -> Selection:
    """Write the round's examples (role `sft`), replacing those of an earlier try.

    Raises TracemillError, naming the filters that took them, when none is left.
    """
    connection.execute(Q["delete_examples"], {"round_id": round_id})
    chosen = {
        "round_id": round_id,
        "role": "sft",
        "jobs": spec.select.jobs,
        "max_per_question": spec.select.max_per_question,
        "limit": spec.select.limit,
        "seed": spec.select.seed,
    }
    selection = Selection(**connection.execute(Q["select_examples"], chosen).mappings().one())
    if selection.examples == 0:
        raise TracemillError(_nothing_left(selection, spec))
    return selection


def _nothing_left(selection: Selection, spec: RoundSpec) -> str:
    jobs = ", ".join(spec.select.jobs)
    if selection.traces == 0:
        return f"round '{spec.name}': no examples, because the jobs have no traces yet ({jobs}). Let them run first."
    taken = asdict(selection)
    reasons = {
        "unverified": "are not verified yet: is a verify worker running?",
        "rejected": "are not accepted: `trace_scores` shows the verdicts, the job's policy decides",
        "overlapping": "answer a question that is also in an evaluation: take other questions to teach with",
    }
    found = "; ".join(f"{taken[name]} {reason}" for name, reason in reasons.items() if taken[name])
    return f"round '{spec.name}': no examples. Of {selection.traces} traces ({jobs}), {found}."
