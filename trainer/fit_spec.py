"""`[fit]` of a ROUND.toml: how the student learns, with the options of the objective in a section of its name."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from tracemill.sections import Section, located, move_keys
from trainer.fit_settings import FitSettings
from trainer.objectives.base import OBJECTIVES

#: Options that older releases had in `[fit]` itself, by the objective in whose section they are now.
MOVED = {
    "answer_weight": "stepwise",
    "hinge_weight": "preference",
    "beta": "preference",
    "temperature": "logits",
    "kl_weight": "logits",
    "teacher": "features",
    "layers": "features",
    "distance": "features",
    "feature_weight": "features",
}


DEFAULT = FitSettings.model_fields["objective"].default


class FitSpec(FitSettings):
    """How the student learns.

    `[fit.logits]` holds the options of the objective `logits`, and so on. Sections of other objectives are refused.
    """

    _options: Section = PrivateAttr(default_factory=Section)

    @property
    def options(self) -> Section:
        """The options of the objective, of the class that it registered."""
        return self._options

    @classmethod
    def known_keys(cls) -> list[str]:
        return [*super().known_keys(), *OBJECTIVES]

    @model_validator(mode="wrap")
    @classmethod
    def _read_options(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        name = values.get("objective", DEFAULT) if isinstance(values, Mapping) else None
        if not isinstance(name, str):
            return handler(values)
        values = _with_sections(values, name)
        objective = OBJECTIVES.get(name)
        section = values.pop(name, {}) if objective else {}
        fit = handler(values)
        if objective:
            try:
                fit._options = objective.options.model_validate(section)
            except ValidationError as error:
                raise located(error, cls.__name__, under=(name,)) from None
        return fit

    @model_serializer(mode="wrap")
    def _write_options(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        section = self._options.model_dump(mode=info.mode)
        return {**handler(self), **({self.objective: section} if section else {})}


def _with_sections(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`values` with the old keys of the objective in its section.

    Specs that older releases stored have the old keys of all objectives; those of other objectives never had an effect.
    """
    values = {key: value for key, value in values.items() if MOVED.get(key, name) == name}
    if isinstance(values.get("preference"), str):  # now `preference.loss`
        loss = values.pop("preference")
        if name == "preference":
            values["preference"] = {"loss": loss}
    values = move_keys(values, MOVED, "fit.")
    for other in OBJECTIVES.keys() - {name}:
        if values.get(other) == {}:
            del values[other]
        elif other in values:
            raise ValueError(
                f"[fit.{other}] holds options of objective '{other}', but objective = '{name}'. Remove that section "
                f"(or --set fit.{other}={{}})"
            )
    return values
