"""Fuzz the readers of hostile text: no crash, no hang and no memory beyond the limits, whatever they read.

Each input begins as one of a reader's seeds. A few random edits delete, repeat and splice parts of it. A seed and an
index name an input, so every finding can be repeated. A reader may raise only its documented errors. Each input has a
limit of CPU time, and each reader a limit of memory. A child process reads the inputs, so a crash is a finding too.

    make fuzz COUNT=20000 SEED=1 READERS="answers wire"
"""

import argparse
import io
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from producer.sources import open_tables
from producer.sources.questions import questions
from tests import ROOT
from tracemill.engines.openai_errors import error_status, error_text, event_error
from tracemill.engines.openai_protocol import Answer, Models, completions, score_at_end
from tracemill.engines.openai_stream import Assembly, Chunk, Events
from tracemill.errors import UsageError
from tracemill.verification.answers import math_verify
from tracemill.verification.answers.expressions import same
from tracemill.verification.answers.voting import groups
from tracemill.verification.checks import Item, check
from tracemill.verification.code.gold_tests import read_tests
from tracemill.verification.code.trial.objects import Stop
from tracemill.verification.code.trial.tests import Tests
from tracemill.verification.gold_values import gold_text

MAX_SECONDS = 1.0  # of CPU time for one input
MAX_STUCK_SECONDS = 20.0  # of CPU time until a child that does not return to Python is killed
MAX_MEMORY_MB = 512  # for all inputs of a reader, beyond the memory of its imports
MAX_CHARS = 20_000  # of an input
MAX_EDITS = 6
MAX_WARM_UPS = 20
MAX_SHOWN = 300  # characters of an input in a report
PART = "\x1e"  # separates gold answer, question and trace in one input

PAIRS = ROOT / "tests" / "unit" / "tracemill" / "verification" / "answers" / "pairs.jsonl"
TEXTS = (
    "0", "1", "-", "+", "/", "^", "=", "(", ")", "[", "]", "{", "}", ",", ";", ":", ".", "%", "$", "\\", "\n", " ",
    "\t", "12", "0.5", "1e9", "9" * 30, "\\frac{", "\\sqrt{", "\\boxed{", "\\begin{pmatrix}", "\\end{pmatrix}", "&",
    "\\\\", "\\text{", "\\left(", "\\int_0^1 ", "\\sum_{k=1}^{9}", "\\int_0^1 x^2 dx", "\\int x ", "\\prod_{k=1}^{n} k",
    "\\lim_{x\\to 0} ", "\\zeta(2)", "\\infty", "\\pi", "\\cup", "\\pmod{", "x", "dx",
    "e^{", "!", "The answer is ", "####", "<answer>", "</answer>", "<think>", "</think>", "```python\n", "or", "and",
    "not", "km", "10^", "<<", ">>", "½", "٣", "²", "−", "√", "∞", "\ud800", "\x00", "\u202e", "答案是", "Answer:",
    "(A)", "B.", "True",
)  # fmt: skip
BYTES = (
    "{", "}", "[", "]", ",", ":", '"', "\\", "\\u0000", "\\ud800", "null", "true", "-1", "0.5", "1e999", "NaN",
    "Infinity", "9" * 25, "9" * 5000, '"index":', '"delta":', '"message":', '"content":', '"logprobs":', '"error":',
    '"finish_reason":', '"text":', '"choices":', '"top_logprobs":', "data: ", "event: error", "\r", "\n", "\n\n", "\t",
    "[DONE]", ";", "\xef\xbb\xbf", "\xff\xfe", "\x00", "\xc3", '{"t":', '"v":', '"object"', '"dict"', '"namedtuple"',
    '"Fraction"', '"1/0"', '"Decimal"', '"timedelta"', '"type"', '"error"', '"back":', '"changed":', '"printed":',
    '"value":', "question", "answer", "options", "=", "PAR1", "ARROW1",
)  # fmt: skip


class Reader(NamedTuple):
    """One reader: the seeds of its inputs, what is inserted into them, and the call."""

    name: str
    seeds: list[str]
    fragments: tuple[str, ...]
    #: Reads one input. It raises nothing but a finding.
    read: Callable[[str], None]


