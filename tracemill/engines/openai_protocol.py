"""The answers of an OpenAI-compatible server, and their samples. All of them are hostile input.

A field that is not needed never makes an answer unreadable, because the answer is paid for: a wrong count is 0, and
wrong log-probabilities are none.

Protocol: OpenAI API reference, "Chat completions" and "Streaming". vLLM adds `prompt_logprobs` and tokens as
`token_id:123` (vLLM's documentation, "OpenAI-Compatible Server", extra parameters).
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, WrapValidator, model_validator

from tracemill import thinking
from tracemill.engines import Completion, Score
from tracemill.engines.finish_reasons import FAILED, finish_reason_of
from tracemill.logprobs import LONGEST_ROW, MAX_IDS, TopK

#: The largest token count that a server may report: Postgres' largest integer.
MAX_TOKENS = 2**31 - 1
#: The largest number of likely tokens a position in the protocol.
MAX_TOP_LOGPROBS = 20
#: vLLM's log-probability of a token that has none.
UNKNOWN_LOGPROB = -9999.0
TOKEN_ID = re.compile(r"token_id:(\d{1,8})")


T = TypeVar("T")


def _otherwise(default: T) -> WrapValidator:
    """Replace a value of the wrong shape by `default`."""

    def validate(value: Any, parse: Callable[[Any], T]) -> T:
        try:
            return parse(value)
        except ValidationError:
            return default

    return WrapValidator(validate)


#: Replaces a value of the wrong shape by None.
or_none = _otherwise(None)
OptionalText = Annotated[str | None, or_none]
Count = Annotated[int, Field(ge=0, le=MAX_TOKENS), _otherwise(0)]


class ListedModel(BaseModel):
    """One model of a server."""

    id: str
    #: Longest prompt and answer together, in tokens. vLLM tells it; the protocol does not require it.
    max_model_len: int | None = Field(None, ge=1)


class Models(BaseModel):
    """The answer to `GET /models`."""

    data: list[ListedModel]


class ModelMessage(BaseModel):
    """A message by the model, or its next piece in a stream."""

    content: str | None = None
    # Some servers use the first name for a reasoning model's thoughts, others the second.
    reasoning_content: OptionalText = None
    reasoning: OptionalText = None
    #: The model's text if it refuses to answer.
    refusal: OptionalText = None

    @model_validator(mode="before")
    @classmethod
    def _join_parts(cls, message: Any) -> Any:
        """Join a content of several parts. Parts of thoughts become thoughts (Mistral)."""
        if not isinstance(message, dict) or not isinstance(message.get("content"), list | dict):
            return message
        content = message["content"]
        parts = [part_text(part) for part in (content if isinstance(content, list) else [content])]
        joined = {"content": "".join(text for text, is_thought in parts if not is_thought)}
        if thoughts := "".join(text for text, is_thought in parts if is_thought):
            joined["reasoning_content"] = thoughts
        return message | joined

    @property
    def thoughts(self) -> str:
        """The thoughts, if the server sends them separately."""
        return self.reasoning_content or self.reasoning or ""

    @property
    def answer(self) -> str:
        """The answer or the refusal."""
        return self.content or self.refusal or ""


def part_text(part: Any) -> tuple[str, bool]:
    """The text of a part of a content, and whether it is thoughts. Raises ValueError for a part without text."""
    if isinstance(part, str):
        return part, False
    if isinstance(part, dict):
        for name in ("thinking", "reasoning", "text"):
            text = part.get(name)
            if isinstance(text, list):
                text = "".join(part_text(piece)[0] for piece in text)
            if isinstance(text, str):
                return text, name != "text" or part.get("type") in ("thinking", "reasoning")
    raise ValueError("a part of the content has no text")


class LikelyToken(BaseModel):
    """One likely token at a position."""

    token: str
    logprob: float = Field(allow_inf_nan=False)

    @property
    def id(self) -> int | None:
        """The token's number; None if the server gives its text."""
        number = TOKEN_ID.fullmatch(self.token)
        return int(number[1]) if number and int(number[1]) < MAX_IDS else None


