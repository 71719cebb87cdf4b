"""Generated questions: our own word problems and reasoning-gym."""

import re
import subprocess
import sys
from itertools import islice, product

import pytest

from producer.sources import Problem, Question, examples, open_source
from producer.sources.templates import TEMPLATES, Template
from producer.sources.words import split_of
from tracemill.errors import UsageError
from tracemill.text import content_hash, fingerprint


def read(source: str, **mapping: str) -> list[Question]:
    items = list(open_source(source, mapping=mapping))
    assert not [item for item in items if isinstance(item, Problem)]
    return [item for item in items if isinstance(item, Question)]


def test_word_problems_are_distinct_and_have_their_gold() -> None:
    questions = read("words:?size=2000&seed=1")
    assert len({fingerprint(q.text) for q in questions}) == 2000
    assert {(q.domain, q.kind) for q in questions} == {("math", "number")}
    assert {q.meta["template"] for q in questions} == {template.name for template in TEMPLATES}


def test_there_are_24_templates_of_one_and_two_steps_with_unique_names() -> None:
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES) >= 24
    assert {template.steps for template in TEMPLATES} == {1, 2}


def test_word_problems_stay_small_and_sensible() -> None:
    for q in read("words:?size=3000&seed=2"):
        numbers = [int(number) for number in re.findall(r"\d+", q.text)]
        assert q.gold is not None
        assert 1 <= int(q.gold) <= 60, q.text
        assert all(2 <= number <= 20 for number in numbers), q.text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_every_story_of_a_template_has_an_answer_from_1_to_60(template: Template) -> None:
    numbers = product(*(range(low, high + 1) for low, high in template.ranges))
    answers = [template.answer(*each) for each in numbers if template.allowed(*each)]
    assert answers
    assert all(1 <= answer <= 60 for answer in answers)


def test_word_problems_read_as_finished_english() -> None:
    for q in read("words:?size=3000&seed=3"):
        assert q.text.endswith("?")
        assert not re.search(r"[{}]|  |\bNone\b", q.text), q.text
        assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in re.split(r"(?<=[.?]) ", q.text)), (
            q.text
        )


def test_the_gold_of_every_template_follows_from_its_numbers() -> None:
    by_hand = {
        "gets-more": lambda a, b: a + b,
        "gives-away": lambda a, b: a - b,
        "bags": lambda a, b: a * b,
        "gains-then-gives": lambda a, b, c: a + b - c,
        "bus-off-and-on": lambda a, b, c: a - b + c,
        "bags-and-more": lambda a, b, c: a * b + c,
        "more-than-friend": lambda a, b: 2 * a + b,
    }
    checked = set()
    for q in read("words:?size=3000&seed=4"):
        name = q.meta["template"]
        if name in by_hand:
            numbers = [int(number) for number in re.findall(r"\d+", q.text)]
            assert q.gold == str(by_hand[name](*numbers)), q.text
            checked.add(name)
    assert checked == by_hand.keys()


def test_the_same_parameters_give_the_same_questions_in_every_process() -> None:
    here = content_hash(*(q.text for q in read("words:?size=500&seed=7")))
    program = (
        "from producer.sources import open_source\nfrom tracemill.text import content_hash\n"
        "print(content_hash(*(q.text for q in open_source('words:?size=500&seed=7', mapping={}))))"
    )
    there = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert there == {here}
    assert read("words:?size=500&seed=8") != read("words:?size=500&seed=7")


def test_train_and_test_never_share_a_story() -> None:
    def stories(source: str) -> set[tuple[object, str]]:
        return {(q.meta["template"], " ".join(re.findall(r"\d+", q.text))) for q in read(source)}

    train = set().union(*(stories(f"words:?size=4000&seed={seed}") for seed in range(3)))
    test = set().union(*(stories(f"words:?size=1500&seed={seed}&split=test") for seed in range(3)))
    assert len(train) > 1000
    assert len(test) > 300
    assert not train & test


