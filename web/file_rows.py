"""The traces in the rows of a file, by our names, whichever tool wrote them."""

from collections.abc import Iterator, Mapping
from typing import Any

from tracemill.conversations import user_text
from tracemill.scores import scores_of
from tracemill.thinking import split
from tracemill.verification.checks import Findings, Item
from tracemill.verification.files import read_row
from tracemill.verification.foreign_rows import QUESTION_COLUMNS, TRACE_COLUMNS, trace_texts
from tracemill.verification.rows import PREFIX
from web.filters import Filters
from web.records import MAX_SHOWN, Finding, Sample

#: Fields of a row that are shown beside a sample.
FACTS = (
    "model",
    "method",
    "variant",
    "tokens_in",
    "tokens_out",
    "thinking_tokens",
    "cost",
    "latency_seconds",
    "finish_reason",
    "worker",
    "job",
)
SIGNALS = ("faithfulness", "coherence", "agreement")


def field(row: Mapping[str, Any], name: str) -> Any:
    """A field of the verdict. `tracemill verify` gives it another name if the row has a field of that name."""
    return row.get(PREFIX + name, row.get(name))


def flag(row: Mapping[str, Any], name: str) -> bool | None:
    """Such a field if it is true or false."""
    value = field(row, name)
    return value if isinstance(value, bool) else None


def question_of(row: Mapping[str, Any]) -> str | None:
    """The text of the question; None if the row has none."""
    name = next((name for name in QUESTION_COLUMNS if row.get(name) not in (None, "", [])), None)
    try:
        text = user_text(row[name]) if name else None
    except ValueError:
        return None
    return text if isinstance(text, str) else None


def items_of(row: dict[str, Any]) -> Iterator[Item]:
    """The traces of a row; it may have several, or none."""
    item, _ = read_row(row)
    if item is not None:
        yield item
        return
    column = next((name for name in TRACE_COLUMNS if row.get(name) not in (None, "", [])), None)
    for text in trace_texts(row[column]) if column else ():
        gold = row.get("gold")
        yield Item(text, gold if isinstance(gold, str) else None, question_of(row))


def sample_of(number: int, row: Mapping[str, Any], item: Item, findings: Findings | None) -> Sample:
    """A sample of the page. The verdict of the row is shown if it has one, otherwise that of `findings`."""
    thoughts, text, _ = split(item.text)
    is_judged = flag(row, "correct") is not None or "proof" in row
    scores = scores_of(findings) if findings else {}
    scores |= {name: value for name in SIGNALS if isinstance(value := field(row, name), int | float)}
    answer = field(row, "answer") if is_judged else None
    return Sample(
        id=number,
        label=str(number + 1),
        text=text[:MAX_SHOWN],
        text_length=len(text),
        thoughts=thoughts and thoughts[:MAX_SHOWN],
        thoughts_length=len(thoughts or ""),
        answer=answer if isinstance(answer, str) else findings.answer if findings else None,
        correct=flag(row, "correct") if is_judged or not findings else findings.correct,
        accepted=flag(row, "accepted"),
        proof=str(field(row, "proof") or "") if is_judged else findings.proof if findings else None,
        error=findings.error if findings else None,
        scores=scores,
        facts={name: row[name] for name in FACTS if row.get(name) not in (None, "")},
        steps=findings.steps if findings else item.steps,
        findings=()
        if findings is None
        else tuple(
            Finding(step, kind, quote)
            for kind, quotes in (
                ("false equation", findings.false_equations),
                ("ungrounded number", findings.ungrounded or ()),
            )
            for step, quote in quotes
        ),
    )


def passes(row: dict[str, Any], filters: Filters) -> bool:
    """Whether a row passes all filters."""
    correct, accepted = flag(row, "correct"), flag(row, "accepted")
    verdict = {True: "right", False: "wrong", None: "undecided" if field(row, "proof") else "unverified"}[correct]
    if filters.verdict and verdict != filters.verdict:
        return False
    if filters.accepted and accepted is not (filters.accepted == "yes"):
        return False
    if filters.method and filters.method not in (row.get("method"), row.get("variant")):
        return False
    if filters.score:
        value = _score(row, filters.score)
        if value is None or not filters.low <= value <= filters.high:
            return False
    searched = filters.text.casefold()
    return not searched or any(
        searched in text.casefold() for text in (question_of(row) or "", *(item.text for item in items_of(row)))
    )


def _score(row: Mapping[str, Any], name: str) -> float | None:
    """A score as `tracemill verify` or an export writes it."""
    value = field(row, name)
    equations = field(row, "equations")
    if value is None and name.startswith("equations_") and isinstance(equations, Mapping):
        value = equations.get(name.removeprefix("equations_"))
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