class Position(LikelyToken):
    """One position of the answer: the chosen token and the likeliest ones."""

    # vLLM leaves out unknown values of a chosen token.
    token: str = ""
    logprob: Annotated[float, Field(allow_inf_nan=False), _otherwise(UNKNOWN_LOGPROB)] = UNKNOWN_LOGPROB
    top_logprobs: list[Annotated[LikelyToken | None, or_none]] | None = None

    @property
    def likeliest(self) -> list[LikelyToken]:
        """The likeliest tokens that the server names with a log-probability."""
        return [likely for likely in self.top_logprobs or () if likely is not None]


class Logprobs(BaseModel):
    """The positions of the answer."""

    content: list[Position] | None = None


class Choice(BaseModel):
    """One sample."""

    message: ModelMessage
    finish_reason: OptionalText = None
    logprobs: Annotated[Logprobs | None, or_none] = None
    #: Why this sample failed, as some routers say it.
    error: Any = None

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, choice: Any) -> Any:
        """Read the text of a choice without a message, as servers of plain completions send it."""
        if isinstance(choice, dict) and choice.get("message") is None and isinstance(choice.get("text"), str):
            return choice | {"message": {"content": choice["text"]}}
        return choice

    @property
    def has_failed(self) -> bool:
        """Whether the server broke this sample off, so that its text is no answer."""
        return bool(self.error) or finish_reason_of(self.finish_reason) == FAILED

    @property
    def positions(self) -> list[Position]:
        """The positions of the answer; empty if the server does not give them."""
        return (self.logprobs and self.logprobs.content) or []

    @property
    def text(self) -> str:
        """The thoughts, if any, between thinking marks, then the answer. Cut-off thoughts get no closing mark."""
        thoughts, answer = self.message.thoughts, self.message.answer
        if not thoughts:
            return answer
        is_cut_off = self.end_reason == "length" and not answer
        return thinking.BEGIN + thoughts + ("" if is_cut_off else f"{thinking.END}\n{answer}")

    @property
    def end_reason(self) -> str | None:
        """`refusal` if the model refused to answer, otherwise the finish reason (`finish_reasons`)."""
        return "refusal" if self.message.refusal else finish_reason_of(self.finish_reason)


class Details(BaseModel):
    """The parts of a token count."""

    reasoning_tokens: Count = 0


class Usage(BaseModel):
    """The server's count of tokens."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    completion_tokens_details: Annotated[Details | None, or_none] = None


OptionalUsage = Annotated[Usage | None, or_none]


class PromptToken(BaseModel):
    """vLLM's score of one token of the prompt."""

    logprob: float = Field(allow_inf_nan=False)
    decoded_token: str | None = None


class Answer(BaseModel):
    """The answer to a request."""

    choices: list[Choice] = []
    usage: OptionalUsage = None
    #: Present instead of choices if the request failed with status 200.
    error: Any = None
    #: One entry for each prompt token, by token number. The first has none, because no token precedes it.
    prompt_logprobs: list[dict[str, PromptToken] | None] | None = None

    @model_validator(mode="after")
    def _has_choices(self) -> Self:
        if not self.choices and not self.error:
            raise ValueError("there are no choices")
        return self

    def joined(self, other: "Answer") -> "Answer":
        """The samples of two answers, and the counts of both together."""
        usages = (self.token_usage, other.token_usage)
        thoughts = (usage.completion_tokens_details or Details() for usage in usages)
        usage = Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in usages),
            completion_tokens=sum(usage.completion_tokens for usage in usages),
            completion_tokens_details=Details(reasoning_tokens=sum(each.reasoning_tokens for each in thoughts)),
        )
        return Answer(choices=[*self.choices, *other.choices], usage=usage)

    @property
    def token_usage(self) -> Usage:
        """The server's count of tokens; zeros if it gives none."""
        return self.usage or Usage()


