"""Sections of a settings file: strict pydantic models that suggest the right key and read keys of older releases."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from tracemill.errors import UsageError


class Section(BaseModel):
    """A part of the settings. An unknown key is an error, because it is nearly always a typing error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def known_keys(cls) -> list[str]:
        """Every key of the section."""
        return list(cls.model_fields)

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_keys(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise located(error, cls.__name__, suggestions=cls.known_keys()) from None


def located(
    error: ValidationError, title: str, *, under: tuple[str, ...] = (), suggestions: Iterable[str] = ()
) -> ValidationError:
    """The same error with its keys below `under`; an unknown key gets the most similar known key, or all of them."""
    known = list(suggestions)
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                type=PydanticCustomError(detail["type"], _message(detail, known)),
                loc=(*under, *detail["loc"]),
                input=detail["input"],
            )
            for detail in error.errors()
        ],
    )


def _message(detail: ErrorDetails, known: list[str]) -> str:
    if detail["type"] != "extra_forbidden" or len(detail["loc"]) != 1:
        return detail["msg"]
    similar = get_close_matches(str(detail["loc"][0]), known, n=1)
    if similar:
        return f"there is no such key; did you mean {similar[0]}?"
    return f"there is no such key. The keys are {', '.join(known)}" if known else detail["msg"]


def move_keys(values: Mapping[str, Any], moved: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """`values` with each key of `moved` in its section.

    Files and stored specs of older releases have these keys outside their section. Raises ValueError with both keys and
    `prefix` if the section already has another value.
    """
    result = {key: value for key, value in values.items() if key not in moved}
    for key, section in moved.items():
        if key not in values:
            continue
        inner = result.get(section, {})
        if not isinstance(inner, Mapping):
            return dict(values)  # not a section: validation reports it
        if key in inner and inner[key] != values[key]:
            raise ValueError(
                f"{prefix}{key} = {values[key]!r} contradicts {prefix}{section}.{key} = {inner[key]!r}. "
                "Keep the one in the section."
            )
        result[section] = {key: values[key], **inner}
    return result


def apply_changes(content: dict[str, Any], changes: Sequence[str], flag: str, example: str) -> None:
    """Change `content` by KEY=VALUE texts. Raises UsageError with the flag, the wrong text and an example."""
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"{flag} {change}: write KEY=VALUE, like {example}")
        _change(content, key.strip().split("."), _value(value), f"{flag} {change}")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _change(content: Any, key: list[str], value: Any, change: str) -> None:
    first, *rest = key
    try:
        index: Any = int(first) if isinstance(content, list) else first
        if not rest:
            content[index] = value
            return
        inner = content.setdefault(index, {}) if isinstance(content, dict) else content[index]
    except (AttributeError, IndexError, TypeError, ValueError):
        raise UsageError(f"{change}: there is no such key") from None
    _change(inner, rest, value, change)


def key_of(location: tuple[int | str, ...]) -> str:
    """Write the location of a pydantic error as a dotted key: `select.jobs`."""
    return ".".join(str(part) for part in location)