class Finding(NamedTuple):
    """One input that broke a limit, and how."""

    index: int
    what: str


def inputs(reader: Reader, seed: int, start: int, count: int) -> Iterator[tuple[int, str]]:
    """The inputs from index `start` on, each with its index."""
    for index in range(start, start + count):
        yield index, _edited(reader, random.Random(f"{seed} {reader.name} {index}"))


def _edited(reader: Reader, rng: random.Random) -> str:
    text = rng.choice(reader.seeds)
    for _ in range(rng.randint(1, MAX_EDITS)):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 1, 2, 5, 20, 200)))
        part, fragment = text[start:end], rng.choice(reader.fragments)
        new = rng.choice(
            ("", fragment, part + fragment, fragment * rng.choice((2, 9, 99, 999)), part * rng.choice((2, 9, 99, 999)))
        )
        if rng.random() < 0.3:
            other = rng.choice(reader.seeds)
            new = other[(at := rng.randint(0, len(other))) : at + rng.choice((1, 5, 50, 500))]
        text = (text[:start] + new + text[end:])[:MAX_CHARS]
    return text


def fuzz(
    reader: Reader,
    seed: int,
    start: int,
    count: int,
    max_seconds: float = MAX_SECONDS,
    at: Callable[[int], None] = lambda index: None,
) -> Finding | None:
    """Read the inputs in this process until the first finding. `at` gets the index of each input before it is read.

    A few seeds are read first, without a limit: the reader then imports what it needs.
    """
    for text in reader.seeds[:MAX_WARM_UPS]:
        reader.read(text)
    return _first_finding(reader, inputs(reader, seed, start, count), max_seconds, at)


def _first_finding(
    reader: Reader, texts: Iterator[tuple[int, str]], max_seconds: float, at: Callable[[int], None]
) -> Finding | None:
    handler = signal.signal(signal.SIGVTALRM, _out_of_time)
    try:
        for index, text in texts:
            at(index)
            signal.setitimer(signal.ITIMER_VIRTUAL, max_seconds)
            try:
                reader.read(text)
            except (Exception, Stop, OutOfTimeError) as error:
                return Finding(index, f"{type(error).__name__}: {error}"[:MAX_SHOWN])
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
    return None


class OutOfTimeError(BaseException):
    """One input exceeded its limit of CPU time. No reader catches it."""


def _out_of_time(*_: object) -> None:
    raise OutOfTimeError


def fuzz_in_child(name: str, seed: int, start: int, count: int) -> Finding | None:
    """The same in a child process with a limit of memory, so that a crash and a hang are findings too."""
    reader = READERS[name]()
    shared = mmap.mmap(-1, 4096)

    def at(index: int) -> None:
        if index == start:  # the imports are done
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MAX_MEMORY_MB * 2**20,) * 2)
        struct.pack_into("q", shared, 0, index)

    child = os.fork()
    if child == 0:
        finding = fuzz(reader, seed, start, count, at=at)
        shared[8:4096] = json.dumps(finding).encode()[:4088].ljust(4088)
        os._exit(0)
    index, since = -1, 0.0
    while not (status := os.waitpid(child, os.WNOHANG))[0]:
        if (reached := struct.unpack_from("q", shared)[0]) != index:
            index, since = reached, _cpu_seconds(child)
        elif _cpu_seconds(child) - since > MAX_STUCK_SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    if status[1]:
        return Finding(struct.unpack_from("q", shared)[0], f"killed: {status[1]}")
    return Finding(*report) if (report := json.loads(shared[8:4096])) else None


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _answers(answer_only: bool) -> Reader:
    """Readers of gold answers, questions and traces: the answer alone, or the reasoning too."""
    math_verify.equal("1", "1")  # the imports count for no input
    same("1", r"\int_0^1 2x dx")
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]

    def read(text: str) -> None:
        gold, question, trace = [*text.split(PART, 2), "", ""][:3]
        with suppress(ValueError):  # its documented error
            gold_text(gold)
        findings = check(Item(trace, gold, question or None, answer_only=answer_only))
        if answer_only and findings.answer:
            groups([findings.answer, gold], findings.kind or "number")
            read_tests(gold, question)

    return Reader(
        "answers" if answer_only else "equations",
        [PART.join((pair["gold"], pair.get("question") or "", pair["answer"])) for pair in pairs],
        TEXTS,
        read,
    )


