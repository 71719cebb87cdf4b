"""Verification policies on the command line: read from a file and flags, and put into words."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracemill.errors import UsageError
from tracemill.policy import SIGNALS, Policy, Signal
from tracemill.settings import model as model_settings

#: The field that calibration sets. A policy file must not.
MEASURED = "uninformative"
REQUIREMENTS = {
    "correct": "the answer is right",
    "equations": "no equation is false",
    "stated": "the answer is stated in a requested form",
    "grounded": "every number is explained",
    "concludes": "the reasoning ends at the answer",
    "finished": "the answer was not cut off",
}


def read_policy(path: Path | None, flags: Mapping[str, Any], gates: Sequence[str]) -> Policy:
    """Read a policy from a TOML file (None: the defaults). Flags override the file unless they are None.

    `gates` are NAME=LEAST pairs. Raises UsageError, which names the wrong file or flag.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"--policy {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"--policy {path} is not TOML: {error}") from None
        if MEASURED in values:
            raise UsageError(f"--policy {path}: {MEASURED} is measured by `tracemill calibrate` and cannot be set")
    values |= {name: value for name, value in flags.items() if value not in (None, [])}
    if gates:
        values["gates"] = {**values.get("gates", {}), **dict(map(_gate, gates))}
        values["signals"] = list(dict.fromkeys([*values.get("signals", ["rating"]), *values["gates"]]))
        if values.get("judge") is None or values.get("judge_share", 1) != 1:
            raise UsageError(
                f"--gate {gates[0]}: gates need a judge that sees every question: add --judge ALIAS, without "
                "--judge-share"
            )
    try:
        policy = Policy.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"policy{f' {path}' if path else ''}: {where + ': ' if where else ''}{problem}") from None
    if impassable := [f"{name} = {least:g}" for name, least in policy.gates.items() if least > 1]:
        raise UsageError(f"no trace passes the gate {impassable[0]}: the largest value of a signal is 1")
    if policy.judge is not None:
        model_settings(policy.judge)
    return policy


def _gate(pair: str) -> tuple[str, float]:
    name, _, least = pair.partition("=")
    if name not in SIGNALS:
        similar = get_close_matches(name, SIGNALS, n=1)
        hint = f" Did you mean {similar[0]}?" if similar else ""
        raise UsageError(f"--gate {pair}: there is no signal '{name}'.{hint} The signals are {', '.join(SIGNALS)}")
    try:
        value = float(least)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"--gate {pair}: write NAME=LEAST, for example rating=0.7")
    return name, value


def signals_of(text: str) -> list[Signal]:
    """Return the signals of a list with commas. Raises UsageError, which names the known signals."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SIGNALS]:
        raise UsageError(f"--signals: unknown {', '.join(unknown)}. The signals are {', '.join(SIGNALS)}")
    if not names:
        raise UsageError(f"--signals names none. The signals are {', '.join(SIGNALS)}")
    return [signal for signal in SIGNALS if signal in names]


def in_words(policy: Policy, canaries: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """Describe each part of the policy in a sentence, by its name."""
    requirements = [words for name, words in REQUIREMENTS.items() if getattr(policy, name)]
    if policy.steps:
        requirements.append(f"at least {policy.steps} steps")
    if policy.majority:
        requirements.append(f"without a gold answer: {policy.majority:.0%} of the samples agree")
    words = {"accepted when": "; ".join(requirements) or "always"}
    if policy.judge:
        traces = "all traces" if policy.judge_refused else "the traces that could still be accepted"
        thoughts = ", with thoughts" if policy.judge_thoughts else ""
        words["judge"] = f"{policy.judge} sees {traces} of {policy.judge_share:.0%} of the questions{thoughts}"
    for name in policy.signals if policy.judge else ():
        gate = f"at least {policy.gates[name]:g}" if name in policy.gates else "stored"
        if reason := policy.uninformative.get(name):
            gate = f"stored and ignored: {reason}" if name in policy.gates else f"stored; uninformative: {reason}"
        words[f"signal {name}"] = gate
    if fooled := [row for row in canaries if row["fooled"]]:
        names = ", ".join(sorted({str(row["attack"]) for row in fooled}))
        words["canaries"] = f"THE JUDGE FELL FOR {len(fooled)} of {len(canaries)}: {names}"
    elif canaries:
        words["canaries"] = f"the judge fell for none of {len(canaries)}"
    return words
