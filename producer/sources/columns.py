"""Find the values of ours in a table: the user's mapping first, then a known layout, then usual column names."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from shlex import quote

from producer.sources.paths import Field, parse_field
from producer.sources.rows import Table, nearest
from producer.sources.shapes import SHAPES, TRACE_SHAPES, Shape, shape_of
from tracemill.errors import UsageError
from tracemill.verification.foreign_rows import GOLD_COLUMNS, QUESTION_COLUMNS, TRACE_COLUMNS

#: Columns that are often a part of the question, of the choices or of the tests, under names that are not taken alone.
TEXT_COLUMNS = frozenset(("context", "passage", "support", "story", "paragraph", "background", "input", "premise"))
CHOICE_COLUMNS = frozenset(("endings", "candidates", "alternatives", "answer_choices", "choice", "answer_options"))
TEST_COLUMNS = frozenset(
    ("test_list", "tests", "test", "test_cases", "unit_tests", "input_output", "correct", "reward_model")
)
MEDIA = re.compile(r"(?:image|picture|audio|video|figure)s?(?:_?\d+)?")
DEFAULT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": QUESTION_COLUMNS,
    "gold": (*GOLD_COLUMNS, "answerkey", "solution", "output", "label", "answers"),
    "domain": ("domain",),
    "kind": ("kind",),
    "choices": ("choices", "options"),
}


#: The same for files of traces.
TRACED_COLUMNS: Mapping[str, tuple[str, ...]] = {"trace": TRACE_COLUMNS, **DEFAULT_COLUMNS}
#: Columns of conversations, which hold both the question and the trace.
CONVERSATIONS = frozenset(("messages", "conversations", "conversation"))
#: Rows that show which column may hold the question.
FIRST_ROWS = 20


@dataclass(frozen=True)
class Columns:
    """Where the values of ours are in a table's rows."""

    fields: Mapping[str, Field]
    #: The names in `fields` that the user mapped.
    mapped: Collection[str] = ()
    shape: Shape | None = None
    #: The usual names of each value of ours.
    usual: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DEFAULT_COLUMNS)

    @cached_property
    def used(self) -> set[str]:
        """The columns that a question needs."""
        starter = {self.shape.starter} if self.shape and self.shape.starter else set()
        return {column for picked in self.fields.values() for column in picked.columns} | starter

    @cached_property
    def kept_out_of_meta(self) -> frozenset[str]:
        """The columns whose values are in the question itself. A domain or a kind may be none of ours."""
        labels = {self.fields[name].text for name in ("domain", "kind") if name in self.fields}
        return frozenset(self.used - labels)

    def sentence(self) -> str:
        """The mapping in words, for people."""
        layout = f"{self.shape.name}: " if self.shape else ""
        return layout + ", ".join(f"{ours} = {picked.text}" for ours, picked in self.fields.items())

    def remarks(self, table: Table) -> list[str]:
        """The mapping, if it is not simply ours, and the warnings."""
        is_ours = all(picked.text == ours for ours, picked in self.fields.items())
        return ([] if is_ours else [f"columns of {table.name}: {self.sentence()}"]) + self.warnings(table)

    def warnings(self, table: Table) -> list[str]:
        """Columns that may belong to the question or the gold answer, but are not used, and what to type for them."""
        unused = [column for column in table.columns if column not in self.used]
        notes = [self.shape.note] if self.shape and self.shape.note else []
        return notes + [
            f"{table.name}: column {column!r} is not used. {advice}"
            for column in unused
            if (advice := self._advice(column))
        ]

    def _advice(self, column: str) -> str | None:
        name = column.casefold()
        question = self.fields.get("question")
        if question and name in TEXT_COLUMNS and "question" not in self.mapped:
            slot = question.text if question.literals else f"{{{question.text}}}"
            template = rf"{{{column}}}\n\n{slot}"
            return f"Is it part of the question? {_flag('question', template)}"
        if name in CHOICE_COLUMNS and "choices" not in self.fields:
            return f"Is it multiple choice? {_flag('choices', column)}"
        if name in TEST_COLUMNS and "gold" not in self.fields:
            return f"Is it the gold answer? {_flag('gold', column)}"
        if MEDIA.fullmatch(name):
            return "Models are sent text only: leave these questions out if they need it"
        return None