def _wire() -> Reader:
    """The protocol between a program and its tests: the answers of a hostile program to one call."""
    values = [
        1, 0.5, "a", None, [1, [2]], {"t": "dict", "v": [[1, 2]]}, {"t": "tuple", "v": [1]}, {"t": "int", "v": "0xff"},
        {"t": "set", "v": [1, 2]}, {"t": "bytes", "v": "00ff"}, {"t": "range", "v": [0, 5, 1]},
        {"t": "type", "v": "int"},
        {"t": "namedtuple", "v": ["P", ["x", "y"], [1, 2]]}, {"t": "deque", "v": [1]}, {"t": "Decimal", "v": "1.5"},
        {"t": "Fraction", "v": "1/3"}, {"t": "date", "v": "2020-01-31"}, {"t": "timedelta", "v": [1, 2, 3]},
        {"t": "complex", "v": [1, 2]}, {"t": "object", "v": [0, True, False, "A"]}, {"t": "error", "v": ["ValueError"]},
    ]  # fmt: skip
    lines = [json.dumps({"value": value, "changed": [[0, [value]]], "printed": "x"}) for value in values]
    lines += [json.dumps({"back": 0, "args": [value]}) + "\n" + lines[0] for value in values]
    lines += ['{"error": ["KeyError", "Exception"], "text": "k", "printed": ""}']

    def read(text: str) -> None:
        tests = Tests(_Pipe(text.encode("latin-1")), 0)  # type: ignore[arg-type]
        tests.callables.append(len)
        tests.failure = lambda: Stop(False, "the program does not answer its tests")  # type: ignore[method-assign]
        try:
            with redirect_stdout(io.StringIO()):
                tests.ask("call", [1, 2])
        except Stop:
            pass
        except Exception as error:  # only one that the program names
            names = text.encode("latin-1").decode("utf-8", "replace")
            if type(error).__name__ not in names and not isinstance(error, ValueError):
                raise
        Stop.first = None

    return Reader("wire", lines, BYTES, read)


class _Pipe:
    """A connection to a program that has already answered."""

    def __init__(self, received: bytes) -> None:
        self._lines = io.BytesIO(received)

    def send(self, message: Any) -> None:
        json.dumps(message)

    def receive(self) -> Any:
        if not (line := self._lines.readline()):
            raise EOFError
        return json.loads(line)


def _servers() -> Reader:
    """Answers of OpenAI-compatible servers: whole ones, streams, lists of models and errors."""
    logprobs = (
        '{"content": [{"token": "token_id:5", "logprob": -0.1, "top_logprobs": [{"token": "a", "logprob": -1}]}]}'
    )
    choice = f'{{"index": 0, "message": {{"content": "4"}}, "finish_reason": "stop", "logprobs": {logprobs}}}'
    usage = '{"prompt_tokens": 3, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}'
    piece = '{"choices": [{"index": 0, "delta": {"content": "4", "reasoning": "hm"}, "finish_reason": null}]}'
    seeds = [
        f'{{"choices": [{choice}, {choice}], "usage": {usage}}}',
        '{"choices": [{"message": {"content": [{"type": "text", "text": "4"}, {"thinking": [{"text": "hm"}]}]}}]}',
        '{"choices": [{"text": "4"}], "prompt_logprobs": [null, {"5": {"logprob": -1, "decoded_token": "4"}}]}',
        f'data: {piece}\n\ndata: {{"choices": [], "usage": {usage}}}\n\ndata: [DONE]\n\n',
        f'data: {piece}\r\rdata: {{"choices": [{{"index": 1, "finish_reason": "length"}}]}}\r\r',
        'event: error\ndata: {"error": {"code": 429, "message": "slow down"}}\n\n',
        '{"data": [{"id": "m", "max_model_len": 4096}]}',
    ]

    def read(text: str) -> None:
        body = text.encode("latin-1", "replace")
        with suppress(ValidationError):
            Models.model_validate_json(body)
        with suppress(ValidationError):
            _use(Answer.model_validate_json(body))
        events, assembly = Events(), Assembly(2)
        received = [event for size in range(0, len(body), 97) for event in events.feed(body[size : size + 97])]
        with suppress(ValidationError):
            for event in [*received, *events.end()]:
                error_text(error := event_error(event.data))
                error_status(error)
                if not event.is_error:
                    assembly.take(Chunk.model_validate_json(event.data))
            _use(assembly.answer())

    return Reader("servers", seeds, BYTES, read)


