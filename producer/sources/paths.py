r"""The value of ours in a row of theirs: a column, a path into it, several columns, or a template.

`answer` is a column, `reward_model.ground_truth` a path, `opa,opb,opc` several columns, and
`{instruction}\n\n{input}` a template. In a template `\n` is a new line, and `{{` is a brace.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tracemill.verification.code.gold_tests import program_tests
from tracemill.verification.gold_values import plain_text, structure

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """How to read one value of ours in a row."""

    #: As it is written after `--map question=`.
    text: str
    #: A column and the keys or numbers that lead into it. Several for a template and for several columns.
    paths: tuple[Path, ...]
    #: A template's texts before each path and at its end; None for a column or columns.
    literals: tuple[str, ...] | None = None

    @property
    def columns(self) -> list[str]:
        return [path[0] for path in self.paths]

    def value(self, row: Mapping[str, object]) -> object:
        """The value in this row; None if the row has none."""
        if self.literals is not None:
            return self._filled(row)
        if len(self.paths) == 1:
            return _at(row, self.paths[0])
        return {path[0]: part for path in self.paths if (part := _at(row, path)) not in (None, "")}

    def _filled(self, row: Mapping[str, object]) -> str | None:
        """The template with its values. The text before an empty value is left out too."""
        parts = [_slot_text(_at(row, path)) for path in self.paths]
        assert self.literals is not None
        pieces = [literal + part for literal, part in zip(self.literals, parts, strict=False) if part]
        return "".join([*pieces, self.literals[-1]]).strip() if pieces else None


def parse_field(text: str, columns: Mapping[str, str]) -> Field:
    """The field that `text` names. `columns` gives the table's name of each column; an unknown name stays as it is."""
    if text in columns:
        return Field(text, ((columns[text],),))
    if "{" in text:
        return _template(text, columns)
    if "," in text:
        return Field(text, tuple(_path(part.strip(), columns) for part in text.split(",")))
    return Field(text, (_path(text, columns),))


def _template(text: str, columns: Mapping[str, str]) -> Field:
    """Raises ValueError for a brace without its partner, and for a template without a column."""
    literals, paths = [""], []
    for literal, name, format_, conversion in string.Formatter().parse(text.replace("\\n", "\n")):
        literals[-1] += literal  # the parser splits a text at each doubled brace
        if name is None:
            continue
        if not name or format_ or conversion:
            raise ValueError("write {COLUMN} for a value, and {{ or }} for a brace")
        paths.append(_path(name, columns))
        literals.append("")
    if not paths:
        raise ValueError("the template names no column")
    return Field(text, tuple(paths), tuple(literals))


def _path(text: str, columns: Mapping[str, str]) -> Path:
    """The column, whose name may have dots itself, and the rest of the path."""
    parts = text.split(".")
    for n in range(len(parts), 0, -1):
        if (head := ".".join(parts[:n])) in columns:
            return (columns[head], *parts[n:])
    return tuple(parts)


def _at(row: Mapping[str, object], path: Path) -> object:
    value: object = row.get(path[0])
    if len(path) == 1:
        return value
    for key in path[1:]:
        value = structure(value)
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _slot_text(value: object) -> str:
    """The value in a template. A text that holds a list of tests, as CSV files do, becomes their lines."""
    tests = structure(value)
    lines = program_tests(tests) if isinstance(tests, list) else None
    return (lines or plain_text(value)).strip()
