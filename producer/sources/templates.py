"""The templates of word problems, as data.

Every number is at least 2, so that plurals are right. `allowed` excludes impossible stories, such as giving away more
than one has, and large numbers. Slots: {a} {b} {c} are numbers; {name} and {other} are people, with {he} {his} {him}
{He} for {name}; {things} are countable things.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Person: TypeAlias = tuple[str, str, str, str]  # name, and he/his/him or she/her/her
PEOPLE: tuple[Person, ...] = tuple(
    [
        (name, "she", "her", "her")
        for name in ("Anna", "Mia", "Lina", "Sara", "Emma", "Nora", "Zoe", "Priya", "Rosa", "Hana")
    ]
    + [
        (name, "he", "his", "him")
        for name in ("Tom", "Ben", "Omar", "Leo", "Max", "Ravi", "Jack", "Paul", "Ivan", "Kenji")
    ]
)
THINGS = (
    "apples",
    "marbles",
    "stickers",
    "pencils",
    "shells",
    "cookies",
    "balloons",
    "stamps",
    "buttons",
    "cards",
    "beads",
    "plums",
)


@dataclass(frozen=True, slots=True)
class Template:
    """One story: its text, its answer as a function of the numbers, and their ranges (both ends included)."""

    name: str
    text: str
    answer: Callable[..., int]
    ranges: tuple[tuple[int, int], ...]
    allowed: Callable[..., bool] = lambda *numbers: True
    steps: int = 1


TWO = ((2, 20), (2, 20))
THREE = ((2, 15), (2, 12), (2, 12))
TIMES = ((2, 6), (2, 10))


def _less(a: int, b: int) -> bool:
    return b < a


def _less_both(a: int, b: int, c: int) -> bool:
    return b + c < a


TEMPLATES: tuple[Template, ...] = (
    # one step: add
    Template(
        "gets-more",
        "{name} has {a} {things}. {other} gives {him} {b} more. How many {things} does {name} have now?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "two-boxes",
        "{name} keeps {a} {things} in a red box and {b} {things} in a blue box. "
        "How many {things} does {he} have in all?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "together",
        "{name} has {a} {things} and {other} has {b} {things}. How many {things} do they have together?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "two-days",
        "{name} read {a} pages on Saturday and {b} pages on Sunday. How many pages did {he} read that weekend?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "bus-on",
        "The bus that {name} drives carries {a} passengers. "
        "At the next stop {b} more passengers get on and nobody gets off. "
        "How many passengers are on the bus now?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "taller-tower",
        "{other} builds a tower of {a} blocks. The tower that {name} builds has {b} blocks more. "
        "How many blocks are in the tower that {name} builds?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "before-giving",
        "After giving {b} {things} to {other}, {name} has {a} {things} left. "
        "How many {things} did {name} have at first?",
        lambda a, b: a + b,
        TWO,
    ),
    Template(
        "older",
        "{name} is {a} years old. How old will {he} be in {b} years?",
        lambda a, b: a + b,
        ((4, 20), (2, 20)),
    ),
    # one step: subtract
    Template(
        "gives-away",
        "{name} has {a} {things}. {He} gives {b} of them to {other}. How many {things} does {name} have left?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    Template(
        "loses",
        "{name} had {a} {things}, but {he} lost {b} of them on the way home. How many {things} does {he} still have?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    Template(
        "how-many-more",
        "{name} has {a} {things} and {other} has {b} {things}. How many more {things} does {name} have than {other}?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    Template(
        "still-to-go",
        "{name} wants to collect {a} {things}. So far {he} has {b}. How many more {things} does {he} need?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    Template(
        "change",
        "{name} pays for a toy that costs {b} dollars with {a} dollars. How many dollars does {he} get back?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    Template(
        "birds",
        "{name} sees {a} birds in a tree. Then {b} of them fly away. How many birds are still in the tree?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    Template(
        "the-rest",
        "There are {a} children in the class that {name} goes to. {b} of them are girls. How many are boys?",
        lambda a, b: a - b,
        ((4, 20), (2, 18)),
        _less,
    ),
    Template(
        "was-given",
        "{name} had {b} {things}. {other} gave {him} some more, and now {name} has {a}. "
        "How many {things} did {other} give {him}?",
        lambda a, b: a - b,
        TWO,
        _less,
    ),
    # one step: multiply
    Template(
        "bags",
        "{name} has {a} bags with {b} {things} in each bag. How many {things} does {he} have?",
        lambda a, b: a * b,
        TIMES,
    ),
    Template(
        "rows",
        "{name} plants {a} rows of {b} flowers. How many flowers does {he} plant?",
        lambda a, b: a * b,
        TIMES,
    ),
    Template(
        "every-day",
        "{name} eats {b} grapes every day. How many grapes does {he} eat in {a} days?",
        lambda a, b: a * b,
        TIMES,
    ),
    Template(
        "price",
        "One ticket costs {b} dollars. {name} buys {a} tickets. How many dollars does {he} pay?",
        lambda a, b: a * b,
        TIMES,
    ),
    # two steps
    Template(
        "gains-then-gives",
        "{name} has {a} {things}. {He} finds {b} more and then gives {c} to {other}. "
        "How many {things} does {name} have now?",
        lambda a, b, c: a + b - c,
        THREE,
        lambda a, b, c: c < a + b,
        2,
    ),
    Template(
        "gives-twice",
        "{name} has {a} {things}. {He} gives {b} to {other} and {c} to {his} teacher. How many {things} are left?",
        lambda a, b, c: a - b - c,
        ((6, 20), (2, 12), (2, 12)),
        _less_both,
        2,
    ),
    Template(
        "three-days",
        "{name} picked {a} {things} on Monday, {b} on Tuesday and {c} on Wednesday. "
        "How many {things} did {he} pick in all?",
        lambda a, b, c: a + b + c,
        THREE,
        steps=2,
    ),
    Template(
        "bus-off-and-on",
        "The bus that {name} drives carries {a} passengers. {b} of them get off and {c} new ones get on. "
        "How many passengers are on the bus then?",
        lambda a, b, c: a - b + c,
        ((4, 20), (2, 12), (2, 12)),
        lambda a, b, c: b < a,
        2,
    ),
    Template(
        "bags-and-more",
        "{name} has {a} bags with {b} {things} in each bag, and {c} more {things} on the table. "
        "How many {things} does {he} have in all?",
        lambda a, b, c: a * b + c,
        ((2, 4), (2, 6), (2, 10)),
        steps=2,
    ),
    Template(
        "bags-minus",
        "{name} buys {a} packs of {b} {things}. {He} gives {c} {things} to {other}. "
        "How many {things} does {name} keep?",
        lambda a, b, c: a * b - c,
        ((2, 4), (2, 6), (2, 10)),
        lambda a, b, c: c < a * b,
        2,
    ),
    Template(
        "more-than-friend",
        "{name} has {a} {things}. {other} has {b} {things} more than {name}. How many {things} do they have together?",
        lambda a, b: a + a + b,
        ((2, 15), (2, 10)),
        steps=2,
    ),
    Template(
        "two-purchases",
        "{name} has {a} dollars. {He} buys a book for {b} dollars and a ball for {c} dollars. "
        "How many dollars does {he} have left?",
        lambda a, b, c: a - b - c,
        ((6, 20), (2, 12), (2, 12)),
        _less_both,
        2,
    ),
)
