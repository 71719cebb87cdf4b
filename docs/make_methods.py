"""Write docs/methods.md: the prompts of every method and one real trace, by `python docs/make_methods.py`.

It starts a stack in a temporary folder, with the embedded 135M model in process, and asks a few questions with every
method. It takes some minutes on two cores.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.session import transaction
from tracemill.interpreter import python
from tracemill.methods import Method, all_methods
from tracemill.settings import settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods.md"
#: The measurements by which the prompt for mathematics was chosen.
PROMPT = ROOT / "docs" / "methods_prompt.md"
QUESTIONS = "docs/methods_questions.jsonl"
#: Arguments of the jobs that differ from `USUAL`. Other jobs build on the job of the first method.
FIRST = "cot"
MORE = {
    "cot": [QUESTIONS, "--samples", "4", "--examples", "producer/demo_examples.jsonl"],
    "rationalize": [f"job:{FIRST}?failed", "--samples", "4"],
    "inject": [f"job:{FIRST}?accepted", "--samples", "2", "--model", "student"],
}
USUAL = [QUESTIONS, "--samples", "2"]
SETTINGS = {"TRAIN": "false", "FLOWER": "false"}

INTRODUCTION = """# The methods

A method is a way to ask a question. It has one or several *variants*, and each variant yields its own traces. A variant
is a chain of one or several *calls*. The text of the last call is the trace. `tracemill methods NAME --domain code`
shows the exact prompts of a method.

The examples below are real and unedited. A model of 135M parameters wrote them on a CPU, so most of them are poor.
`python docs/make_methods.py` generates this page.
"""

#: An accepted trace if there is one, else the one that meets the most requirements.
EXAMPLE = text(
    """select question, domain, gold, variant, text, answer, steps, correct, accepted, refused, calls, steps_stored,
    tokens_out from (select s.*, t.steps as steps_stored from trace_scores s join traces t on t.id = s.trace_id) s
    where job = :job order by accepted desc, refused is null desc, correct desc nulls last, domain = 'math' desc,
    trace_id limit 1"""
)


def main() -> None:
    """Ask with every method, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACEMILL_DATA_DIR"] = folder
        os.environ |= {f"TRACEMILL_LOCAL__{name}": value for name, value in SETTINGS.items()}
        tracemill("up")
        try:
            settings.cache_clear()
            methods = sorted(all_methods().values(), key=lambda method: method.name != FIRST)
            sections = [section(method, ask(method)) for method in methods]
        finally:
            tracemill("down")
    PAGE.write_text("\n".join([INTRODUCTION, PROMPT.read_text(encoding="utf-8"), *sections]), encoding="utf-8")
    print(f"wrote {PAGE}")


def tracemill(*words: str) -> None:
    subprocess.run(python("cli", *words), cwd=ROOT, check=True)


def ask(method: Method) -> list[str]:
    """Ask with the method and wait for the verdicts. Returns the words of the command."""
    words = ["enqueue", *MORE.get(method.name, USUAL), "--method", method.name, "--name", method.name]
    tracemill(*words, "--max-tokens", "160")
    tracemill("jobs", "watch", method.name)
    return words


def section(method: Method, command: list[str]) -> str:
    """The section of one method."""
    variants = method.variants("math", [])
    facts = [f"- {method.paper}"]
    if any(variants):
        facts.append(f"- variants: {', '.join(f'`{name}`' for name in variants)}")
    calls = next(iter(variants.values()))
    if len(calls) > 1:
        facts.append(f"- calls: {' → '.join(f'`{call.name}`' for call in calls)}")
    if method.needs:
        facts.append(f"- needs: {', '.join(sorted(method.needs))}")
    if method.negative:
        facts.append("- negative: a trace is accepted only if its answer is verified to be wrong")
    prompts = [
        f"`{' '.join(part for part in (variant, call.name) if part)}` {call.prompt.hash}\n\n"
        + fenced("\n".join(f"{message['role']}: {message['content']}" for message in call.prompt.messages))
        for variant, chain in variants.items()
        for call in chain
    ]
    parts = [
        f"## {method.name}",
        "\n".join(facts),
        fenced(f"tracemill {' '.join(command)}"),
        "Prompts for a math question:",
        *prompts,
        example(method.name),
    ]
    return "\n\n".join(parts) + "\n"


def example(job: str) -> str:
    """One real trace."""
    with transaction() as connection:
        row = connection.execute(EXAMPLE, {"job": job}).mappings().one()
    texts = [f"{call['call']}:\n{call['text']}" for call in row["calls"]] + [row["text"]]
    variant = f" ({row['variant']})" if row["variant"] else ""
    return "\n\n".join(
        [
            f"A trace{variant}. Question ({row['domain']}, gold `{line(row['gold'])}`): {row['question']}",
            *map(fenced, texts),
            f"Answer `{line(row['answer'])}`, {verdict(row)}; {row['tokens_out']} tokens, {row['steps']} steps.",
            *([fenced(steps(row["steps_stored"]))] if row["steps_stored"] else []),
        ]
    )


def verdict(row: Any) -> str:
    words = {True: "right", False: "wrong", None: "undecided"}[row["correct"]]
    if row["refused"]:
        return f"{words}, refused: {row['refused']}"
    return f"{words}, {'accepted' if row['accepted'] else 'not accepted'}"


def steps(stored: list[dict[str, Any]]) -> str:
    return "\n".join(str(step) for step in stored)


def line(value: str | None) -> str:
    return " ".join((value or "none").replace("`", "'").split())[:80]


def fenced(content: str) -> str:
    return f"````text\n{content.strip()}\n````"


if __name__ == "__main__":
    main()
