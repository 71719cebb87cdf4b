"""Small chat templates that treat thoughts as the public ones of their families are documented to do.

They hold no system prompts, tools or dates. Each writes the turns of a conversation, and the start of the next turn.
"""

from typing import Any

from tests.tiny import byte_tokenizer

_LOOP = "{% for m in messages %}{% if m.role != 'assistant' %}USER{% else %}MODEL{% endif %}{% endfor %}NEXT"

#: ChatML: a turn of a user, and the start of a model's turn.
_CHATML = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
_CHATML_START = "<|im_start|>assistant\n"
#: Qwen3 writes the thoughts of the last turn, even empty ones. They are a field, or stand before `</think>`.
_QWEN3_TURN = (
    "{% set c = m.content %}{% set r = m.reasoning_content if m.reasoning_content is string else '' %}"
    "{% if not r and '</think>' in c %}{% set r = c.split('</think>')[0].split('<think>')[-1] %}"
    "{% set c = c.split('</think>')[-1] %}{% endif %}"
    "{{ '" + _CHATML_START + "<think>\n' + r.strip('\n') + '\n</think>\n\n' + c.lstrip('\n') + '<|im_end|>\n' }}"
)


def _template(user: str, model: str, following: str) -> str:
    """`following` is the start of a model's turn: text, or an expression in braces."""
    start = following if following.startswith("{") else "{{ '" + following + "' }}"
    then = "{% if add_generation_prompt %}" + start + "{% endif %}"
    return _LOOP.replace("USER", user).replace("MODEL", model).replace("NEXT", then)


#: By family: the template, and its tokens as (begin, end, marks, special).
_FAMILIES: dict[str, tuple[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]]] = {
    "Qwen3": (
        _template(
            _CHATML,
            _QWEN3_TURN,
            "{{ '" + _CHATML_START + "' }}{% if enable_thinking is defined and not enable_thinking %}"
            "{{ '<think>\n\n</think>\n\n' }}{% endif %}",
        ),
        ("<|im_start|>", "<|im_end|>", ("<think>", "</think>"), ()),
    ),
    # Its prompt opens the thoughts.
    "Qwen3-Thinking": (
        _template(_CHATML, _QWEN3_TURN, _CHATML_START + "<think>\n"),
        ("<|im_start|>", "<|im_end|>", ("<think>", "</think>"), ()),
    ),
    # Its prompt opens the thoughts, and its finished turns have none.
    "DeepSeek-R1-distill": (
        _template(
            "{{ '<|User|>' + m.content }}",
            "{{ '<|Assistant|>' + m.content.split('</think>')[-1] + '<|end_of_sentence|>' }}",
            "<|Assistant|><think>\n",
        ),
        ("<|User|>", "<|end_of_sentence|>", ("<think>", "</think>"), ("<|Assistant|>",)),
    ),
    # It knows no thoughts. A turn does not end with the tokenizer's end token.
    "Gemma 3": (
        _template(
            "{{ '<start_of_turn>' + m.role + '\n' + m.content | trim + '<end_of_turn>\n' }}",
            "{{ '<start_of_turn>model\n' + m.content | trim + '<end_of_turn>\n' }}",
            "<start_of_turn>model\n",
        ),
        ("<bos>", "<eos>", (), ("<start_of_turn>", "<end_of_turn>")),
    ),
    # Its turns repeat the text with its marks. Without thinking, both the prompt and the turn have empty thoughts.
    "SmolLM3": (
        _template(
            _CHATML,
            "{% if enable_thinking is defined and not enable_thinking %}"
            "{{ '" + _CHATML_START + "<think>\n\n</think>\n' + m.content.lstrip('\n') + '<|im_end|>\n' }}"
            "{% else %}{{ '" + _CHATML_START + "' + m.content.lstrip('\n') + '<|im_end|>\n' }}{% endif %}",
            "{{ '" + _CHATML_START + "' }}{% if enable_thinking is defined and not enable_thinking %}"
            "{{ '<think>\n\n</think>\n' }}{% endif %}",
        ),
        ("<|im_start|>", "<|im_end|>", ("<think>", "</think>"), ()),
    ),
    # Thoughts and answer are messages of two channels. Marks in the content are an error.
    "gpt-oss": (
        _template(
            "{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}",
            "{% if '<|channel|>' in m.content %}{{ raise_exception('pass thoughts in the field thinking') }}{% endif %}"
            "{% if m.thinking %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}"
            "{% endif %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}",
            "<|start|>assistant",
        ),
        ("<|start|>", "<|return|>", (), ("<|message|>", "<|channel|>", "<|end|>")),
    ),
    "Llama 3": (
        _template(
            *(
                "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
                for _ in range(2)
            ),
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("<|begin_of_text|>", "<|eot_id|>", (), ("<|start_header_id|>", "<|end_header_id|>")),
    ),
}

FAMILIES = tuple(_FAMILIES)


def tokenizer(family: str) -> Any:
    """A byte-level tokenizer with the small template of a family."""
    template, tokens = _FAMILIES[family]
    return byte_tokenizer(template, *tokens)


def template(family: str) -> str:
    """The small template of a family."""
    return _FAMILIES[family][0]
