"""What the page shows, from the database and from files alike: jobs, their questions, the samples of a question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from web.filters import Filters

if TYPE_CHECKING:
    from web.rounds import RoundStore

#: Characters of a text that a page shows; the rest is behind a link.
MAX_SHOWN = 20_000
#: Characters of a question in a list.
MAX_PREVIEW = 300
#: Rows of a list, and samples of a question, on one page.
ROWS, SAMPLES = 50, 16


@dataclass(frozen=True)
class JobRow:
    """A job, or a file of traces."""

    name: str
    #: None for a file: only its traces are known.
    progress: Mapping[str, Any] | None = None
    #: A sentence about it, such as the size of a file.
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether its figures may still change."""
        return self.progress is not None and self.progress["state"] in ("filling", "running")


class QuestionRow(NamedTuple):
    """A question of a list, with the counts of its samples. The texts are cut after `MAX_PREVIEW` characters."""

    id: int
    text: str
    gold: str | None
    samples: int
    right: int
    wrong: int
    accepted: int
    #: The state of the question in its job; empty for a file.
    state: str = ""
    error: str | None = None


@dataclass(frozen=True)
class QuestionList:
    """One page of a job's questions."""

    rows: Sequence[QuestionRow]
    #: The last id that was looked at, if more questions may follow.
    next_after: int | None = None
    #: A sentence about this page, for example that a file is still being read.
    note: str = ""


class Finding(NamedTuple):
    """A false equation or an ungrounded number, quoted from the step with this index."""

    step: int
    #: "false equation" or "ungrounded number".
    kind: str
    quote: str


@dataclass(frozen=True)
class Sample:
    """A trace and its verdict. The texts are cut after `MAX_SHOWN` characters."""

    #: Names the trace in its job.
    id: int
    label: str
    text: str
    text_length: int
    thoughts: str | None = None
    thoughts_length: int = 0
    answer: str | None = None
    correct: bool | None = None
    accepted: bool | None = None
    #: How `correct` was decided, and what stands against the trace.
    proof: str | None = None
    refused: str | None = None
    error: str | None = None
    #: Scores and signals by name.
    scores: Mapping[str, Any] = field(default_factory=dict)
    #: Tokens, seconds, model and the like, by name.
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: The steps that its job or its file gives; empty: they are read from the text.
    steps: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    #: Earlier calls of its chain: the name and the text of each.
    calls: Sequence[tuple[str, str]] = ()
    #: The messages of its prompt: the role and the text of each.
    prompt: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class QuestionPage:
    """A question with some of its samples."""

    id: int
    text: str
    gold: str | None
    samples: Sequence[Sample]
    #: Names what the question belongs to: its dataset, domain and state.
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: The number of samples before the first one of this page.
    start: int = 0
    has_more: bool = False


class Store(Protocol):
    """Where traces come from. All methods may block, and may be called by several threads at once."""

    @property
    def rounds(self) -> "RoundStore | None":
        """The rounds; None for files."""

    def jobs(self) -> Sequence[JobRow]:
        """All jobs, newest first, or all files."""

    def job(self, name: str) -> JobRow | None:
        """One of them."""

    def questions(self, job: JobRow, filters: Filters, after: int) -> QuestionList:
        """Questions with larger ids, in their order."""

    def neighbour(self, job: JobRow, filters: Filters, question: int, *, forwards: bool) -> int | None:
        """The id of the next or the previous question that passes the filters."""

    def question(self, job: JobRow, question: int, start: int) -> QuestionPage | None:
        """A question with its samples from number `start` on."""

    def whole_text(self, job: JobRow, question: int, sample: int) -> str | None:
        """The whole text of a sample with its thoughts."""

    def close(self) -> None:
        """Release files, threads and connections."""
