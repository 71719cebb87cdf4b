"""Store and load the calibrations of judges, and load the judged traces for a calibration."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from db.queries import Q
from db.session import reader, transaction
from tracemill.policy import SIGNALS, Policy, Signal
from tracemill.statistics import Interval
from tracemill.verification.calibration import Bin, Measured, Rated


def store(judge: str, model: str, source: str, measured: Sequence[Measured]) -> None:
    """Store a calibration, one row for each signal. `source` names the labelled traces, for people."""
    rows = [
        {
            "judge": judge,
            "model": model,
            "source": source,
            "signal": m.signal,
            "n_right": m.n_right,
            "n_wrong": m.n_wrong,
            "auc": m.auc.value,
            "low": m.auc.low,
            "high": m.auc.high,
            "agreement": m.agreement.value,
            "agreement_low": m.agreement.low,
            "agreement_high": m.agreement.high,
            "bins": json.dumps([asdict(b) for b in m.bins]),
        }
        for m in measured
    ]
    with transaction() as connection:
        connection.execute(Q["insert_calibration"], rows)


def latest(judge: str, model: str) -> dict[Signal, Measured]:
    """The newest calibration of each signal of this judge.

    An alias and a model together identify a judge. So an alias that now has another model is not calibrated.
    """
    with transaction() as connection:
        rows = connection.execute(Q["latest_calibrations"], {"judge": judge, "model": model}).mappings().all()
    return {
        row["signal"]: Measured(
            row["signal"],
            row["n_right"],
            row["n_wrong"],
            Interval(row["auc"], row["low"], row["high"]),
            Interval(row["agreement"], row["agreement_low"], row["agreement_high"]),
            tuple(Bin(**b) for b in row["bins"]),
        )
        for row in rows
    }


def judged_traces(job: str, judge: str, limit: int | None) -> list[Rated]:
    """Traces of a job that have the judge's scores and a symbolic verdict, oldest first."""
    values = {"job": job, "verifier": Policy(judge=judge).verifier, "limit": limit}
    with reader() as connection:
        rows = connection.execute(Q["judged_traces"], values).all()
    return [
        Rated(row.correct, {signal: row.signals[signal] for signal in SIGNALS if signal in row.signals}) for row in rows
    ]