def test_the_split_of_a_story_never_changes_and_a_fifth_is_for_tests() -> None:
    splits = [split_of("gets-more", (2, number)) for number in range(2, 21)]
    assert [number for number, split in enumerate(splits, 2) if split == "test"] == [6, 10, 20]
    stock = {split: _stock(split) for split in ("train", "test")}
    assert 0.18 < stock["test"] / (stock["train"] + stock["test"]) < 0.22


def _stock(split: str) -> int:
    with pytest.raises(UsageError) as caught:
        read(f"words:?size=999999999&split={split}")
    return int(re.findall(r"to ([0-9,]+) for", str(caught.value))[0].replace(",", ""))


def test_small_templates_give_all_their_questions_to_a_large_size() -> None:
    counts: dict[object, int] = {}
    for q in read("words:?size=20000&seed=1&split=test"):
        counts[q.meta["template"]] = counts.get(q.meta["template"], 0) + 1
    assert sum(counts.values()) == 20_000
    assert len(counts) == len(TEMPLATES)
    assert min(counts.values()) >= 140


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("words:?size=0", "from 1 to"),
        ("words:?size=999999999", "from 1 to [0-9,]+ for split=train"),
        ("words:?size=many", "size=many is not a whole number"),
        ("words:?seed=-1", "not a whole number"),
        ("words:?split=dev", "neither train nor test"),
        ("words:?sizes=3", "no 'sizes' here"),
        ("words:hard", "no 'hard' here"),
        ("words:?size", "write parameters as"),
        ("words:?size=1&size=2", "given twice"),
        ("gym:", "no such data set"),
        ("gym:chainsum", r"Did you mean gym:chain_sum\? There is ab, acre"),
        ("gym:chain_sum?min_term=2", r"Did you mean min_terms\? There is min_terms \(int\)"),
        ("gym:chain_sum?min_terms=two", "min_terms=two is not int"),
        ("gym:chain_sum?allow_negation=1", "allow_negation=1 is not bool"),
        ("gym:chain_sum?min_terms=5&max_terms=3", "refuses these parameters: max_terms"),
        ("gym:chain_sum?size=99999999999", "size is more than 2,147,483,648"),
        ("gym:spell_backward?min_word_len=-3", "refuses these parameters: min_word_len"),
    ],
)
def test_wrong_parameters_are_wrong_use(source: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_source(source, mapping={})


def test_reasoning_gym_gives_questions_with_gold_the_same_each_time() -> None:
    source = "gym:chain_sum?min_terms=2&max_terms=3&size=30&seed=1"
    questions = read(source)
    assert questions == read(source)
    assert len(questions) == 30
    assert questions[0].meta["source_dataset"] == "chain_sum"
    for q in questions:
        numbers = re.fullmatch(r".*: ([-+0-9 ]+) =", q.text)
        assert numbers is not None
        assert q.gold == str(sum(int(term) for term in re.findall(r"-?\d+", numbers[1].replace("- ", "-"))))


def test_two_seeds_of_reasoning_gym_give_different_questions() -> None:
    source = "gym:chain_sum?min_terms=4&max_terms=6&min_digits=2&max_digits=4&size=500&seed="
    assert {q.text for q in read(source + "1")}.isdisjoint(q.text for q in read(source + "2"))


def test_reasoning_gym_without_a_seed_can_still_be_run_again() -> None:
    assert read("gym:chain_sum?size=5") == read("gym:chain_sum?size=5")


def test_reasoning_gym_takes_booleans_floats_and_optional_values() -> None:
    assert len(read("gym:chain_sum?allow_negation=true&size=3")) == 3
    assert len(read("gym:propositional_logic?size=3&max_complexity=3")) == 3


def test_a_large_generated_source_is_generated_as_it_is_read() -> None:
    assert len(list(islice(open_source("gym:chain_sum?size=1000000000", mapping={}), 3))) == 3


def test_every_family_shows_an_example_that_starts_with_its_scheme() -> None:
    shown = examples()
    for start in ("questions.jsonl", "hf:", "gym:", "words:"):
        assert any(example.startswith(start) for example in shown)
    for example in shown:
        if example.startswith(("gym:", "words:")):
            assert isinstance(next(iter(open_source(example, mapping={}))), Question)
