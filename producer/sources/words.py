"""Our own easy word problems for very small models: one or two steps with small whole numbers.

`words:?size=300&seed=1&split=train`. A problem is a template with numbers, names and things. A stable hash of
(template, numbers) decides the split. So train and test questions never share a story, for any sizes and seeds. The
same parameters give the same questions in every process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import permutations, product
from random import Random

from producer.sources.rows import Row, Table, family
from producer.sources.spec import parse_spec
from producer.sources.templates import PEOPLE, TEMPLATES, THINGS, Person, Template
from tracemill.errors import UsageError

SPLITS = ("train", "test")
_TEST_SHARE = 5  # one story in five is for testing


@family("words", examples=("words:?size=300&seed=1", "words:?size=200&split=test"))
def open_words(spec: str) -> list[Table]:
    """One table with the columns `question`, `gold`, `domain`, `kind`, `template` and `steps`."""
    name, texts = parse_spec("words", spec)
    unknown = sorted(texts.keys() - {"size", "seed", "split"})
    if name or unknown:
        raise UsageError(f"words:{spec}: no {name or unknown[0]!r} here. Write words:?size=300&seed=1&split=train|test")
    split = texts.get("split", "train")
    if split not in SPLITS:
        raise UsageError(f"words:{spec}: split={split} is neither train nor test")
    size, seed = _whole(spec, "size", texts.get("size", "300")), _whole(spec, "seed", texts.get("seed", "0"))
    max_size = sum(len(stories) for stories in _stories(split))
    if not 1 <= size <= max_size:
        raise UsageError(f"words:{spec}: size={size}, but it can be from 1 to {max_size:,} for split={split}")
    columns = ("question", "gold", "domain", "kind", "template", "steps")
    return [Table(f"words:{spec}", columns, lambda: _rows(split, size, seed))]


@dataclass(frozen=True, slots=True)
class _Stories:
    """All questions of one template in one split, numbered from 0."""

    template: Template
    numbers: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.numbers) * len(self._casts) * len(self._things)

    @property
    def _casts(self) -> Sequence[tuple[Person, Person]]:
        return _PAIRS if "{other}" in self.template.text else _ALONE

    @property
    def _things(self) -> Sequence[str]:
        return THINGS if "{things}" in self.template.text else ("",)

    def row(self, index: int) -> dict[str, object]:
        rest, thing = divmod(index, len(self._things))
        story, cast = divmod(rest, len(self._casts))
        numbers, ((name, he, his, him), other) = self.numbers[story], self._casts[cast]
        text = self.template.text.format(
            **dict(zip("abc", numbers, strict=False)),
            name=name,
            he=he,
            his=his,
            him=him,
            He=he.capitalize(),
            other=other[0],
            things=self._things[thing],
        )
        return {
            "question": text,
            "gold": str(self.template.answer(*numbers)),
            "domain": "math",
            "kind": "number",
            "template": self.template.name,
            "steps": self.template.steps,
        }


_PAIRS = tuple(permutations(PEOPLE, 2))
_ALONE = tuple((person, person) for person in PEOPLE)


@cache
def _stories(split: str) -> tuple[_Stories, ...]:
    def is_in_split(template: Template, numbers: tuple[int, ...]) -> bool:
        return template.allowed(*numbers) and split_of(template.name, numbers) == split

    return tuple(
        _Stories(template, tuple(numbers for numbers in _numbers(template) if is_in_split(template, numbers)))
        for template in TEMPLATES
    )


def _numbers(template: Template) -> Iterator[tuple[int, ...]]:
    return product(*(range(low, high + 1) for low, high in template.ranges))


def split_of(template: str, numbers: tuple[int, ...]) -> str:
    """The split of a story. It never changes."""
    digest = blake2b(f"{template} {numbers}".encode(), digest_size=4).digest()
    return "test" if int.from_bytes(digest, "big") % _TEST_SHARE == 0 else "train"


def _rows(split: str, size: int, seed: int) -> Iterator[Row]:
    """`size` different questions in random order, with equal numbers from all templates as far as possible."""
    random = Random(f"{split} {seed}")  # seeded by text: the same in every process
    chosen: list[tuple[_Stories, int]] = []
    stocks = sorted(_stories(split), key=lambda stories: (len(stories), stories.template.name))
    for left, stories in zip(range(len(stocks), 0, -1), stocks, strict=True):
        share = min(len(stories), -(-(size - len(chosen)) // left))
        chosen += [(stories, index) for index in random.sample(range(len(stories)), share)]
    random.shuffle(chosen)
    for number, (stories, index) in enumerate(chosen, 1):
        yield number, stories.row(index)


def _whole(spec: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"words:{spec}: {name}={text} is not a whole number")
    return int(text)
