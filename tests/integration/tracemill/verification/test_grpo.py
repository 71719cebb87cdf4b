"""The reward function of trl inside a real GRPO step, on the embedded model."""

from pathlib import Path
from typing import Any

import pytest

from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.verification import rewards
from tracemill.verification.rewards import trl_reward
from tracemill.weights import resolve

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # it imports trl and trains: a minute on a busy machine


def test_a_grpo_step_is_trained_on_its_rewards(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    given: list[list[float]] = []

    def reward(**columns: Any) -> list[float]:
        assert set(trl_reward(**columns)) <= {0.0, 1.0}
        # Other texts for its completions, so that each group has two different rewards.
        texts = ["The answer is 7.", "The answer is 8."] * (len(columns["completions"]) // 2)
        given.append(trl_reward(**{**columns, "completions": texts}))
        return given[-1]

    questions = Dataset.from_list([{"prompt": "What is 3 + 4?", "gold": "7"}] * 2)
    config = GRPOConfig(
        str(tmp_path / "grpo"),
        max_steps=1,
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=8,
        learning_rate=1e-2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
    )
    trainer = GRPOTrainer(resolve(EMBEDDED_MODEL, models), reward_funcs=reward, args=config, train_dataset=questions)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    assert given == [[1.0, 0.0, 1.0, 0.0]]
    (logged,) = [line for line in trainer.state.log_history if "reward" in line]
    assert logged["reward"] == 0.5
    assert any(not value.equal(before[name]) for name, value in trainer.model.named_parameters())
    if (verifier := rewards._verifier.pop()) is not None:
        verifier.close()