def pick_columns(
    table: Table, mapping: Mapping[str, str], usual: Mapping[str, tuple[str, ...]] = DEFAULT_COLUMNS
) -> Columns:
    """Where the table has question, gold, domain, kind and choices, and the other names of `usual`.

    `mapping` is our name → a field (`paths`) of existing columns. Raises UsageError for a wrong one, and for a table
    without a question.
    """
    listing = f"{table.name} has the columns: {', '.join(map(_printable, table.columns))}"
    for ours, theirs in mapping.items():
        if ours not in usual:
            hint = f"; write --map {theirs}={ours}" if theirs in usual else ""
            raise UsageError(f"--map {ours}={theirs}: {ours!r} is not one of {', '.join(usual)}{hint}")
    fields = {ours: _mapped_field(ours, theirs, table, listing) for ours, theirs in mapping.items()}
    picked = with_usual(Columns(fields, tuple(mapping), usual=usual), table.columns)
    if table.columns and "question" not in picked.fields:
        likely = _likely_question(table)
        hint = f". Name the column of the question: {_flag('question', likely)}" if likely else ""
        raise UsageError(f"no column is called {', '.join(QUESTION_COLUMNS)}. {listing}{hint}")
    return picked


def _likely_question(table: Table) -> str | None:
    """The column with the nearest name, or with the longest text in the first rows; None if no column has text."""
    rows = [row for _, row in islice(table.select(()), FIRST_ROWS) if not isinstance(row, str)]
    sizes = {
        column: max((len(text) for row in rows if isinstance(text := row.get(column), str)), default=0)
        for column in table.columns
    }
    texts = [column for column, size in sizes.items() if size]
    close = next((near for usual in QUESTION_COLUMNS if (near := nearest(usual, texts))), None)
    return close or max(texts, key=lambda column: sizes[column], default=None)


def with_usual(columns: Columns, names: Collection[str]) -> Columns:
    """The columns and, for the values that they lack, those of a known layout or with usual names."""
    folded = {name.casefold(): name for name in reversed(tuple(names))}
    shapes = (*TRACE_SHAPES, *SHAPES) if "trace" in columns.usual else SHAPES
    shape = columns.shape or ("question" not in columns.mapped and shape_of(names, shapes)) or None
    fields = dict(columns.fields)
    for ours, text in shape.fields.items() if shape else ():
        if ours not in fields:
            fields[ours] = parse_field(text, folded)
    taken = {column for picked in fields.values() for column in picked.columns} - CONVERSATIONS
    for ours, usual in columns.usual.items():
        free = [folded[name] for name in usual if name in folded and folded[name] not in taken]
        if ours not in fields and free:
            fields[ours] = Field(free[0], ((free[0],),))
            taken |= {free[0]} - CONVERSATIONS
    return replace(columns, fields={ours: fields[ours] for ours in columns.usual if ours in fields}, shape=shape)


def _mapped_field(ours: str, theirs: str, table: Table, listing: str) -> Field:
    try:
        parsed = parse_field(theirs, {name: name for name in table.columns})
    except ValueError as error:
        raise UsageError(f"--map {ours}={_printable(theirs)}: {error}") from None
    for column in parsed.columns if table.columns else ():
        if not _exists(column, table):
            close = nearest(column, table.columns)
            hint = f". Did you mean {_flag(ours, theirs.replace(column, close))}?" if close else ""
            raise UsageError(f"--map {ours}={_printable(theirs)}: there is no column {column!r}. {listing}{hint}")
    return parsed


def _exists(column: str, table: Table) -> bool:
    if column in table.columns:
        return True
    return table.grows and any(not isinstance(row, str) and column in row for _, row in table.rows())


def _flag(ours: str, theirs: str) -> str:
    """The option that maps a column, as a shell takes it."""
    return f"--map {quote(f'{ours}={_printable(theirs)}')}"


def _printable(name: str) -> str:
    """The name with lone surrogates escaped, so that a message with it can be printed."""
    return name.encode(errors="backslashreplace").decode()