def completions(answer: Answer, k: int) -> list[Completion]:
    """The samples of an answer. Raises LookupError if the k > 0 likely tokens a position are missing.

    A server counts the tokens of all samples together. A sample's count is the number of its positions if the server
    gives them. Otherwise it is a share in proportion to the text's length, and so are its thinking tokens. The shares
    add up to the server's count.
    """
    texts = [choice.text for choice in answer.choices]
    tokens = token_shares(answer.token_usage.completion_tokens, texts)
    tops = [top_k(choice, k) if k else None for choice in answer.choices]
    tokens = [share if top is None else len(top.chosen) for share, top in zip(tokens, tops, strict=True)]
    thinking = thinking_shares(answer.token_usage, texts, tokens)
    return [
        Completion(text, count, choice.end_reason, min(thought, count), top)
        for choice, text, count, thought, top in zip(answer.choices, texts, tokens, thinking, tops, strict=True)
    ]


def top_k(choice: Choice, k: int) -> TopK | None:
    """The k likeliest tokens of each position and the chosen token; None for a refused answer.

    Raises LookupError, which names the problem, if there are none or if they are texts instead of ids. Several tokens
    may share a text, so a text does not identify a token.
    """
    if not choice.positions and (choice.text or choice.end_reason in ("refusal", "content_filter")):
        if choice.end_reason in ("refusal", "content_filter"):
            return None
        raise LookupError("gives no log-probabilities")
    positions = []
    for position in choice.positions:
        likeliest = sorted(position.likeliest, key=lambda likely: -likely.logprob)[: min(k, LONGEST_ROW - 1)]
        row = {likely.id: min(likely.logprob, 0.0) for likely in [*likeliest, position]}
        known = {token: logprob for token, logprob in row.items() if token is not None}
        if position.id is None or len(known) < len(row) or len(known) < k:
            raise LookupError(f"gives no log-probabilities of the {k} likeliest tokens by token id")
        positions.append((position.id, known))
    return TopK.of(positions)


def thinking_shares(usage: Usage, texts: Sequence[str], tokens: Sequence[int]) -> list[int]:
    """The thinking tokens of each sample, from the server's count or from their share of the text."""
    thoughts = [thinking.length(text) for text in texts]
    counted = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    if counted:  # hidden thoughts are divided in proportion to the tokens
        return shares(counted, thoughts if any(thoughts) else tokens)
    return [
        round(count * thought / len(text)) if thought else 0
        for count, thought, text in zip(tokens, thoughts, texts, strict=True)
    ]


def token_shares(total: int, texts: Sequence[str]) -> list[int]:
    """Divide `total` tokens among texts by their length. Each text gets at least 1 if `total` suffices."""
    least = min(1, total // len(texts))
    return [least + share for share in shares(total - least * len(texts), [len(text) for text in texts])]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to the weights, with the sum `total`. The last gets all if all weights are 0."""
    if not any(weights):
        return [0] * (len(weights) - 1) + [total]
    limits = [total * weight // sum(weights) for weight in itertools.accumulate(weights, initial=0)]
    return [upper - lower for lower, upper in itertools.pairwise(limits)]


def score_at_end(tokens: Sequence[dict[str, PromptToken] | None], continuation: str) -> Score | None:
    """The score of the prompt's last tokens if they spell `continuation`, otherwise None.

    Spaces around it do not count: chat templates strip them, and some tokenizers add one.
    """
    stripped, spelt, logprob = continuation.strip(), "", 0.0
    for count, entry in enumerate(reversed(tokens), start=1):
        if not entry:
            return None
        token = next(iter(entry.values()))
        spelt, logprob = (token.decoded_token or "") + spelt, logprob + min(token.logprob, 0.0)
        if spelt.strip() == stripped:
            return Score(logprob, count)
        if len(spelt.strip()) > len(stripped):
            return None
    return None
