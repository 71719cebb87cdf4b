"""Sections of a settings file: strict pydantic models that suggest the right key and read keys of older releases."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError


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
