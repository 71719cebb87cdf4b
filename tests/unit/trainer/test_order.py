"""The order in which rows are seen: every row as often as it should be, stage after stage, like lengths together."""

from collections import Counter

import pytest

from trainer.order import order

LENGTHS = [(7 * row) % 97 + 1 for row in range(103)]


@pytest.mark.parametrize("batch", [1, 4, 16, 200])
def test_every_row_is_seen_once_an_epoch(batch: int) -> None:
    seen = order(LENGTHS, [0] * 103, [3], batch, 0)
    assert Counter(seen) == dict.fromkeys(range(103), 3)
    assert Counter(seen[:103]) == dict.fromkeys(range(103), 1)


def test_stages_come_one_after_the_other_with_epochs_of_their_own() -> None:
    stages = [row % 3 for row in range(103)]
    seen = order(LENGTHS, stages, [2, 1, 3], 8, 0)
    assert [stages[row] for row in seen] == [0] * 2 * 35 + [1] * 34 + [2] * 3 * 34


def test_a_seed_gives_the_same_order_again_and_another_gives_another() -> None:
    assert order(LENGTHS, [0] * 103, [2], 8, 1) == order(LENGTHS, [0] * 103, [2], 8, 1)
    assert order(LENGTHS, [0] * 103, [2], 8, 1) != order(LENGTHS, [0] * 103, [2], 8, 2)


def test_no_two_epochs_are_in_the_same_order() -> None:
    seen = order(LENGTHS, [0] * 103, [2], 8, 0)
    assert seen[:103] != seen[103:]


def test_rows_of_like_length_are_in_one_step_so_that_little_is_padding() -> None:
    lengths = LENGTHS * 8
    seen = order(lengths, [0] * len(lengths), [2], 8, 0)
    steps = [[lengths[row] for row in seen[at : at + 8]] for at in range(0, len(seen), 8)]
    padded = sum(max(step) * len(step) for step in steps)
    assert padded / sum(lengths[row] for row in seen) < 1.1
    assert max(steps[0]) == max(lengths)  # what needs too much memory fails at once


@pytest.mark.parametrize("epochs", [[2], [1, 2]])
def test_only_the_last_step_of_a_fit_is_not_full(epochs: list[int]) -> None:
    """An epoch that ends within a step is continued in it by the next one."""
    stages = [row % len(epochs) for row in range(103)]
    seen = order(LENGTHS, stages, epochs, 8, 0)
    assert len(seen) == sum(stages.count(stage) * times for stage, times in enumerate(epochs))
    steps = [seen[at : at + 8] for at in range(0, len(seen), 8)]
    # Where an epoch begins on a whole step, each step is sorted: the longest row first.
    first = len([row for row in stages if row == 0]) // 8
    for step in steps[:first]:
        assert [LENGTHS[row] for row in step] == sorted((LENGTHS[row] for row in step), reverse=True)


def test_each_stage_begins_with_its_longest_row() -> None:
    stages = [int(row >= 48) for row in range(96)]
    seen = order(LENGTHS[:96], stages, [1, 1], 8, 0)
    assert LENGTHS[seen[0]] == max(LENGTHS[:48])
    assert LENGTHS[seen[48]] == max(LENGTHS[48:96])


def test_later_epochs_do_not_begin_with_the_longest_row_each_time() -> None:
    firsts = {order(LENGTHS[:96], [0] * 96, [2], 8, seed)[96] for seed in range(20)}
    assert {LENGTHS[row] for row in firsts} != {max(LENGTHS[:96])}


def test_steps_are_shuffled_among_each_other() -> None:
    seen = order(LENGTHS[:96], [0] * 96, [1], 8, 0)
    longest = [LENGTHS[seen[at]] for at in range(8, 96, 8)]
    assert longest != sorted(longest, reverse=True)


def test_a_step_that_is_not_full_stays_the_last_however_long_its_rows() -> None:
    for seed in range(20):
        lengths = [1] * 16 + [50] * 3
        seen = order(lengths, [0] * 19, [1], 8, seed)
        assert Counter(seen) == dict.fromkeys(range(19), 1)
        assert max(lengths[row] for row in seen[:8]) == 50
