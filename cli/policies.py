"""Verification policies on the command line: read from a file and flags, and put into words."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from tracemill.errors import UsageError
from tracemill.policy import MEASURED, SIGNALS, Gate, Policy, Signal
from tracemill.settings import model as model_settings

#: The name of a canary is its sum.
SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
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

    `gates` are the values of --gate. Raises UsageError, which names the wrong file or flag.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"--policy {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"--policy {path} is not TOML: {error}") from None
        if measured := [name for name in MEASURED if name in values]:
            raise UsageError(f"--policy {path}: {measured[0]} is measured by `tracemill calibrate` and cannot be set")
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
    if impassable := [f"{name} = {gate.least:g}" for name, gate in policy.gates.items() if (gate.least or 0) > 1]:
        raise UsageError(f"no trace passes the gate {impassable[0]}: the largest value of a signal is 1")
    if policy.judge is not None:
        model_settings(policy.judge)
    return policy


def _gate(text: str) -> tuple[str, dict[str, float]]:
    """Read `rating.precision=0.9`, `rating.quantile=0.1` or `rating=0.7`: the signal, and the keys of its gate."""
    key, _, number = text.partition("=")
    name, dot, kind = key.partition(".")
    if name not in SIGNALS:
        similar = get_close_matches(name, SIGNALS, n=1)
        hint = f" Did you mean {similar[0]}?" if similar else ""
        raise UsageError(f"--gate {text}: there is no signal '{name}'.{hint} The signals are {', '.join(SIGNALS)}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (dot and kind not in Gate.known_keys()):
        raise UsageError(
            f"--gate {text}: write NAME.precision=SHARE or NAME.quantile=SHARE, for example rating.precision=0.9, or a "
            "fixed number, rating=0.7"
        )
    return name, {kind or "least": value}


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
        gate = _gate_in_words(policy, name) if name in policy.gates else "stored"
        if reason := policy.uninformative.get(name):
            gate = f"stored and ignored: {reason}" if name in policy.gates else f"stored; uninformative: {reason}"
        words[f"signal {name}"] = gate
    if fooled := [row for row in canaries if row["fooled"]]:
        names = ", ".join(sorted({str(row["attack"]) for row in fooled}))
        words["canaries"] = f"THE JUDGE FELL FOR {len(fooled)} of {len(canaries)}: {names}"
    elif canaries:
        words["canaries"] = f"the judge fell for none of {len(canaries)}"
    if (means := plain_means(canaries)) is not None:
        words["without attacks"] = f"the judge rates right sums {means[0]:.2f} and wrong ones {means[1]:.2f}"
    return words


def plain_means(canaries: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """The mean ratings of right and of wrong sums without an attack; None if the judge gave none of one kind.

    A judge that rates both alike reacts to nothing, so it falls for no attack either.
    """
    ratings: dict[bool, list[float]] = {True: [], False: []}
    for row in canaries:
        if row["plain"] is not None and (numbers := SUM.fullmatch(row["name"])):
            left, right, result = map(int, numbers.groups())
            ratings[left + right == result].append(row["plain"])
    return (fmean(ratings[True]), fmean(ratings[False])) if all(ratings.values()) else None


def _gate_in_words(policy: Policy, name: Signal) -> str:
    """Describe a gate: its threshold, and what the calibration says about it."""
    gate, threshold = policy.gates[name], policy.thresholds.get(name)
    if threshold is None:
        return f"at least {gate.least:g}" if gate.least is not None else f"as calibrated for {gate}"
    return (
        f"at least {threshold.least:.2f}, calibrated for {gate}: then {threshold.precision} of the traces are right, "
        f"and {threshold.kept} of the right ones pass"
    )