def _use(answer: Answer) -> None:
    """Make samples and scores of an answer, as the engine does."""
    if answer.error:
        error_status(answer.error), error_text(answer.error)
        return
    for k in (0, 2):
        with suppress(LookupError):  # the documented error for missing log-probabilities
            completions(answer, k)
    if answer.prompt_logprobs is not None:
        score_at_end(answer.prompt_logprobs, "4")


def _files() -> Reader:
    """Question files of every kind. The first line of an input is the end of the file's name."""
    import pyarrow
    from pyarrow import feather, parquet

    rows = [{"question": f"{n} + 1?", "answer": str(n + 1), "options": ["1", "2"], "n": n} for n in range(3)]
    table = pyarrow.Table.from_pylist(rows)
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    parquet.write_table(table, packed := io.BytesIO())
    feather.write_feather(table, arrow := io.BytesIO(), compression="uncompressed")
    csv = 'question,answer,options\n1 + 1?,2,"[\'1\', \'2\']"\n"a\n""b""",3,x\n'
    lines = "\n".join(map(json.dumps, rows))
    seeds = [f".jsonl\n{lines}", f".json\n{json.dumps(rows)}", f".json\n{json.dumps({'data': rows})}", f".csv\n{csv}"]
    seeds += [f".tsv\n{csv.replace(',', chr(9))}", f".json\n{json.dumps({'question': ['a?'], 'answer': [1]})}"]
    seeds += ['.jsonl\n{"prompt": [{"role": "user", "content": "a?"}], "reward_model": {"ground_truth": "[1]"}}']
    seeds += ['.jsonl\n{"question": "f?", "input_output": "{\\"inputs\\": [[1]], \\"outputs\\": [2]}"}']
    seeds += [f".parquet\n{packed.getvalue().decode('latin-1')}", f".arrow\n{arrow.getvalue().decode('latin-1')}"]

    def read(text: str) -> None:
        ending, _, content = text.partition("\n")
        known = ending if ending in (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow") else ".jsonl"
        with tempfile.NamedTemporaryFile(suffix=known, dir=folder) as file:
            file.write(content.encode("latin-1", "replace"))
            file.flush()
            with suppress(UsageError):
                for opened, columns in open_tables(file.name, {}):
                    for _ in questions(opened, columns):
                        pass

    return Reader("files", seeds, BYTES, read)


READERS: dict[str, Callable[[], Reader]] = {
    "answers": lambda: _answers(answer_only=True),
    "equations": lambda: _answers(answer_only=False),
    "wire": _wire,
    "servers": _servers,
    "files": _files,
}


def main() -> int:
    """Fuzz the readers, print the findings, and return 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--count", type=int, default=20_000, help="inputs of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the index of the first input")
    options = parser.parse_args()
    n_findings = 0
    for name in options.readers:
        start, end, began = options.start, options.start + options.count, time.monotonic()
        while start < end and (finding := fuzz_in_child(name, options.seed, start, end - start)):
            ((_, text),) = inputs(READERS[name](), options.seed, finding.index, 1)
            print(
                f"{name} {finding.index}: {finding.what}\n    {text[:MAX_SHOWN]!r} ({len(text)} characters)", flush=True
            )
            n_findings, start = n_findings + 1, finding.index + 1
        print(f"{name}: {options.count:,} inputs in {time.monotonic() - began:.0f} s", flush=True)
    print(f"{n_findings} findings with seed {options.seed}")
    return 1 if n_findings else 0


if __name__ == "__main__":
    sys.exit(main())
