"""Finish reasons in the words of servers: `stop`, `length`, `content_filter` or `error`.

The words are those of OpenAI, Anthropic, Gemini, Mistral, Cohere, DeepSeek, Zhipu, OpenRouter, vLLM, SGLang, TGI and
llama.cpp. An unknown reason stays as it is, in small letters, if it is short.
"""

from functools import lru_cache

from tracemill.text import storable

#: The reason of a sample that the server broke off.
FAILED = "error"
#: Longest reason of a server that is kept.
MAX_CHARACTERS = 64
_SYNONYMS = {
    "stop": "stop eos eos_token eos_token_id end_turn stop_sequence stop_token complete completed finish finished "
    "normal done tool_calls tool_call tool_use function_call pause_turn",
    "length": "length max_tokens max_length max_new_tokens max_output_tokens max_completion_tokens token_limit "
    "model_length context_length context_length_exceeded model_context_window_exceeded context_window_exceeded "
    "max_context_length limit truncated incomplete error_limit",
    "content_filter": "content_filter content_filtered safety recitation blocklist prohibited_content spii sensitive "
    "guardrail_intervened image_safety error_toxic",
    FAILED: "error abort aborted cancel canceled cancelled fail failed failure timeout network_error server_error "
    "internal_error insufficient_system_resource overloaded malformed_function_call unexpected_tool_call "
    "unspecified other",
}
_REASONS = {word: reason for reason, words in _SYNONYMS.items() for word in words.split()}


@lru_cache(maxsize=64)
def finish_reason_of(word: str | None) -> str | None:
    """The reason that a server's word stands for; None if the server gives none."""
    if not word or not word.strip():
        return None
    plain = storable(word[:MAX_CHARACTERS]).strip().casefold().replace("-", "_").replace(" ", "_")
    plain = plain.removeprefix("finish_reason_")
    return _REASONS.get(plain, plain)
