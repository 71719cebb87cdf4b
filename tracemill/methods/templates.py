"""Methods of the user's own: `[methods.NAME]` in `tracemill.toml`, with no other change anywhere.

[methods.detective]
system = "You are a detective. Rule out what cannot be. {work} {end}"

asks "{question}" under that system message. `{work}` and `{end}` become what the question's domain wants (`domains`);
without them the text is asked as it stands. What a method needs is seen from the slots that it uses: `{gold}` and
`{trace}`. Each mistake is an error that names its key when the methods are first read.
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
#: Filled in when the prompt is made, from the question's domain.
OF_THE_DOMAIN = ("work", "end")

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SLOT_NAME = re.compile(r"[a-z_]+")
#: The braces of a LaTeX command are no slots.
_LATEX = re.compile(r"\\[A-Za-z]{1,30}(?:\{[^{}]{0,200}\}){1,3}|[\^_]\{[^{}]{0,200}\}")


@dataclass(frozen=True)
class Template:
    """One call as the settings give it, each text with the key that it stands under."""

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
        """The examples are shown in the first call of a chain."""
        return {
            name: tuple(
                Call(template.name, _prompt(template, domain, shots if place == 0 else ()))
                for place, template in enumerate(chain)
            )
            for name, chain in self._variants.items()
        }


def template_methods(given: Mapping[str, MethodSettings], built_in: Mapping[str, Method]) -> dict[str, Method]:
    """The methods of the settings, by name. Raises UsageError that names the wrong key."""
    for name in given:
        if name in built_in:
            raise UsageError(f"methods.{name}: there is a method of that name already; choose another")
        if not _NAME.fullmatch(name):
            raise UsageError(f"methods.{name}: a name is small letters and digits, joined by hyphens")
    return {name: TemplateMethod(name, method) for name, method in given.items()}


def _chains(name: str, given: MethodSettings) -> dict[str, tuple[Template, ...]]:
    key = f"methods.{name}"
    ways = [way for way in ("system", "variants", "calls") if way in given.model_fields_set]
    if len(ways) > 1 or (ways == ["calls"] and "user" in given.model_fields_set):
        with_user = [*ways, "user"] if len(ways) == 1 else ways
        raise UsageError(f"{key}: {' and '.join(with_user)} exclude each other")
    for way in ("variants", "calls"):
        if way in ways and not getattr(given, way):
            raise UsageError(f"{key}.{way}: there is nothing in it")
    if given.calls:
        return {"": tuple(_of_call(f"{key}.calls[{place}]", call) for place, call in enumerate(given.calls))}
    if given.variants:
        return {variant: (_of_variant(key, variant, text, given.user),) for variant, text in given.variants.items()}
    return {"": (_template(key, CallSettings(name="answer", system=given.system, user=given.user)),)}


def _template(key: str, call: CallSettings) -> Template:
    system = None if call.system is None else (f"{key}.system", call.system)
    return Template(key, call.name, system, (f"{key}.user", call.user))


def _of_call(key: str, call: CallSettings) -> Template:
    if not _SLOT_NAME.fullmatch(call.name):
        raise UsageError(f"{key}.name: '{call.name}' must be small letters and underscores, to be quoted as {{name}}")
    return _template(key, call)


def _of_variant(key: str, variant: str, text: str, user: str) -> Template:
    if not _NAME.fullmatch(variant):
        raise UsageError(f"{key}.variants: the name '{variant}' must be small letters and digits, joined by hyphens")
    return Template(key, "answer", (f"{key}.variants.{variant}", text), (f"{key}.user", user))


def _check(chain: Sequence[Template]) -> None:
    """Every text says something, and names what is there when it is asked."""
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
                    raise UsageError(f"{key}: {{{slot}}} is not there yet: only earlier calls can be quoted")
                there_are = ", ".join(f"{{{name}}}" for name in known)
                raise UsageError(f"{key}: unknown slot {{{slot}}}; there are {there_are}")
        known.append(later.pop(0))
    if not any("question" in template.slots for template in chain):
        raise UsageError(f"{chain[0].key}: no text holds {{question}}, so nothing would be asked")


def _prompt(template: Template, domain: str, shots: Sequence[Shot]) -> Prompt:
    system = template.system and _worded(template.system[1], domain)
    return chat(system or None, _worded(template.user[1], domain), shots)


def _worded(text: str, domain: str) -> str:
    """With what the domain wants in place; a domain that wants nothing leaves no gap."""
    for slot in OF_THE_DOMAIN:
        wording: str = getattr(WORDING[domain], slot)
        text = text.replace(f"{{{slot}}}", wording) if wording else re.sub(rf"\{{{slot}\}}[ ]?", "", text)
    return text
