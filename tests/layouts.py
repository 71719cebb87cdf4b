"""Layouts of public data sets, each with a row of our own: the columns, and the question that they make."""

import json
from typing import Any, NamedTuple


class Layout(NamedTuple):
    """A row in the layout of a data set, and the question that it makes."""

    row: dict[str, Any]
    text: str
    gold: str | None
    kind: str | None = None


SUM = "Ida has 4 pens and buys 3. How many pens has she?"
CHAT = [{"role": "user", "content": SUM}, {"role": "assistant", "content": "4 + 3 = 7, so 7."}]
STREAM = {"inputs": ["2 5\n", "1 1\n"], "outputs": ["7\n", "2\n"]}
STREAM_GOLD = json.dumps([{"input": "2 5\n", "output": "7\n"}, {"input": "1 1\n", "output": "2\n"}])
STARTER = "class Solution:\n    def double(self, n: int) -> int:\n        "
COLOURS = ["green", "blue", "red", "grey"]
COLOUR_LINES = "A) green\nB) blue\nC) red\nD) grey"
CHECK = "def check(candidate):\n    assert candidate(2) == 4"

LAYOUTS = {
    "GSM8K": Layout({"question": SUM, "answer": "4 + 3 = <<4+3=7>>7 pens.\n#### 7"}, SUM, "7"),
    "MATH": Layout(
        {
            "problem": "Find $3!$.",
            "level": "Level 1",
            "type": "Algebra",
            "solution": r"It is $3\cdot2=6$, so $\boxed{6}$.",
        },
        "Find $3!$.",
        "6",
    ),
    "MATH-500": Layout(
        {"problem": "Find $3!$.", "solution": r"$\boxed{6}$", "answer": "6", "level": 1, "unique_id": "t/1.json"},
        "Find $3!$.",
        "6",
    ),
    "AIME": Layout({"ID": "I-1", "Problem": SUM, "Solution": "Count them.", "Answer": 7}, SUM, "7"),
    "OlympiadBench": Layout(
        {
            "id": 5,
            "question": "Find the sum.",
            "solution": ["Add both."],
            "final_answer": ["$7$"],
            "context": "Let a be 4 and b be 3.",
            "is_multiple_answer": False,
        },
        "Let a be 4 and b be 3.\n\nFind the sum.",
        "$7$",
    ),
    "OlympiadBench, several answers": Layout(
        {
            "question": "Solve $x^2=4$.",
            "final_answer": ["2", "-2"],
            "context": None,
            "is_multiple_answer": True,
        },
        "Solve $x^2=4$.",
        "2, -2",
    ),
    "Omni-MATH": Layout(
        {"domain": ["Mathematics -> Sums"], "difficulty": 1.5, "problem": SUM, "solution": "Add.", "answer": "7"},
        SUM,
        "7",
    ),
    "NuminaMath": Layout(
        {
            "source": "own",
            "problem": "Prove that 1 < 2.",
            "solution": "It is clear.",
            "answer": "proof",
            "problem_type": "Algebra",
        },
        "Prove that 1 < 2.",
        None,
    ),
    "OpenR1": Layout(
        {"problem": SUM, "solution": "Add.", "answer": "7", "generations": ["a", "b"], "messages": CHAT}, SUM, "7"
    ),
    "OpenMathReasoning": Layout(
        {"expected_answer": "7", "problem": SUM, "generated_solution": "<think>", "problem_source": "own"}, SUM, "7"
    ),
    "DeepScaleR": Layout({"problem": SUM, "answer": "7", "solution": "Add."}, SUM, "7"),
    "verl": Layout(
        {
            "data_source": "own",
            "prompt": CHAT[:1],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "7"},
            "extra_info": {"index": 3},
        },
        SUM,
        "7",
    ),
    "messages": Layout({"messages": CHAT, "answer": "7"}, SUM, "7"),
    "ShareGPT": Layout(
        {"conversations": [{"from": "human", "value": SUM}, {"from": "gpt", "value": "7"}], "answer": "7"}, SUM, "7"
    ),
    "Alpaca": Layout(
        {"instruction": "Add the numbers.", "input": "4 and 3", "output": "7"}, "Add the numbers.\n\n4 and 3", "7"
    ),
    "Alpaca, no input": Layout({"instruction": SUM, "input": "", "output": "7"}, SUM, "7"),
    "MMLU": Layout(
        {"question": "Grass?", "subject": "botany", "choices": COLOURS, "answer": 0},
        f"Grass?\n{COLOUR_LINES}",
        "A",
        "choice",
    ),
    "MMLU-Pro": Layout(
        {"question": "Sky?", "options": COLOURS, "answer": "B", "answer_index": 1, "category": "other"},
        f"Sky?\n{COLOUR_LINES}",
        "B",
        "choice",
    ),
    "ARC": Layout(
        {
            "id": "Q1",
            "question": "Fog?",
            "choices": {"text": COLOURS, "label": ["1", "2", "3", "4"]},
            "answerKey": "4",
        },
        f"Fog?\n{COLOUR_LINES}",
        "D",
        "choice",
    ),
    "OpenBookQA": Layout(
        {
            "question_stem": "Blood is",
            "choices": {"text": COLOURS, "label": ["A", "B", "C", "D"]},
            "answerKey": "C",
        },
        f"Blood is\n{COLOUR_LINES}",
        "C",
        "choice",
    ),
    "HellaSwag": Layout(
        {"ind": 4, "ctx": "The fog was", "endings": COLOURS, "label": "3", "split": "val"},
        f"Which ending continues this text best?\n\nThe fog was\n{COLOUR_LINES}",
        "D",
        "choice",
    ),
    "PIQA": Layout(
        {"goal": "Open a jar.", "sol1": "Turn the lid.", "sol2": "Shake it.", "label": 0},
        "Which solution reaches this goal?\n\nOpen a jar.\nA) Turn the lid.\nB) Shake it.",
        "A",
        "choice",
    ),
    "WinoGrande": Layout(
        {"sentence": "Ann fed Bo's cat, as _ was away.", "option1": "Ann", "option2": "Bo", "answer": "2"},
        "What belongs in the blank?\n\nAnn fed Bo's cat, as _ was away.\nA) Ann\nB) Bo",
        "B",
        "choice",
    ),
    "MedMCQA": Layout(
        {"question": "Longest bone?", "opa": "rib", "opb": "femur", "opc": "ulna", "opd": "jaw", "cop": 1},
        "Longest bone?\nA) rib\nB) femur\nC) ulna\nD) jaw",
        "B",
        "choice",
    ),
    "choices in columns": Layout(
        {"question": "2 + 5?", "A": "6", "B": "7", "C": "8", "D": "9", "answer": "B"},
        "2 + 5?\nA) 6\nB) 7\nC) 8\nD) 9",
        "B",
        "choice",
    ),
    "BoolQ": Layout(
        {"passage": "Bats are mammals.", "question": "is a bat a bird", "answer": "false"},
        "Bats are mammals.\n\nis a bat a bird",
        "false",
    ),
    "SQuAD": Layout(
        {
            "context": "Oslo is in Norway.",
            "question": "Where is Oslo?",
            "answers": {"text": ["Norway", "norway"], "answer_start": [11, 11]},
        },
        "Oslo is in Norway.\n\nWhere is Oslo?",
        "Norway",
    ),
    "several right answers": Layout({"question": "Who?", "answers": ["Bo", "Bo Lee"]}, "Who?", None),
    "SVAMP": Layout(
        {"Body": "Ida has 4 pens and buys 3.", "Question": "How many pens has she?", "Answer": 7}, SUM, "7"
    ),
    "MBPP": Layout(
        {"text": "Write dbl.", "test_list": ["assert dbl(2) == 4"], "test_setup_code": "import math", "code": "..."},
        "Write dbl.\n\nThe program must pass these tests:\n\nassert dbl(2) == 4",
        "import math\nassert dbl(2) == 4",
        "code",
    ),
    "MBPP, sanitized": Layout(
        {
            "prompt": "Write dbl.",
            "test_imports": ["import math"],
            "test_list": ["assert dbl(1) == 2", "assert dbl(2) == 4"],
        },
        "Write dbl.\n\nThe program must pass these tests:\n\nassert dbl(1) == 2\nassert dbl(2) == 4",
        "import math\nassert dbl(1) == 2\nassert dbl(2) == 4",
        "code",
    ),
    "HumanEval": Layout(
        {"prompt": "def dbl(n):\n", "canonical_solution": "    return 2 * n", "test": CHECK, "entry_point": "dbl"},
        "def dbl(n):",
        f"{CHECK}\n\ncheck(dbl)",
        "code",
    ),
    "APPS": Layout(
        {"question": "Add two numbers.", "solutions": "[]", "input_output": json.dumps(STREAM), "starter_code": ""},
        "Add two numbers.",
        STREAM_GOLD,
        "code",
    ),
    "TACO": Layout(
        {
            "question": "Double n.",
            "input_output": json.dumps({"fn_name": "double", "inputs": [[2]], "outputs": [[4]]}),
            "starter_code": STARTER,
        },
        f"Double n.\n\n{STARTER.strip()}",
        "assert Solution().double(2) == [4] or Solution().double(2) == 4",
        "code",
    ),
    "LiveCodeBench": Layout(
        {
            "question_content": "Add two numbers.",
            "starter_code": "",
            "public_test_cases": json.dumps([{"input": "2 5\n", "output": "7\n", "testtype": "stdin"}]),
            "private_test_cases": "eJw=",
        },
        "Add two numbers.",
        json.dumps([{"input": "2 5\n", "output": "7\n"}]),
        "code",
    ),
    "LiveCodeBench, functions": Layout(
        {
            "question_content": "Double n.",
            "starter_code": STARTER,
            "public_test_cases": json.dumps([{"input": "2", "output": "4", "testtype": "functional"}]),
        },
        f"Double n.\n\n{STARTER.strip()}",
        "assert Solution().double(2) == 4",
        "code",
    ),
    "KodCode": Layout(
        {
            "question": "Write dbl.",
            "solution": "def dbl(n): ...",
            "test": "from solution import dbl\ndef test_two():\n    assert dbl(2) == 4",
        },
        "Write dbl.",
        "from solution import dbl\ndef test_two():\n    assert dbl(2) == 4",
        "code",
    ),
}
