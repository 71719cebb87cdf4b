"""What an OpenAI-compatible server may send, and what is read out of it. All of it is hostile input.

Protocol: OpenAI API reference, "Chat completions"; `prompt_logprobs` is vLLM's addition to it (vLLM's documentation,
"OpenAI-Compatible Server", extra parameters).
"""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from workers.engines import Score

#: Postgres' largest integer: no server may claim more tokens than can be stored.
MOST_TOKENS = 2**31 - 1


class Said(BaseModel):
    """A message by the model."""

    content: str | None = None
    # Servers write a reasoning model's thoughts under either name.
    reasoning_content: str | None = None
    reasoning: str | None = None

    @property
    def text(self) -> str:
        """The thoughts, if any, between `<think>` marks, then the answer."""
        thoughts = self.reasoning_content or self.reasoning
        return (f"<think>{thoughts}</think>\n" if thoughts else "") + (self.content or "")


class Likely(BaseModel):
    """One token that could stand at a place."""

    token: str
    logprob: float = Field(allow_inf_nan=False)


class Place(BaseModel):
    """One place of the answer."""

    top_logprobs: list[Likely] = []


class Logprobs(BaseModel):
    """The answer, place by place."""

    content: list[Place] | None = None


class Choice(BaseModel):
    """One sample."""

    message: Said
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Usage(BaseModel):
    """The server's count of tokens."""

    prompt_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)
    completion_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)


class PromptToken(BaseModel):
    """One token of the prompt, as vLLM scores it."""

    logprob: float = Field(allow_inf_nan=False)
    decoded_token: str | None = None


class Answer(BaseModel):
    """The answer to a request."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None
    #: One entry a prompt token, by token number; the first has none, since nothing stands before it.
    prompt_logprobs: list[dict[str, PromptToken] | None] | None = None


def score_at_end(tokens: Sequence[dict[str, PromptToken] | None], continuation: str) -> Score | None:
    """The score of the prompt's last tokens, which spell `continuation`; null if no run of last tokens spells it.

    Spaces around it do not count: chat templates strip them, and some tokenizers add one.
    """
    wanted, spelt, logprob = continuation.strip(), "", 0.0
    for count, entry in enumerate(reversed(tokens), start=1):
        if not entry:
            return None
        token = next(iter(entry.values()))
        spelt, logprob = (token.decoded_token or "") + spelt, logprob + min(token.logprob, 0.0)
        if spelt.strip() == wanted:
            return Score(logprob, count)
        if len(spelt.strip()) > len(wanted):
            return None
    return None


def token_shares(total: int, texts: Sequence[str]) -> list[int]:
    """Share `total` tokens among texts by length: the sum is exact, and each gets one as long as there are enough."""
    least = min(1, total // len(texts))
    rest = total - least * len(texts)
    length = sum(map(len, texts)) or 1
    shares, read, given = [], 0, 0
    for text in texts[:-1]:
        read += len(text)
        upto = rest * read // length
        shares.append(least + upto - given)
        given = upto
    return [*shares, least + rest - given]
