"""What an OpenAI-compatible server may send, and what is read out of it. All of it is hostile input.

Protocol: OpenAI API reference, "Chat completions" and "Streaming"; `prompt_logprobs` and tokens written as
`token_id:123` are vLLM's additions to it (vLLM's documentation, "OpenAI-Compatible Server", extra parameters).
"""

import itertools
import re
from collections.abc import Sequence

from pydantic import BaseModel, Field

from tracemill import thinking
from tracemill.engines import Completion, Score
from tracemill.logprobs import LONGEST_ROW, MOST_IDS, TopK

#: Postgres' largest integer: no server may claim more tokens than can be stored.
MOST_TOKENS = 2**31 - 1
#: The most likely tokens a place that the protocol gives.
MOST_LIKELY = 20
TOKEN_ID = re.compile(r"token_id:(\d{1,8})")


class Said(BaseModel):
    """A message by the model, or in a stream the next piece of it."""

    content: str | None = None
    # Servers write a reasoning model's thoughts under either name.
    reasoning_content: str | None = None
    reasoning: str | None = None
    #: What it says instead when it will not answer.
    refusal: str | None = None

    @property
    def thoughts(self) -> str:
        """The thoughts, where the server keeps them apart."""
        return self.reasoning_content or self.reasoning or ""

    @property
    def answer(self) -> str:
        """The answer or the refusal."""
        return self.content or self.refusal or ""


class Likely(BaseModel):
    """One token that could stand at a place."""

    token: str
    logprob: float = Field(allow_inf_nan=False)

    @property
    def id(self) -> int | None:
        """The token's number; null if the server gives its text."""
        found = TOKEN_ID.fullmatch(self.token)
        return int(found[1]) if found and int(found[1]) < MOST_IDS else None


class Place(Likely):
    """One place of the answer: the token that was chosen, and those that were likely."""

    # vLLM leaves out what it does not know of a chosen token.
    token: str = ""
    logprob: float = Field(-9999.0, allow_inf_nan=False)
    top_logprobs: list[Likely] = []


class Logprobs(BaseModel):
    """The answer, place by place."""

    content: list[Place] | None = None


class Choice(BaseModel):
    """One sample."""

    message: Said
    finish_reason: str | None = None
    logprobs: Logprobs | None = None

    @property
    def places(self) -> list[Place]:
        """The tokens of the answer; empty if the server does not give them."""
        return (self.logprobs and self.logprobs.content) or []

    @property
    def text(self) -> str:
        """The thoughts, if any, between thinking marks, then the answer; thoughts that were cut off are not closed."""
        thoughts, answer = self.message.thoughts, self.message.answer
        if not thoughts:
            return answer
        is_cut_off = self.finish_reason == "length" and not answer
        return thinking.BEGIN + thoughts + ("" if is_cut_off else f"{thinking.END}\n{answer}")

    @property
    def ended(self) -> str | None:
        """Why it ended: `refusal` if the model would not answer, otherwise what the server says."""
        return "refusal" if self.message.refusal else self.finish_reason


class Details(BaseModel):
    """What the tokens were spent on."""

    reasoning_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)


class Usage(BaseModel):
    """The server's count of tokens."""

    prompt_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)
    completion_tokens: int = Field(default=0, ge=0, le=MOST_TOKENS)
    completion_tokens_details: Details | None = None


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

    @property
    def counted(self) -> Usage:
        """The server's count of tokens; zeros if it does not count."""
        return self.usage or Usage()


def completions(answer: Answer, k: int) -> list[Completion]:
    """The samples of an answer. Raises LookupError if k > 0 likely tokens a place were asked for and are not there.

    A server counts the tokens of all samples together. Each sample's are its places if the server gave them, otherwise
    its share by text length; its thoughts are shared likewise. The shares add up to the server's count.
    """
    texts = [choice.text for choice in answer.choices]
    tokens = token_shares(answer.counted.completion_tokens, texts)
    tops = [top_k(choice, k) if k else None for choice in answer.choices]
    tokens = [share if top is None else len(top.chosen) for share, top in zip(tokens, tops, strict=True)]
    thinking = thinking_shares(answer.counted, texts, tokens)
    return [
        Completion(text, count, choice.ended, min(thought, count), top)
        for choice, text, count, thought, top in zip(answer.choices, texts, tokens, thinking, tops, strict=True)
    ]


def top_k(choice: Choice, k: int) -> TopK | None:
    """The k likeliest tokens of each place, and the chosen one. Null for an answer that the server held back.

    Raises LookupError, with what is missing, if there are none or if they are texts: many tokens share a text, and no
    other model's tokenizer could tell which was meant.
    """
    if not choice.places and (choice.text or choice.ended in ("refusal", "content_filter")):
        if choice.ended in ("refusal", "content_filter"):
            return None
        raise LookupError("gives no log-probabilities")
    places = []
    for place in choice.places:
        likeliest = sorted(place.top_logprobs, key=lambda likely: -likely.logprob)[: min(k, LONGEST_ROW - 1)]
        row = {likely.id: min(likely.logprob, 0.0) for likely in [*likeliest, place]}
        known = {token: logprob for token, logprob in row.items() if token is not None}
        if place.id is None or len(known) < len(row) or len(known) < k:
            raise LookupError(f"gives no log-probabilities of the {k} likeliest tokens by token id")
        places.append((place.id, known))
    return TopK.of(places)


def thinking_shares(usage: Usage, texts: Sequence[str], tokens: Sequence[int]) -> list[int]:
    """How many tokens of each sample are thoughts, by the server's count or by their share of the text."""
    thoughts = [thinking.length(text) for text in texts]
    counted = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    if counted:  # thoughts that are counted and not shown are shared as the tokens are
        return shares(counted, thoughts if any(thoughts) else tokens)
    return [
        round(count * thought / len(text)) if thought else 0
        for count, thought, text in zip(tokens, thoughts, texts, strict=True)
    ]


def token_shares(total: int, texts: Sequence[str]) -> list[int]:
    """Share `total` tokens among texts by length: the sum is exact, and each gets one as long as there are enough."""
    least = min(1, total // len(texts))
    return [least + share for share in shares(total - least * len(texts), [len(text) for text in texts])]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to the weights, whose sum is `total`; the last gets all if none has any weight."""
    if not any(weights):
        return [0] * (len(weights) - 1) + [total]
    whole, read, found = sum(weights), 0, [0]
    for weight in weights:
        read += weight
        found.append(total * read // whole)
    return [upto - before for before, upto in itertools.pairwise(found)]


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
