"""`tracemill enqueue --dry-run`: how a source is read, and what is asked and compared. Nothing is stored."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli.output import console, print_facts, print_json, print_line

if TYPE_CHECKING:
    from producer.preview import Preview

MAX_PROBLEMS = 5


def show_preview(result: "Preview", json: bool) -> None:
    """Print the mapping, the first questions, the counts and the warnings."""
    if json:
        print_json(asdict(result))
        return
    for sentence in result.mappings:
        print_line(f"mapping: {sentence}")
    for number, question in enumerate(result.questions, 1):
        console.rule(f"question {number}, {question.domain}, {question.kind}", align="left")
        for message in question.messages:
            print_line(f"{message['role']}: {message['content']}")
        print_line(f"gold answer: {question.gold or 'none'}")
    console.rule(align="left")
    kinds = {f"kind {kind}": f"{count:,}" for kind, count in sorted(result.kinds.items())}
    print_facts(
        {"questions read": f"{result.read:,}", "with a gold answer": f"{result.golds:,}"}
        | kinds
        | {"left out": f"{len(result.problems):,}"}
    )
    for problem in result.problems[:MAX_PROBLEMS]:
        print_line(f"left out {problem.where}: {problem.what}")
    for warning in result.warnings:
        print_line(f"warning: {warning}")
