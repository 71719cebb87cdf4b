"""Verification policies on the command line: read from a file and flags, and put into words."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracemill.errors import UsageError
from tracemill.policy import SIGNALS, Policy, Signal
from tracemill.settings import model as model_settings

#: The field that calibration fills in.
FOUND_OUT = "uninformative"
REQUIREMENTS = {
    "correct": "the answer is right",
    "equations": "no equation is false",
    "stated": "the answer is given in the asked form",
    "grounded": "every number is explained",
    "concludes": "the reasoning ends at the answer",
    "finished": "the answer was not cut off",
}


def read_policy(path: Path | None, flags: Mapping[str, Any], gates: Sequence[str]) -> Policy:
    """The policy of a TOML file (null: the defaults), with flags over it: those that are null leave it alone.

    `gates` are NAME=LEAST pairs. Raises UsageError naming the file or flag that is wrong.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"--policy {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"--policy {path} is not TOML: {error}") from None
        if FOUND_OUT in values:
            raise UsageError(f"--policy {path}: {FOUND_OUT} is found out, not set (`tracemill calibrate`)")
    values |= {name: value for name, value in flags.items() if value not in (None, [])}
    if gates:
        values["gates"] = {**values.get("gates", {}), **dict(map(_gate, gates))}
        values["signals"] = list(dict.fromkeys([*values.get("signals", ["rating"]), *values["gates"]]))
    try:
        policy = Policy.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            what = f"no such field. There are {', '.join(name for name in Policy.model_fields if name != FOUND_OUT)}"
        raise UsageError(f"policy{f' {path}' if path else ''}: {where + ': ' if where else ''}{what}") from None
    if policy.judge is not None:
        model_settings(policy.judge)
    return policy


def _gate(pair: str) -> tuple[str, float]:
    name, _, least = pair.partition("=")
    try:
        return name, float(least)
    except ValueError:
        raise UsageError(f"--gate {pair}: write NAME=LEAST, for example rating=0.7") from None


def signals_of(text: str) -> list[Signal]:
    """The signals of a list with commas. Raises UsageError naming those there are."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SIGNALS]:
        raise UsageError(f"--signals: unknown {', '.join(unknown)}: there are {', '.join(SIGNALS)}")
    if not names:
        raise UsageError(f"--signals names none: there are {', '.join(SIGNALS)}")
    return [signal for signal in SIGNALS if signal in names]


def in_words(policy: Policy, canaries: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """What the policy asks for, by name, as sentences for people."""
    asked = [words for name, words in REQUIREMENTS.items() if getattr(policy, name)]
    if policy.steps:
        asked.append(f"at least {policy.steps} steps")
    if policy.majority:
        asked.append(f"without a gold answer: {policy.majority:.0%} of the samples agree")
    said = {"accepted when": "; ".join(asked) or "always"}
    if policy.judge:
        traces = "all traces" if policy.judge_refused else "the traces that could still be accepted"
        said["judge"] = f"{policy.judge} sees {traces} of {policy.judge_share:.0%} of the questions"
    for name in policy.signals if policy.judge else ():
        gate = f"at least {policy.gates[name]:g}" if name in policy.gates else "stored"
        if why := policy.uninformative.get(name):
            gate = f"stored and ignored: {why}" if name in policy.gates else f"stored; uninformative: {why}"
        said[f"signal {name}"] = gate
    if fooled := [row for row in canaries if row["fooled"]]:
        names = ", ".join(sorted({str(row["attack"]) for row in fooled}))
        said["canaries"] = f"THE JUDGE FELL FOR {len(fooled)} of {len(canaries)}: {names}"
    elif canaries:
        said["canaries"] = f"the judge fell for none of {len(canaries)}"
    return said
