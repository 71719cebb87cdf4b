"""The answers of the scripted model, in a module without heavy imports for a fast start."""

import re


def answers(question: str) -> dict[str, tuple[bool, bool]]:
    """The scripted texts with their expected verdicts: (correct, accepted)."""
    n = int(re.findall(r"\d+", question)[0])
    return {
        f"{n} + 1 = {n + 1}. The answer is {n + 1}.": (True, True),
        f"{n} + 1 = {n + 2}. The answer is {n + 2}.": (False, False),
        f"{n} + 2 = {n + 1}. The answer is {n + 1}.": (True, False),  # right by luck
        f"It must be {n + 1}": (True, False),  # not in the requested form
    }
