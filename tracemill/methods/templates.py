"""Methods that users define as templates: `[methods.NAME]` in `tracemill.toml`.

[methods.detective]
system = "You are a detective. Rule out what cannot be. {work} {end}"

sends "{question}" with that system message. `{work}` and `{end}` become the instructions of the question's domain
(`domains`). A method that uses the slots `{gold}` or `{trace}` needs a gold answer or a trace. Each mistake is an error
that names its key when the methods are first read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracemill.errors import UsageError
from tracemill.methods import Call, Method, Need, Shot
from tracemill.methods.chat import chat
from tracemill.methods.domains import WORDING
from tracemill.prompts import SLOT, Prompt
from tracemill.settings import CallSettings, MethodSettings

NEEDS: tuple[Need, ...] = ("gold", "trace")
#: Slots that the question's domain fills when the prompt is made.
OF_THE_DOMAIN = ("work", "end")

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SLOT_NAME = re.compile(r"[a-z_]+")
#: Braces of LaTeX commands. They are not slots.
_LATEX = re.compile(r"\\[A-Za-z]{1,30}(?:\{[^{}]{0,200}\}){1,3}|[\^_]\{[^{}]{0,200}\}")


@dataclass(frozen=True)
class Template:
    """One call of the settings, each text with its key."""

    key: str
    name: str
    system: tuple[str, str] | None
    user: tuple[str, str]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """(key, text) of each of its messages."""
        return [self.user] if self.system is None else [self.system, self.user]

    @property
    def slots(self) -> set[str]:
        return {slot for _, text in self.texts for slot in SLOT.findall(text)}


class TemplateMethod(Method):
    """A method whose prompts are templates. Raises UsageError that names the wrong key."""

    def __init__(self, name: str, given: MethodSettings) -> None:
        self.name, self.paper, self.negative = name, given.paper, given.negative
        self._variants = _chains(name, given)
        for chain in self._variants.values():
            _check(chain)
        used = {slot for chain in self._variants.values() for template in chain for slot in template.slots}
        self.needs = frozenset(need for need in NEEDS if need in used)

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        """The chains of calls. Only the first call of a chain shows the examples."""
        return {
            name: tuple(
                Call(template.name, _prompt(template, domain, shots if number == 0 else ()))
                for number, template in enumerate(chain)
            )
            for name, chain in self._variants.items()
        }


def template_methods(given: Mapping[str, MethodSettings], built_in: Mapping[str, Method]) -> dict[str, Method]:
    """The methods of the settings, by name. Raises UsageError that names the wrong key."""
    for name in given:
        if name in built_in:
            raise UsageError(f"methods.{name}: a method of that name exists already; choose another name")
        if not _NAME.fullmatch(name):
            raise UsageError(f"methods.{name}: a name has small letters and digits, joined by hyphens")
    return {name: TemplateMethod(name, method) for name, method in given.items()}


def _chains(name: str, given: MethodSettings) -> dict[str, tuple[Template, ...]]:
    key = f"methods.{name}"
    fields = [field for field in ("system", "variants", "calls") if field in given.model_fields_set]
    if len(fields) > 1 or (fields == ["calls"] and "user" in given.model_fields_set):
        with_user = [*fields, "user"] if len(fields) == 1 else fields
        raise UsageError(f"{key}: {' and '.join(with_user)} exclude each other; keep one of them")
    for field in ("variants", "calls"):
        if field in fields and not getattr(given, field):
            raise UsageError(f"{key}.{field} is empty: add an entry, or remove it")
    if given.calls:
        return {"": tuple(_of_call(f"{key}.calls[{number}]", call) for number, call in enumerate(given.calls))}
    if given.variants:
        return {variant: (_of_variant(key, variant, text, given.user),) for variant, text in given.variants.items()}
    return {"": (_template(key, CallSettings(name="answer", system=given.system, user=given.user)),)}


def _template(key: str, call: CallSettings) -> Template:
    system = None if call.system is None else (f"{key}.system", call.system)
    return Template(key, call.name, system, (f"{key}.user", call.user))


def _of_call(key: str, call: CallSettings) -> Template:
    if not _SLOT_NAME.fullmatch(call.name):
        raise UsageError(f"{key}.name: '{call.name}' must have only small letters and underscores")
    return _template(key, call)


def _of_variant(key: str, variant: str, text: str, user: str) -> Template:
    if not _NAME.fullmatch(variant):
        raise UsageError(f"{key}.variants: the name '{variant}' must have small letters and digits, joined by hyphens")
    return Template(key, "answer", (f"{key}.variants.{variant}", text), (f"{key}.user", user))


def _check(chain: Sequence[Template]) -> None:
    """Raise UsageError unless every text is filled and uses only slots that are known in its call."""
    known = ["question", *NEEDS, *OF_THE_DOMAIN]
    later = [template.name for template in chain]
    for template in chain:
        if template.name in known:
            raise UsageError(f"{template.key}.name: '{template.name}' is taken; choose another")
        for key, text in template.texts:
            if not text.strip():
                raise UsageError(f"{key}: the text is empty")
            for slot in SLOT.findall(_LATEX.sub("", text)):
                if slot in known:
                    continue
                if slot in later:
                    raise UsageError(f"{key}: {{{slot}}} is a later call: a text can quote only earlier calls")
                slots = ", ".join(f"{{{name}}}" for name in known)
                raise UsageError(f"{key}: unknown slot {{{slot}}}; known slots are {slots}")
        known.append(later.pop(0))
    if not any("question" in template.slots for template in chain):
        raise UsageError(f"{chain[0].key}: no text holds {{question}}; add it to one")


def _prompt(template: Template, domain: str, shots: Sequence[Shot]) -> Prompt:
    system = template.system and _worded(template.system[1], domain)
    return chat(system or None, _worded(template.user[1], domain), shots)


def _worded(text: str, domain: str) -> str:
    """The text with the domain's instructions in their slots. An empty instruction leaves no space."""
    for slot in OF_THE_DOMAIN:
        wording: str = getattr(WORDING[domain], slot)
        text = text.replace(f"{{{slot}}}", wording) if wording else re.sub(rf"\{{{slot}\}}[ ]?", "", text)
    return text
