"""The order of rows: every row as often as it should be, stage by stage, similar lengths together."""

from collections import Counter
from itertools import pairwise

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
    assert max(steps[0]) == max(lengths)  # a batch that needs too much memory fails at once


def test_an_epoch_that_ends_within_a_step_is_continued_in_it() -> None:
    seen = order(LENGTHS, [0] * 103, [2], 8, 0)
    lengths = [[LENGTHS[row] for row in seen[at : at + 8]] for at in range(0, 206, 8)]
    # A step has its longest row first; only step 12 spans two epochs.
    assert [number for number, step in enumerate(lengths) if step != sorted(step, reverse=True)] == [12]


def test_each_stage_begins_with_its_longest_row() -> None:
    stages = [int(row >= 48) for row in range(96)]
    seen = order(LENGTHS[:96], stages, [1, 1], 8, 0)
    assert LENGTHS[seen[0]] == max(LENGTHS[:48])
    assert LENGTHS[seen[48]] == max(LENGTHS[48:96])


def test_only_the_first_epoch_of_a_stage_begins_with_the_longest_row() -> None:
    lengths = list(range(1, 97))
    firsts = [lengths[order(lengths, [0] * 96, [2], 8, seed)[96]] for seed in range(40)]
    assert firsts.count(96) < 20


def test_long_and_short_steps_alternate_at_random() -> None:
    falls = []
    for seed in range(40):
        seen = order(LENGTHS[:96], [0] * 96, [1], 8, seed)
        longest = [LENGTHS[seen[at]] for at in range(8, 96, 8)]
        falls += [after < before for before, after in pairwise(longest)]
    assert sum(falls) / len(falls) == pytest.approx(0.5, abs=0.1)


def test_a_step_that_is_not_full_is_the_last_even_with_the_longest_row() -> None:
    lengths = [*range(1, 19), 50]
    for seed in range(40):
        seen = order(lengths, [0] * 19, [1], 8, seed)
        for step in (seen[:8], seen[8:16], seen[16:]):
            assert [lengths[row] for row in step] == sorted((lengths[row] for row in step), reverse=True)
