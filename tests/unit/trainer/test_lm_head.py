"""The last matrix in chunks: the logits, losses and gradients of the model itself, without a tensor of all logits."""

from typing import Any

import pytest

VOCABULARY, WIDTH, TOKENS = 50, 16, 23


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.lm_head.CHUNK", 4 * VOCABULARY)
    monkeypatch.setattr("trainer.lm_head.TILE", 8)
    monkeypatch.setattr("trainer.lm_head.KEPT", 0)


def _model(family: str, **settings: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    heads = {"num_key_value_heads": 1, "vocab_size": VOCABULARY, "pad_token_id": 0}
    config = AutoConfig.for_model(family, **shape, **heads, **settings)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("gemma2", {"final_logit_softcapping": 0.5, "head_dim": 8}),
        ("granite", {"logits_scaling": 8.0}),
        ("cohere", {"logit_scale": 0.25}),
    ],
)
def test_the_logits_are_those_of_the_model(family: str, settings: dict[str, Any]) -> None:
    import torch

    from trainer.lm_head import Head

    model = _model(family, **settings)
    ids = torch.arange(TOKENS)[None]
    head, states = Head.of(model), model.base_model(ids).last_hidden_state[0]
    expected = model(ids).logits[0]
    torch.testing.assert_close(head.logits(states), expected)
    labels = torch.arange(TOKENS) * 2
    log_probs = expected.log_softmax(-1)[torch.arange(TOKENS), labels]
    torch.testing.assert_close(head.log_probs(states, labels), log_probs)


@pytest.mark.parametrize("kept", [0, TOKENS * VOCABULARY])
@pytest.mark.parametrize("frozen", [True, False])
def test_losses_and_gradients_in_chunks_equal_those_of_all_logits(
    frozen: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    from trainer.lm_head import Head
    from trainer.objectives.logits import divergence

    monkeypatch.setattr("trainer.lm_head.KEPT", kept)
    torch.manual_seed(0)
    states = torch.randn(TOKENS, WIDTH, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, requires_grad=not frozen)
    learnt = [states] if frozen else [states, weight]
    labels, weights = torch.randint(VOCABULARY, (TOKENS,)), torch.rand(TOKENS)
    top = torch.randn(TOKENS, VOCABULARY).log_softmax(-1).topk(5)
    head = Head(weight, None, 1.0, None)

    def kl(logits: Any, ids: Any, logprobs: Any) -> Any:
        return divergence(logits, ids, logprobs, 2.0)

    logits = states @ weight.T
    pairs = [
        (-head.log_probs(states, labels), cross_entropy(logits, labels, reduction="none")),
        (head.in_chunks(kl, states, top.indices, top.values), kl(logits, top.indices, top.values)),
    ]
    for in_chunks, whole in pairs:
        torch.testing.assert_close(in_chunks, whole)
        gradients, expected = (
            torch.autograd.grad((weights * each).sum(), learnt, retain_graph=True) for each in (in_chunks, whole)
        )
        torch.testing.assert_close(gradients, expected)


def test_the_head_of_a_few_tokens_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from trainer.lm_head import Head

    class AgainError(Exception):
        """trl's function, which computes the logits again in the backward pass, was called."""

    def apply(*_: Any) -> None:
        raise AgainError

    monkeypatch.setattr("trainer.lm_head.ChunkedLogProbFunction.apply", apply)
    monkeypatch.setattr("trainer.lm_head.KEPT", TOKENS * VOCABULARY)
    head = Head(torch.randn(VOCABULARY, WIDTH), None, 1.0, None)
    assert head.log_probs(torch.randn(TOKENS, WIDTH), torch.arange(TOKENS)).shape == (TOKENS,)
    with pytest.raises(AgainError):
        head.log_probs(torch.randn(TOKENS + 1, WIDTH), torch.arange(TOKENS + 1))
