"""Gradients of the adapter on 4-bit weights equal those on the dequantized weights.

bitsandbytes on CPU repacks the weights of a model in evaluation mode; afterwards gradients are silently wrong. These
tests fail if any step before a fit does that.
"""

from pathlib import Path

import pytest

from benchmarks.gradients import compared
from tests.lessons import sums
from tests.tiny import LAYERS, tiny_model


@pytest.fixture(scope="module")
def tiny(models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(models, tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("written_out", ["bfloat16", "float32"])
def test_gradients_on_nf4_weights_equal_those_on_dequantized_weights(written_out: str, tiny: str) -> None:
    result = compared(tiny, sums(4), written_out)
    assert result.matrices == 2 * 7 * LAYERS
    assert result.least > 0
    assert result.cosine > 0.995
    assert result.norm_error < 0.05
