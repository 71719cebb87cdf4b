"""The forward passes of a step: padded tokens within the limit, and one long row apart from the others."""

from typing import Any

import pytest


def split(lengths: list[int], tokens: int, min_passes: int = 1) -> list[list[int]]:
    from trainer import passes  # it imports torch

    return passes.split(lengths, tokens, min_passes)


@pytest.mark.parametrize(("longest", "passes"), [(100, 1), (128, 1), (129, 2), (600, 6), (5000, 16)])
def test_a_step_is_split_until_each_pass_fits(longest: int, passes: int) -> None:
    assert len(split([longest] * 16, 2048)) == passes


def test_one_long_row_leaves_the_passes_of_the_others_unchanged() -> None:
    short = [100] * 15
    assert len(split(short, 2048)) == 1
    assert split([*short, 2048], 2048) == [[15], list(range(15))]


def test_every_row_is_in_one_pass_beside_rows_of_similar_length() -> None:
    passes = split([5, 40, 6, 41], 90)
    assert passes == [[3, 1], [2, 0]]


def test_a_step_has_as_many_passes_as_the_other_processes_make() -> None:
    assert split([10] * 5, 100, min_passes=3) == [[0, 1], [2], [3, 4]]
    assert split([10] * 5, 20, min_passes=2) == split([10] * 5, 20)
    assert split([10] * 2, 100, min_passes=3) == [[0], [1]]


def test_a_step_keeps_all_labels_and_each_passes_share_of_the_rows() -> None:
    import torch

    from trainer.passes import LENGTH, PassCollator

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {"labels": torch.tensor([[row["label"]] for row in rows])}

    rows = [{"label": label, LENGTH: length} for label, length in ((1, 10), (2, 10), (3, 25), (4, 10))]
    step = PassCollator(collate, 30)(rows)
    assert [inputs["labels"].tolist() for inputs in step["passes"]] == [[[3]], [[1], [2], [4]]]
    assert [inputs["share"] for inputs in step["passes"]] == [0.25, 0.75]
    assert sorted(step["labels"].tolist()) == [1, 2, 3, 4]
