"""What a job would ask and compare: the first questions of a source. Nothing is stored, and no stack is needed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from producer.job_request import JobRequest
from producer.sources import Opened, Problem, Question, open_tables
from producer.sources.choices import is_letter
from producer.sources.questions import questions
from tracemill.errors import UsageError
from tracemill.methods import named
from tracemill.prompts import Message, prompt_domain, render
from tracemill.verification.answers.gold import final_answer
from tracemill.verification.answers.kinds import guess

#: Rows that are read, and questions that are shown whole.
ROWS, SHOWN = 1000, 3


@dataclass(frozen=True)
class PromptedQuestion:
    """One question as it will be asked, and its gold answer as it will be compared."""

    line: int | None
    messages: list[Message]
    gold: str | None
    kind: str
    domain: str


@dataclass
class Preview:
    """The first rows of a source."""

    #: A sentence for each different layout of the source's tables: where each value comes from.
    mappings: list[str]
    questions: list[PromptedQuestion] = field(default_factory=list)
    read: int = 0
    golds: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def preview(request: JobRequest) -> Preview:
    """Read the first rows of the request's source. Raises UsageError as the job would."""
    source = request.source
    if source.address.startswith("job:"):
        raise UsageError(f"--dry-run shows how a source is read, and {source.address} has questions that are stored")
    tables = open_tables(source.address, source.mapping)
    result = Preview(list(dict.fromkeys(columns.sentence() for _, columns in tables)))
    result.warnings += dict.fromkeys(warning for table, columns in tables for warning in columns.warnings(table))
    unmatched = 0
    limit = min(source.limit or ROWS, ROWS)
    for item in _first_items(tables, limit):
        if isinstance(item, Problem):
            result.problems.append(item)
            continue
        gold = item.gold and (item.gold if item.kind == "code" else final_answer(item.gold))
        kind = item.kind or guess(gold, item.text)
        result.read += 1
        result.golds += gold is not None
        result.kinds[kind] = result.kinds.get(kind, 0) + 1
        unmatched += gold is not None and item.kind == "choice" and not is_letter(gold)
        if len(result.questions) < SHOWN:
            result.questions.append(_prompted(item, request, gold, kind))
    if result.golds < result.read:
        result.warnings.append(f"{result.read - result.golds} of {result.read} questions have no gold answer")
    if unmatched:
        result.warnings.append(f"{unmatched} gold answers name none of their choices")
    return result


def _first_items(tables: Iterable[Opened], limit: int) -> Iterator[Question | Problem]:
    return islice(chain.from_iterable(questions(*opened) for opened in tables), limit)


def _prompted(question: Question, request: JobRequest, gold: str | None, kind: str) -> PromptedQuestion:
    """The question in the first call of the method's first variant."""
    domain = question.domain or request.source.domain
    variants = named(request.method).variants(prompt_domain(request.ask_as or domain), request.shots)
    first_call = next(iter(variants.values()))[0]
    slots = {"question": question.text, "gold": gold or ""}
    return PromptedQuestion(question.line, render(first_call.prompt, slots), gold, kind, domain)
