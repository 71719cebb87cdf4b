"""Labelled traces for a calibration, read from a file.

A person's label (`correct`) comes first; without one the symbolic checks compare the answer with `gold`. Lines and
traces that cannot be used are left out, counted and named; the others stay.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tracemill.verification.checks import Item
from tracemill.verification.files import Input
from tracemill.verification.judge import Case
from tracemill.verification.pipeline import Verifier, case_of


class Labelled(NamedTuple):
    """A trace as a judge is shown it, and whether it is right."""

    case: Case
    correct: bool


@dataclass
class LabelledFile:
    """The usable traces of a file, in order, and the reasons why others were left out."""

    traces: list[Labelled] = field(default_factory=list)
    #: Reasons why traces of readable lines were left out, each with the number of traces.
    left_out: Counter[str] = field(default_factory=Counter)
    #: Lines that are no labelled trace: "traces.jsonl:17: why".
    broken: list[str] = field(default_factory=list)


def read_labelled(path: Path, limit: int | None, progress: Callable[[int, int], None]) -> LabelledFile:
    """The labelled traces of a JSONL file (or .jsonl.gz), from at most the first `limit` readable lines.

    The lines are those of `tracemill verify`, with a question, and with `correct` or `gold`. `progress` is called with
    the number of labelled lines and of all lines. Raises UsageError for a file that cannot be read.
    """
    file = LabelledFile()
    lines: list[tuple[Item, bool | None]] = []
    for line in _read(path, file.broken):
        if limit is not None and len(lines) == limit:
            break
        lines.append(line)
    with closing(Verifier()) as verifier:
        for start in range(0, len(lines), verifier.batch_size):
            batch = lines[start : start + verifier.batch_size]
            verdicts = verifier.verify([item for item, _ in batch])
            for (item, label), verdict in zip(batch, verdicts, strict=True):
                correct = verdict.correct if label is None else label
                if correct is None:
                    file.left_out["undecided by the symbolic checks"] += 1
                elif verdict.answer is None:
                    file.left_out["without an answer"] += 1
                else:
                    file.traces.append(Labelled(case_of(item, verdict.findings), correct))
            progress(start + len(batch), len(lines))
    return file


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
