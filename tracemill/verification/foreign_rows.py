"""Traces in rows without our names: NeMo-Skills, curator, distilabel, datatrove, verifiers, conversations, exports."""

from collections.abc import Iterable, Mapping
from typing import Any

from tracemill.conversations import reply_text, turns, user_text
from tracemill.thinking import joined

#: Usual names of a trace, or of several to one question.
TRACE_COLUMNS = (
    "trace",
    "generation",
    "generations",
    "completion",
    "completions",
    "response",
    "responses",
    "response_message",
    "generated_solution",
    "rollout_results",
    "messages",
    "conversations",
    "conversation",
)
QUESTION_COLUMNS = (
    "question",
    "problem",
    "prompt",
    "instruction",
    "input",
    "query",
    "messages",
    "conversations",
    "conversation",
)
GOLD_COLUMNS = ("gold", "answer", "final_answer", "expected_answer", "ground_truth", "correct_answer", "target")
#: Keys under which an object keeps a text of the model.
_TEXT_KEYS = ("text", "content", "generation", "completion", "response")
#: Columns of an export or an archive: the two parts of a trace.
EXPORTED = ("text", "thoughts")


def trace_texts(value: Any) -> list[str]:
    """The traces in a text, a conversation, an object with a text, or a list of these; empty if there is none."""
    if isinstance(value, str):
        return [value]
    if turns(value):
        reply = reply_text(value)
        return [] if reply is None else [reply]
    if isinstance(value, Mapping):
        if isinstance(thoughts := value.get("thoughts"), str):
            return [joined(thoughts, str(value.get("text") or ""))]
        return next(([value[key]] for key in _TEXT_KEYS if isinstance(value.get(key), str)), [])
    return [text for part in value for text in trace_texts(part)] if isinstance(value, list) else []


def foreign_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The trace, the question and the gold answer of a row without `trace`, by our names.

    Raises ValueError if no column has a trace, or if one has several.
    """
    if row.keys() >= set(EXPORTED):
        # Its `steps` is a number of steps.
        return {"trace": "".join(trace_texts({name: row[name] for name in EXPORTED})), "steps": None}
    column = _first(TRACE_COLUMNS, row)
    texts = trace_texts(row[column]) if column else []
    if not texts:
        raise ValueError(f'no "trace", and no text of a model in {", ".join(TRACE_COLUMNS[1:])}')
    if len(texts) > 1:
        raise ValueError(f'"{column}" holds {len(texts)} traces: `tracemill import` takes them all')
    fields: dict[str, Any] = {"trace": texts[0]}
    if question := _first(QUESTION_COLUMNS, row):
        try:
            fields["question"] = user_text(row[question])
        except ValueError as error:
            raise ValueError(f'"{question}" {error}') from None
    if "gold" not in row and (gold := _first(GOLD_COLUMNS, row)):
        fields["gold"] = row[gold]
    return fields


def _first(names: Iterable[str], row: Mapping[str, Any]) -> str | None:
    return next((name for name in names if row.get(name) not in (None, "", [])), None)
