"""Labelled traces for a calibration: read from a file, each with what a judge is asked and whether the trace is right.

A label is a person's (`correct`), or else the symbolic checks' (`gold`). What cannot be used is left out, counted, and
named, and its neighbours stay.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tracemill.text import storable
from tracemill.verification.checks import Item
from tracemill.verification.files import Input
from tracemill.verification.judge import Case
from tracemill.verification.verifier import Verifier


class Labelled(NamedTuple):
    """What the judge is asked about a trace, and whether the trace is right."""

    case: Case
    correct: bool


@dataclass
class LabelledFile:
    """The usable traces of a file in its order, and what was left out."""

    traces: list[Labelled] = field(default_factory=list)
    #: Why traces of good lines were left out, with their number.
    left_out: Counter[str] = field(default_factory=Counter)
    #: Lines that are no labelled trace: "traces.jsonl:17: why".
    broken: list[str] = field(default_factory=list)


def read_labelled(path: Path, limit: int | None, progress: Callable[[int, int], None]) -> LabelledFile:
    """The labelled traces of a JSONL file (or .jsonl.gz), at most the first `limit` good lines of it.

    The lines are those of `tracemill verify`, with a question, and with `correct` or `gold`. `progress` hears how many
    of how many are labelled. Raises UsageError for a file that cannot be read.
    """
    found = LabelledFile()
    lines: list[tuple[Item, bool | None]] = []
    for line in _read(path, found.broken):
        if limit is not None and len(lines) == limit:
            break
        lines.append(line)
    with closing(Verifier(len(os.sched_getaffinity(0)))) as verifier:
        for start in range(0, len(lines), verifier.batch):
            batch = lines[start : start + verifier.batch]
            verdicts = verifier.verdicts([item for item, _ in batch])
            for (item, label), verdict in zip(batch, verdicts, strict=True):
                correct = verdict["correct"] if label is None else label
                if correct is None:
                    found.left_out["undecided by the symbolic checks"] += 1
                elif verdict["answer"] is None:
                    found.left_out["without an answer"] += 1
                else:
                    case = Case(
                        storable(item.question or ""),
                        verdict["steps"],
                        verdict["answer"],
                        None if item.gold is None else storable(item.gold),
                    )
                    found.traces.append(Labelled(case, correct))
            progress(start + len(batch), len(lines))
    return found


def _read(path: Path, broken: list[str]) -> Iterator[tuple[Item, bool | None]]:
    source = Input(str(path))
    with closing(source.file):
        for line in source.lines():
            label = (line.row or {}).get("correct")
            if line.item is None:
                problem = line.problem
            elif not (line.item.question or "").strip():
                problem = 'no "question"'
            elif not isinstance(label, bool | None):
                problem = '"correct" is neither true nor false'
            elif label is None and not (line.item.gold or "").strip():
                problem = 'neither "correct" nor "gold": it has no label'
            else:
                yield line.item, label
                continue
            broken.append(f"{path.name}:{line.number}: {problem}")
