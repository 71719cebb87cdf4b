"""Convert the rows of a source's tables to questions."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from typing import TypeAlias, TypeVar, get_args

from producer.sources.choices import Choices, choices, first_index, gold_letter, with_choices
from producer.sources.columns import Columns, with_usual
from producer.sources.rows import Problem, Question, Row, Table
from producer.sources.values import BadValueError, checked_text, label_text, scalar
from tracemill.conversations import user_text
from tracemill.prompts import DOMAINS
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.foreign_rows import trace_texts
from tracemill.verification.gold_values import gold_text, kind_of, only_text, plain_text, structure
from tracemill.verification.scorers import Scoring, scoring_of

T = TypeVar("T")
#: First rows that show whether gold indices count from 0 or from 1.
FIRST_ROWS = 100
KINDS = get_args(Kind)
#: Columns whose lists hold alternatives: any one of them is right.
ALTERNATIVES = ("answers", "aliases")
#: Characters of the entry of a scorer, as JSON.
MAX_ENTRY = 1_000_000


#: Makes something of one row: its number, the row, where its values are, and the index of the first choice.
Convert: TypeAlias = Callable[[int, Mapping[str, object], Columns, int], T]


@dataclass(frozen=True, slots=True)
class TracedQuestion:
    """One question, and traces to it."""

    question: Question
    traces: list[str]


def questions(table: Table, columns: Columns) -> Iterator[Question | Problem]:
    """The table's rows as questions, in order; each bad row is a Problem."""
    return _converted(table, columns, _question)


def traced_questions(table: Table, columns: Columns) -> Iterator[TracedQuestion | Problem]:
    """The table's rows as questions with their traces, in order; each bad row is a Problem."""
    return _converted(table, columns, _traced_question)


def _converted(table: Table, columns: Columns, convert: Convert[T]) -> Iterator[T | Problem]:
    rows = table.select(columns.used | {"scorer"})
    head = list(islice(rows, FIRST_ROWS))
    first = _first_index(head, columns)
    names = dict.fromkeys(table.columns)
    for number, row in chain(head, rows):
        try:
            if isinstance(row, str):
                raise BadValueError(row)
            if table.grows and not row.keys() <= names.keys():
                names |= dict.fromkeys(row)
                columns = with_usual(columns, names)
            yield convert(number, row, columns, first)
        except BadValueError as bad:
            yield Problem(f"{table.name}:{number}", str(bad))


def _traced_question(number: int, row: Mapping[str, object], columns: Columns, first: int) -> TracedQuestion:
    field = columns.fields.get("trace")
    traces = trace_texts(structure(field.value(row))) if field else []
    column = field.text if field else "trace"
    if not traces:
        raise BadValueError(f"{column!r} holds no text of a model")
    return TracedQuestion(_question(number, row, columns, first), [checked_text(column, trace) for trace in traces])


def _first_index(head: list[Row], columns: Columns) -> int:
    """The index of the first choice in the gold answers of the first rows."""
    gold, given = columns.fields.get("gold"), columns.fields.get("choices")
    if gold is None or given is None:
        return 0
    golds = []
    for _, row in head:
        try:
            options = None if isinstance(row, str) else choices(structure(given.value(row)))
        except ValueError:
            continue
        if options and not isinstance(row, str):
            golds.append((gold.value(row), options))
    return first_index(golds)


def _question(number: int, row: Mapping[str, object], columns: Columns, first: int) -> Question:
    fields, shape = columns.fields, columns.shape
    text = _text(row, columns)
    lettered = _choices(row, columns, text)
    kind, domain = _label(row, columns, "kind", KINDS), _label(row, columns, "domain", DOMAINS)
    kind = kind or (shape.kind if shape else None) or ("choice" if lettered else None)
    gold = _gold(row, columns, lettered, first, kind)
    used = columns.kept_out_of_meta
    if "kind" in fields or "domain" in fields:
        used = used | {
            fields[ours].text for ours, value in (("kind", kind), ("domain", domain)) if ours in fields and value
        }
    return Question(
        text=with_choices(text, lettered.texts) if lettered else text,
        gold=gold,
        domain=domain or (shape.domain if shape else None),
        kind=kind,
        meta={
            checked_text("a column's name", name): kept
            for name, value in row.items()
            if name not in used and (kept := scalar(name, value)) is not None
        },
        line=number,
        scorer=_scorer(row, text, gold, used) if "scorer" in row else None,
    )


