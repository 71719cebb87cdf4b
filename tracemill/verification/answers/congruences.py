r"""Compare residues, such as ``3 \pmod 7`` and ``x \equiv 10 \pmod 7``."""

import re

_CONGRUENCE = re.compile(
    r"(?:[A-Za-z]\s?(?:\\equiv|≡|=)\s?)?((?:-?\d{1,15}|\\pm\s?\d{1,15})(?:\s?,\s?-?\d{1,15}){0,20})"
    r"\s?(?:\\pmod|\\bmod|\\mod|\(?\s?mod(?:ulo)?)\s?\{?\s?(\d{1,15})\s?\}?\)?$"
)
_VARIABLE = re.compile(r"[A-Za-z]\s?(?:\\equiv|≡|=)")  # all numbers of the class are meant
_INTEGER = re.compile(r"-?\d{1,15}$")

Verdict = tuple[bool | None, str]
Residues = tuple[frozenset[int], int]


def compare_congruences(gold: str, answer: str) -> Verdict | None:
    """Compare as residues; None if neither answer names a modulus.

    A bare number equals a congruence if it is the least residue, and the gold answer not the whole class. Another
    number of its class is undecided.
    """
    gold_residues, answer_residues = _read(gold), _read(answer)
    if gold_residues and answer_residues:
        return gold_residues == answer_residues, "congruence"
    residues, number = (gold_residues, answer) if gold_residues else (answer_residues, gold)
    if residues is None or not _INTEGER.match(number) or len(residues[0]) != 1:
        return None
    if int(number) in residues[0] and not _VARIABLE.match(gold):
        return True, "congruence"
    return (None, "another number of the class") if int(number) % residues[1] in residues[0] else (False, "congruence")


def _read(value: str) -> Residues | None:
    """Return (residues, modulus)."""
    if "mod" not in value or (match := _CONGRUENCE.match(value)) is None or not (modulus := int(match[2])):
        return None
    numbers: list[int] = []
    for part in match[1].split(","):
        number = int(part.replace(r"\pm", ""))
        numbers += [number, -number] if r"\pm" in part else [number]
    return frozenset(number % modulus for number in numbers), modulus
