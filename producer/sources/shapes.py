r"""Well-known layouts of data sets: the columns that tell one, and where our values are in it.

A layout that has the usual column names needs no row here. The first layout whose columns all exist is taken; names
are compared without case. A field is written as after `--map` (`paths`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tracemill.verification.foreign_rows import EXPORTED


@dataclass(frozen=True, slots=True)
class Shape:
    """A layout of columns."""

    name: str
    columns: tuple[str, ...]
    #: Our values; the others have usual names.
    fields: Mapping[str, str] = field(default_factory=dict)
    domain: str | None = None
    kind: str | None = None
    #: The column of the code that a program completes.
    starter: str | None = None
    #: A sentence about something that is not read.
    note: str = ""


def _program(name: str, columns: tuple[str, ...], question: str, gold: str, starter: str = "", note: str = "") -> Shape:
    return Shape(name, columns, {"question": question, "gold": gold}, "code", "code", starter or None, note)


def _options(names: str) -> Shape:
    return Shape("choices in columns", ("question", "answer", *names.split(",")), {"choices": names})


SHAPES: tuple[Shape, ...] = (
    Shape("verl", ("prompt", "reward_model"), {"question": "prompt", "gold": "reward_model.ground_truth"}),
    _program(
        "LiveCodeBench",
        ("question_content", "public_test_cases"),
        r"{question_content}\n\n{starter_code}",
        "public_test_cases",
        "starter_code",
        "its private tests are pickled Python objects, which are never read: only the public ones decide",
    ),
    _program(
        "APPS or TACO", ("question", "input_output"), r"{question}\n\n{starter_code}", "input_output", "starter_code"
    ),
    _program("HumanEval", ("prompt", "test", "entry_point"), "prompt", r"{test}\n\ncheck({entry_point})"),
    _program(
        "MBPP",
        ("text", "test_list"),
        r"{text}\n\nThe program must pass these tests:\n\n{test_list}",
        r"{test_setup_code}\n{test_list}",
    ),
    _program(
        "MBPP",
        ("prompt", "test_list"),
        r"{prompt}\n\nThe program must pass these tests:\n\n{test_list}",
        r"{test_imports}\n{test_list}",
    ),
    _program("KodCode", ("question", "solution", "test"), "question", "test"),
    Shape(
        "OlympiadBench",
        ("question", "final_answer", "is_multiple_answer"),
        {"question": r"{context}\n\n{question}", "gold": "final_answer"},
        "math",
    ),
    Shape("SQuAD", ("context", "question", "answers"), {"question": r"{context}\n\n{question}", "gold": "answers"}),
    Shape("a passage and a question", ("passage", "question"), {"question": r"{passage}\n\n{question}"}),
    Shape("SVAMP", ("body", "question", "answer"), {"question": r"{body} {question}"}),
    Shape(
        "HellaSwag",
        ("ctx", "endings"),
        {"question": r"Which ending continues this text best?\n\n{ctx}", "choices": "endings", "gold": "label"},
    ),
    Shape(
        "PIQA",
        ("goal", "sol1", "sol2"),
        {"question": r"Which solution reaches this goal?\n\n{goal}", "choices": "sol1,sol2", "gold": "label"},
    ),
    Shape(
        "WinoGrande",
        ("sentence", "option1", "option2"),
        {"question": r"What belongs in the blank?\n\n{sentence}", "choices": "option1,option2", "gold": "answer"},
    ),
    Shape(
        "GPQA",
        ("question", "correct answer", "incorrect answer 1", "incorrect answer 2", "incorrect answer 3"),
        {
            "choices": "correct answer,incorrect answer 1,incorrect answer 2,incorrect answer 3",
            "gold": "correct answer",
        },
    ),
    Shape(
        "SciQ",
        ("question", "correct_answer", "distractor1", "distractor2", "distractor3"),
        {"choices": "correct_answer,distractor1,distractor2,distractor3", "gold": "correct_answer"},
    ),
    Shape("OpenBookQA", ("question_stem", "choices"), {"question": "question_stem"}),
    Shape("MedMCQA", ("question", "opa", "opb", "opc", "opd"), {"choices": "opa,opb,opc,opd", "gold": "cop"}),
    _options("a,b,c,d,e"),
    _options("a,b,c,d"),
    _options("option_a,option_b,option_c,option_d"),
    _options("option1,option2,option3,option4"),
    Shape("Alpaca", ("instruction", "input"), {"question": r"{instruction}\n\n{input}"}),
    Shape("ARC", ("question", "choices", "answerkey")),
    Shape("MMLU-Pro", ("question", "options", "answer_index")),
    Shape("MMLU", ("question", "choices", "answer", "subject")),
    Shape("OpenMathReasoning", ("problem", "expected_answer")),
    Shape("NuminaMath", ("problem", "solution", "answer", "problem_type")),
    Shape("ShareGPT", ("conversations",)),
    Shape("messages", ("messages",)),
)


#: Layouts of files with traces.
TRACE_SHAPES: tuple[Shape, ...] = (
    Shape("an export or an archive", ("trace_id", "question", *EXPORTED), {"trace": ",".join(EXPORTED)}),
    Shape(
        "inspect", ("input", "target", "output"), {"question": "input", "gold": "target", "trace": "output.completion"}
    ),
    Shape("datatrove", ("text", "metadata"), {"question": "text", "trace": "metadata.rollout_results"}),
    Shape(
        "curator",
        ("generic_request", "response_message"),
        {"question": "generic_request.messages", "trace": "response_message"},
    ),
    Shape("NeMo-Skills", ("problem", "generation")),
    Shape("distilabel", ("instruction", "generation")),
    Shape("verifiers", ("prompt", "completion", "reward")),
)


def shape_of(columns: Iterable[str], shapes: Iterable[Shape] = SHAPES) -> Shape | None:
    """The first layout whose columns all exist, ignoring case; None for no known one."""
    folded = {column.casefold() for column in columns}
    return next((shape for shape in shapes if folded.issuperset(shape.columns)), None)
