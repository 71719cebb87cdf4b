"""Every key of [select] in a real Postgres: thresholds, balance, budgets, pairs, stages."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db.session import transaction
from tests.integration.rounds import job, new_round, question, round_spec, trace
from tracemill.stack import Stack
from trainer.select.choose import Selection, select
from trainer.spec import RoundSpec

#: The number of accepted traces, of eight, for questions of each difficulty.
ACCEPTED = {"easy": 8, "medium": 4, "hard": 1}


def _spec(name: str = "r1", curriculum: dict[str, Any] | None = None, objective: str = "sft", **keys: Any) -> RoundSpec:
    spec = round_spec(name, select={"max_per_question": 0, **keys}, fit={"objective": objective})
    return RoundSpec.model_validate(spec.model_dump() | {"curriculum": curriculum})


def _selected(spec: RoundSpec) -> tuple[Selection, list[Any]]:
    """Select the round; return the selection and its rows of `examples` with their contents."""
    with transaction() as connection:
        round_id = new_round(connection, spec)
        selection = select(connection, round_id, spec)
        rows = connection.execute(
            text(
                "select e.*, t.text, t.tokens_out, t.question_id from examples e join traces t on t.id = e.trace_id "
                "where round_id = :id order by stage, position, role"
            ),
            {"id": round_id},
        ).all()
    assert selection.traces == sum(selection.removed.values()) + selection.kept
    return selection, list(rows)


def _set(connection: Connection, trace_id: int, tokens: int = 10, **verdict: Any) -> None:
    connection.execute(text("update traces set tokens_out = :n where id = :id"), {"n": tokens, "id": trace_id})
    for column, value in verdict.items():
        statement = text(f"update verdicts set {column} = :value where trace_id = :id")
        connection.execute(statement, {"value": value, "id": trace_id})


def _settled(connection: Connection, job_id: int, question_id: int, accepted: int) -> None:
    connection.execute(
        text("update job_questions set settled = 8, accepted = :n where job_id = :job and question_id = :question"),
        {"n": accepted, "job": job_id, "question": question_id},
    )


@pytest.fixture
def graded(clean: Stack) -> Iterator[None]:
    """Six easy, two medium and one hard question with eight traces each of 10, 20, … 80 tokens and 1, 2, … 8 steps."""
    with transaction() as connection:
        grades = [name for name, count in (("easy", 6), ("medium", 2), ("hard", 1)) for _ in range(count)]
        ids = [question(connection, f"{grade} question number {n}?") for n, grade in enumerate(grades)]
        teach = job(connection, "teach", ids)
        for question_id, grade in zip(ids, grades, strict=True):
            _settled(connection, teach, question_id, ACCEPTED[grade])
            for index in range(8):
                accepted = index < ACCEPTED[grade]
                made = trace(
                    connection, teach, question_id, f"{grade} {question_id} {index}", index=index, accepted=accepted
                )
                _set(connection, made, 10 * (index + 1), steps=index + 1)
    return


def test_a_threshold_removes_values_outside_it_and_unknown_values(clean: Stack) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 3 + 4?")
        whole = {"ungrounded": 0, "equations_compound": 0, "unused": 0}
        teach = job(connection, "teach", [question_id])
        good = trace(connection, teach, question_id, "good")
        _set(connection, good, steps=2, faithfulness=0.7, signals='{"rating": 0.6}', **whole)
        few = trace(connection, teach, question_id, "too few steps", index=1)
        _set(connection, few, steps=1, faithfulness=0.9, signals='{"rating": 0.8}', **whole)
        low = trace(connection, teach, question_id, "rated too low", index=2)
        _set(connection, low, steps=2, faithfulness=0.9, signals='{"rating": 0.2}', **whole)
        unknown = trace(connection, teach, question_id, "not judged", index=3)
        _set(connection, unknown, steps=2, signals='{"rating": 0.8}', **whole)
        loose = trace(connection, teach, question_id, "with a number from nowhere", index=4)
        _set(connection, loose, steps=2, faithfulness=0.9, signals='{"rating": 0.8}', **whole | {"ungrounded": 1})
        for index, score in enumerate(("equations_compound", "unused"), 5):
            skips = trace(connection, teach, question_id, f"that skips a step: {score}", index=index)
            _set(connection, skips, steps=2, faithfulness=0.9, signals='{"rating": 0.8}', **whole | {score: 1})
    least = {"steps": 2, "faithfulness": 0.7, "rating": 0.6}
    selection, rows = _selected(_spec(at_least=least, at_most=whole))
    assert [row.trace_id for row in rows] == [good]
    assert selection.removed == {
        "at_least.faithfulness": 1,
        "at_least.rating": 1,
        "at_least.steps": 1,
        "at_most.ungrounded": 1,
        "at_most.equations_compound": 1,
        "at_most.unused": 1,
    }


@pytest.mark.parametrize(
    ("keys", "left", "removed"),
    [
        ({}, {"right"}, {"unverified": 1, "accepted": 2}),
        ({"accepted": False}, {"wrong", "right, but by luck"}, {"unverified": 1, "accepted": 1}),
        ({"accepted": False, "correct": True}, {"right, but by luck"}, {"unverified": 1, "accepted": 1, "correct": 1}),
        ({"accepted": "any"}, {"right", "wrong", "right, but by luck", "unread"}, {}),
        ({"accepted": "any", "concludes": True}, {"right"}, {"concludes": 3}),
        ({"accepted": "any", "methods": ["stepwise"]}, set(), {"methods": 4}),
        ({"accepted": "any", "models": ["teacher"], "methods": ["cot"]}, None, {}),
        ({"domains": ["math"], "datasets": ["elsewhere"]}, set(), {"datasets": 4}),
        ({"accepted": "any", "domains": ["code"]}, set(), {"domains": 4}),
        ({"accepted": "any", "since": "2000-01-01", "until": "2001-01-01"}, set(), {"until": 4}),
        ({"accepted": "any", "since": "2999-01-01"}, set(), {"since": 4}),
    ],
)
def test_a_filter_removes_the_other_traces(
    clean: Stack, keys: dict[str, Any], left: set[str] | None, removed: dict[str, int]
) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 3 + 4?")
        teach = job(connection, "teach", [question_id])
        _set(connection, trace(connection, teach, question_id, "right"), concludes=True)
        trace(connection, teach, question_id, "wrong", index=1, accepted=False)
        _set(
            connection,
            trace(connection, teach, question_id, "right, but by luck", index=2, accepted=False),
            correct=True,
        )
        trace(connection, teach, question_id, "unread", index=3, accepted=None)
        spec = _spec(**keys)
        if left == set():
            with pytest.raises(Exception, match=f"4 are left out by `{next(iter(removed))}`"):
                select(connection, new_round(connection, spec), spec)
            return
    selection, rows = _selected(spec)
    assert selection.removed == removed
    assert {row.text for row in rows} == (left or {"right", "wrong", "right, but by luck", "unread"})


def test_traces_that_were_cut_off_are_left_out_unless_the_round_takes_them(clean: Stack) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 3 + 4?")
        teach = job(connection, "teach", [question_id])
        for index, reason in enumerate(("stop", "length", None)):  # None: imported, or the server gave no reason
            made = trace(connection, teach, question_id, f"ended by {reason}", index=index)
            connection.execute(text("update traces set finish_reason = :r where id = :id"), {"r": reason, "id": made})
    selection, rows = _selected(_spec())
    assert sorted(row.text for row in rows) == ["ended by None", "ended by stop"]
    assert selection.removed == {"finished": 1}
    _, rows = _selected(_spec("r2", finished=False))
    assert len(rows) == 3


def test_since_is_inclusive_and_until_is_exclusive(clean: Stack) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 3 + 4?")
        teach = job(connection, "teach", [question_id])
        for index, stored in enumerate(("11:59:59.999999", "12:00", "12:59:59.999999", "13:00")):
            made = trace(connection, teach, question_id, stored, index=index)
            statement = text("update traces set created_at = cast(:at as timestamptz) where id = :id")
            connection.execute(statement, {"at": f"2026-11-01 {stored} UTC", "id": made})
    selection, rows = _selected(_spec(since="2026-11-01T12:00:00", until="2026-11-01T14:00:00+01:00"))
    assert sorted(row.text for row in rows) == ["12:00", "12:59:59.999999"]
    assert selection.removed == {"since": 1, "until": 1}


@pytest.mark.parametrize(
    ("balance", "examples"),
    [
        (1.0, {"easy": 48, "medium": 8, "hard": 1}),
        (0.5, {"easy": 20, "medium": 8, "hard": 1}),
        (0.0, {"easy": 8, "medium": 8, "hard": 1}),
    ],
)
def test_easy_questions_are_thinned_towards_those_of_the_middle(
    graded: None, balance: float, examples: dict[str, int]
) -> None:
    selection, rows = _selected(_spec(balance=balance))
    assert selection.difficulties == examples
    assert Counter(row.text.partition(" ")[0] for row in rows) == examples


def test_examples_stop_before_their_tokens_exceed_the_budget(graded: None) -> None:
    everything, _ = _selected(_spec("all"))
    selection, rows = _selected(_spec("some", tokens=500))
    assert selection.tokens == sum(row.tokens_out for row in rows)
    assert 420 < selection.tokens <= 500 < everything.tokens


def test_a_budget_of_exactly_the_tokens_there_are_removes_none(graded: None) -> None:
    everything, _ = _selected(_spec("all"))
    exact, _ = _selected(_spec("exact", tokens=everything.tokens))
    less, _ = _selected(_spec("less", tokens=everything.tokens - 1))
    assert (exact.examples, less.examples) == (everything.examples, everything.examples - 1)


@pytest.mark.parametrize(
    ("max_per_question", "examples"), [(3, 6 * 3 + 2 * 3 + 1), (4, 6 * 4 + 2 * 4 + 1), (5, 6 * 5 + 2 * 4 + 1)]
)
def test_a_question_has_at_most_its_number_of_examples(graded: None, max_per_question: int, examples: int) -> None:
    selection, rows = _selected(_spec(max_per_question=max_per_question))
    assert selection.examples == examples
    assert max(Counter(row.question_id for row in rows).values()) == max_per_question


@pytest.mark.parametrize(("limit", "examples"), [(56, 56), (57, 57), (58, 57)])
def test_a_limit_is_reached_and_not_passed(graded: None, limit: int, examples: int) -> None:
    assert _selected(_spec(limit=limit))[0].examples == examples


def _tokens(rows: list[Any]) -> Counter[str]:
    """The number of examples and tokens per difficulty."""
    tokens: Counter[str] = Counter()
    for row in rows:
        tokens[row.text.partition(" ")[0]] += row.tokens_out
    return tokens


def test_like_matches_the_tokens_of_another_round_per_difficulty(graded: None) -> None:
    _, like_rows = _selected(_spec("verified", balance=0, seed=1))
    selection, rows = _selected(_spec("control", accepted="any", like="verified", seed=2))
    assert "like" in selection.removed
    model, control = _tokens(like_rows), _tokens(rows)
    assert control.keys() <= model.keys()
    for difficulty, tokens in model.items():
        assert tokens - 80 < control[difficulty] <= tokens  # the next trace, of at most 80 tokens, exceeds the limit


def test_like_selects_all_traces_of_a_round_on_the_same_traces(graded: None) -> None:
    like, _ = _selected(_spec("verified", balance=0))
    selection, _ = _selected(_spec("again", balance=0, like="verified"))
    assert (selection.examples, selection.tokens, selection.removed) == (like.examples, like.tokens, like.removed)


def test_pairs_count_the_tokens_of_both_traces_in_a_round_like_another(graded: None) -> None:
    like, _ = _selected(_spec("verified", objective="preference"))
    selection, _ = _selected(_spec("again", objective="preference", like="verified"))
    assert (selection.examples, selection.tokens) == (like.examples, like.tokens)


def test_the_same_seed_chooses_the_same_again_through_every_filter(graded: None) -> None:
    keys: dict[str, Any] = {"balance": 0.5, "tokens": 900, "near_duplicates": 0.9, "limit": 12}
    runs = [_selected(_spec(name, seed=seed, **keys))[1] for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    chosen = [[(row.trace_id, row.position, row.stage) for row in rows] for rows in runs]
    assert chosen[0] == chosen[1] != chosen[2]


def test_nearly_the_same_text_counts_once(clean: Stack) -> None:
    story = "First the baker counts the loaves on the shelf and finds that there are twelve of them in all. "
    with transaction() as connection:
        ids = [question(connection, f"How many loaves has baker {name}?") for name in ("Ann", "Bob")]
        teach = job(connection, "teach", ids)
        trace(connection, teach, ids[0], story * 2 + "So the answer is 12.")
        trace(connection, teach, ids[0], story * 2 + "Hence the answer is 12.", index=1)
        trace(connection, teach, ids[0], "Twelve loaves are on the shelf, as was said at the start: 12.", index=2)
        trace(connection, teach, ids[1], "Bob bought them elsewhere, so we add one. The answer is 13.")
    selection, _ = _selected(_spec(near_duplicates=0.7))
    assert (selection.removed, selection.examples) == ({"near_duplicates": 1}, 3)


def test_the_same_words_on_another_question_are_no_near_duplicate(clean: Stack) -> None:
    with transaction() as connection:
        ids = [question(connection, f"{name} has how many loaves on which of the shelves?") for name in ("Ann", "Bob")]
        questions = [
            *ids,
            question(connection, "In a field of tall wheat a farmer sees a flock of crows: how large is it?"),
        ]
        teach = job(connection, "teach", questions)
        for question_id in questions:
            trace(connection, teach, question_id, "There are twelve.")
    selection, rows = _selected(_spec(near_duplicates=0.6))
    assert (selection.removed, selection.examples) == ({"near_duplicates": 1}, 2)
    assert questions[2] in {row.question_id for row in rows}


def test_a_wrong_trace_that_is_nearly_a_right_one_stays_for_a_pair(clean: Stack) -> None:
    story = "First the baker counts the loaves on the shelf and finds that there are twelve of them in all. " * 2
    with transaction() as connection:
        question_id = question(connection, "How many loaves has the baker?")
        teach = job(connection, "teach", [question_id])
        trace(connection, teach, question_id, story + "The answer is 12.")
        for index in (1, 2):
            trace(connection, teach, question_id, story + f"The answer is 1{index + 2}.", index=index, accepted=False)
    selection, _ = _selected(_spec(near_duplicates=0.7, objective="preference"))
    assert (selection.examples, selection.removed) == (1, {"near_duplicates": 1})


def test_thirds_by_length_go_from_short_to_long(graded: None) -> None:
    selection, rows = _selected(_spec(curriculum={"by": "length"}))
    assert selection.stages == [19, 19, 19]
    longest = [max(row.tokens_out for row in rows if row.stage == stage) for stage in range(3)]
    shortest = [min(row.tokens_out for row in rows if row.stage == stage) for stage in range(3)]
    assert longest[0] <= shortest[1] <= longest[1] <= shortest[2]
    assert sorted(row.position for row in rows) == list(range(57))


def test_four_levels_of_complexity_go_from_few_steps_to_many(graded: None) -> None:
    selection, rows = _selected(_spec(curriculum={"by": "complexity"}))
    assert len(selection.stages) == 4
    last = [row.tokens_out for row in rows if row.stage == 3]
    assert min(last) >= max(row.tokens_out for row in rows if row.stage == 0)


def test_complexity_orders_by_steps_before_tokens(clean: Stack) -> None:
    with transaction() as connection:
        question_id = question(connection, "What is 3 + 4?")
        teach = job(connection, "teach", [question_id])
        for index, (steps, tokens) in enumerate(((2, 10), (1, 40), (1, 30), (2, 20))):
            made = trace(connection, teach, question_id, f"{steps} steps, {tokens} tokens", index=index)
            _set(connection, made, tokens, steps=steps)
    _, rows = _selected(_spec(curriculum={"by": "complexity"}))
    stages = {row.text: row.stage for row in rows}
    assert sorted(stages, key=lambda each: stages[each]) == [
        "1 steps, 30 tokens",
        "1 steps, 40 tokens",
        "2 steps, 10 tokens",
        "2 steps, 20 tokens",
    ]


def test_stages_by_pass_rate_go_from_easy_to_hard(graded: None) -> None:
    _, rows = _selected(_spec(curriculum={"by": "pass_rate", "epochs": [1, 2]}, balance=0))
    grades = [row.text.partition(" ")[0] for row in rows if row.stage == 0]
    assert set(grades) == {"easy", "medium"}
    assert {row.text.partition(" ")[0] for row in rows if row.stage == 1} == {"medium", "hard"}


def test_pairs_are_a_right_and_a_wrong_trace_of_one_question(graded: None) -> None:
    with transaction() as connection:
        easy = connection.execute(text("select min(id) from questions")).scalar_one()
        contrast = job(connection, "contrast", [easy])
        connection.execute(text("update jobs set negative = true where id = :id"), {"id": contrast})
        made_up = trace(connection, contrast, easy, "made up to be wrong")
        trace(connection, contrast, easy, "meant to be wrong, but is right", index=1, accepted=False)
    jobs = ["teach", "contrast"]
    selection, rows = _selected(_spec("all", objective="preference", jobs=jobs))
    # The easy question has one wrong trace, each medium one four of each kind, the hard one a single right one.
    assert (selection.examples, selection.kept) == (1 + 4 + 4 + 1, 20)
    assert selection.removed == {"accepted": 1, "unpaired": 57 - 10 + 6}
    pairs = [(rows[at], rows[at + 1]) for at in range(0, len(rows), 2)]
    for chosen, rejected in pairs:
        assert (chosen.role, rejected.role) == ("chosen", "rejected")
        assert (chosen.stage, chosen.position) == (rejected.stage, rejected.position)
        assert chosen.question_id == rejected.question_id
    assert made_up in [rejected.trace_id for _, rejected in pairs]
    assert selection.tokens == sum(row.tokens_out for row in rows)


def test_max_per_question_limits_the_pairs(graded: None) -> None:
    spec = round_spec("few", select={"max_per_question": 2}, fit={"objective": "preference"})
    selection, _ = _selected(spec)
    assert (selection.examples, selection.removed["max_per_question"]) == (2 + 2 + 1, 8)


def test_logit_distillation_excludes_traces_without_log_probabilities(graded: None) -> None:
    with transaction() as connection:
        connection.execute(
            text(
                "insert into trace_logprobs (trace_id, top_k, tokens, encoding, payload) "
                "select trace_id, 8, 10, 'none', '' from verdicts where accepted order by trace_id limit 5"
            )
        )
    selection, _ = _selected(_spec(objective="logits"))
    assert (selection.examples, selection.removed) == (5, {"accepted": 15, "logprobs": 52})
