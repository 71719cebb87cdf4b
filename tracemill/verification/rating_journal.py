"""The ratings of an unfinished calibration: the next run asks the judge only for the others.

A file has one JSON line a rating. It is appended to at once, so a killed run loses only the ratings under way. A rating
belongs to its trace, model and signals: the file of labelled traces may change in between.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

from tracemill.policy import Signal
from tracemill.verification.judge import Case, Judged


class RatingJournal:
    """The file of one judge."""

    def __init__(self, path: Path, model: str, signals: Sequence[Signal]) -> None:
        """Read the file of an earlier run. An incomplete last line is ignored."""
        self._path = path
        self._judging = [model, *signals]
        lines = path.read_bytes().splitlines() if path.is_file() else []
        self._scores: dict[str, dict[Signal, float]] = {}
        for line in lines:
            try:
                row = json.loads(line)
                self._scores[row["trace"]] = row["scores"]
            except (ValueError, KeyError, TypeError):
                continue

    def rating(self, case: Case) -> Judged | None:
        """The rating of a trace; None if the judge has not given it."""
        scores = self._scores.get(self._key(case))
        return None if scores is None else Judged(scores)

    def add(self, case: Case, judged: Judged) -> None:
        """Keep a rating. One with an error is not kept: the next run asks again."""
        if judged.error is None and judged.away is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            row = json.dumps({"trace": self._key(case), "scores": judged.scores})
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{row}\n")  # the first line break ends the incomplete line of a killed run

    def remove(self) -> None:
        """Remove the file, because the calibration is complete."""
        self._path.unlink(missing_ok=True)

    def _key(self, case: Case) -> str:
        return blake2b(json.dumps([*self._judging, asdict(case)]).encode(), digest_size=16).hexdigest()
