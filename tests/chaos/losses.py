"""The time lost to each kind of fault, from the settlement times in Postgres."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from tests.chaos.faults import Hit, Kind


def standstill(settled: Sequence[float], since: float, until: float) -> float:
    """The longest time without a settled question that starts between `since` and `until`."""
    times = [since, *(time for time in settled if time > since)]
    return max((after - before for before, after in pairwise(times) if before < until), default=0.0)


def table(hits: Sequence[Hit], settled: Mapping[int, float]) -> str:
    """Median and worst seconds by kind of fault.

    `stood still`: the longest time without a settled question between this fault and the next. `under way`: the time
    from the fault until all questions in progress at that moment were settled. Faults may follow each other quickly, so
    a kind also includes some time of others.
    """
    times = sorted(settled.values())
    ends = [*(hit.at for hit in hits[1:]), float("inf")]
    still: dict[Kind, list[float]] = {}
    held: dict[Kind, list[float]] = {}
    for hit, end in zip(hits, ends, strict=True):
        still.setdefault(hit.kind, []).append(standstill(times, hit.at, end))
        if hit.held:
            held.setdefault(hit.kind, []).append(max(settled[question_id] for question_id in hit.held) - hit.at)
    lines = [f"{'seconds (median, worst)':24}{'faults':>8}{'stood still':>18}{'under way':>18}"]
    for kind in Kind:
        if kind in still:
            columns = (still[kind], held.get(kind, []))
            shown = (f"{median(durations):.1f}  {max(durations):5.1f}" if durations else "" for durations in columns)
            lines.append(f"{kind:24}{len(still[kind]):>8}{next(shown):>18}{next(shown):>18}")
    return "\n".join(lines)