def _scorer(row: Mapping[str, object], text: str, gold: str | None, used: Collection[str]) -> Scoring | None:
    """The scorer that the column `scorer` names, with an entry that JSON and Postgres can hold."""
    others = {name: value for name, value in row.items() if name not in used and name != "scorer"}
    try:
        scoring = scoring_of(structure(row["scorer"]), question=text, answer=gold, metadata=lambda: others)
        if scoring is None:
            return None
        entry = json.dumps(scoring.entry, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadValueError(str(error)) from None
    if "\\u0000" in entry or len(entry) > MAX_ENTRY:
        raise BadValueError(f"the entry of its scorer has a NUL character, or more than {MAX_ENTRY:,} characters")
    return Scoring(scoring.name, json.loads(entry))


def _text(row: Mapping[str, object], columns: Columns) -> str:
    field = columns.fields.get("question")
    column = field.text if field else "question"
    value = field.value(row) if field else None
    text = value
    if not isinstance(value, str) or value.lstrip()[:1] in ("[", "{"):  # a conversation, perhaps as text in a CSV file
        try:
            text = user_text(structure(value))
        except ValueError as error:
            raise BadValueError(f"{column!r} {error}") from None
        if not isinstance(text, str) and isinstance(value, str):
            text = value
    if not isinstance(text, str):
        exists = field is None or any(name in row for name in field.columns)
        raise BadValueError(
            f"{column!r} is {kind_of(text)}, not text" if exists else f"there is no {column!r} in this row"
        )
    text = checked_text(column, text).strip()
    if not text:
        raise BadValueError(f"{column!r} is empty: a question needs text")
    return text


def _choices(row: Mapping[str, object], columns: Columns, text: str) -> Choices | None:
    """The choices. If the gold answer has a column of its own among them, the question decides their order."""
    field, gold = columns.fields.get("choices"), columns.fields.get("gold")
    if field is None:
        return None
    value = structure(field.value(row))
    if gold and set(gold.columns) < set(field.columns) and isinstance(value, dict):
        value = sorted(value.values(), key=lambda choice: blake2b(f"{text}\0{choice}".encode()).digest())
    try:
        given = choices(value)
    except ValueError as error:
        raise BadValueError(f"{field.text!r} {error}") from None
    for choice in given.texts.values() if given else ():
        checked_text(field.text, choice)
    return given


def _gold(
    row: Mapping[str, object], columns: Columns, lettered: Choices | None, first: int, kind: str | None
) -> str | None:
    field = columns.fields.get("gold")
    if field is None:
        return None
    value = field.value(row)
    try:
        gold = _gold_text(gold_letter(value, lettered, first) if lettered else value, row, columns, kind)
    except ValueError as error:
        raise BadValueError(f"{field.text!r} {error}") from None
    return gold and checked_text(field.text, gold)


def _gold_text(value: object, row: Mapping[str, object], columns: Columns, kind: str | None) -> str | None:
    """The gold answer. Raises ValueError for a value that is none."""
    if row.get("scorer"):  # it compares with the answer as its data set writes it
        return plain_text(value) or None
    if kind == "code":
        starter = plain_text(row.get(columns.shape.starter)) if columns.shape and columns.shape.starter else ""
        tests = structure(value)
        return tests.strip() or None if isinstance(tests, str) else gold_text(tests, starter)
    if columns.fields["gold"].text.casefold() in ALTERNATIVES and isinstance(answers := structure(value), list):
        return only_text(answers)
    return gold_text(value)


def _label(row: Mapping[str, object], columns: Columns, ours: str, known: tuple[str, ...]) -> str | None:
    """A domain or a kind. A column that only has the usual name may hold something else, which is left alone."""
    field = columns.fields.get(ours)
    if field is None:
        return None
    value = field.value(row)
    if ours not in columns.mapped and value not in known:
        return None
    return label_text(field.text, value)
