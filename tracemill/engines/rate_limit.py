"""Rate limits of a server: those in the settings, and one learnt from its 429 answers.

A pure state machine without tasks or clocks: the caller passes the time, in seconds of a monotonic clock. Three limits
delay a request:

- The allowances of requests and tokens a minute. The generic cell rate algorithm (ITU-T I.371) distributes requests
  over the minute and loses no part of it.
- A pause that the server requests. It holds for every request, because the server limits the key, not one request.
- A rate that is infinite before the first 429. Each 429 lowers it by a factor, then it grows linearly (additive
  increase, multiplicative decrease: Chiu and Jain 1989). It limits requests a minute and not requests in flight,
  because hosted servers limit the former. Many short requests one after another may exceed such a limit too.
"""

import math
from dataclasses import dataclass

MINUTE = 60.0
#: After an idle time, the requests of this many seconds may start at once. A second is long for a busy event loop and
#: short for a server.
SLACK = 1.0
#: Factor of the rate after a 429. One half, as in TCP, would waste a quarter of the server's capacity. If the rate is
#: far too high, several cuts in a row lower it as quickly.
CUT = 0.75
#: Seconds until the rate reaches its value before the cut again, because most servers count by the minute. If no 429
#: follows, the server allows more than before. Then the rate doubles within the same time.
RECOVERY = 60.0
#: The lowest rate, in requests a minute.
LOWEST = 1.0
#: Seconds over which the current rate is measured when a 429 comes, and the least result in requests a minute. Without
#: this minimum, a 429 after an idle time would set a rate near 0.
MEASURED, LEAST_MEASURED = 10.0, 120.0
#: Bounds of the pause after a 429 without Retry-After, in seconds: it doubles with each one in a row.
FIRST_HOLD, LONGEST_HOLD = 0.5, 20.0
#: Longest Retry-After that is obeyed, in seconds.
LONGEST_RETRY_AFTER = 60.0
#: Weight of the newest answer in the average of used tokens divided by expected tokens.
NEWEST = 0.1


class Allowance:
    """A steady allowance: amounts a minute, distributed evenly."""

    def __init__(self) -> None:
        self._used_until = -math.inf

    def wait(self, now: float) -> float:
        """Seconds until the next amount is allowed. 0 means now."""
        return max(self._used_until - SLACK - now, 0.0)

    def take(self, now: float, amount: float, per_minute: float) -> None:
        """Use an amount. If it is larger than the rest of the allowance, the next ones wait longer."""
        # A little slower than the rate, so that no minute exceeds it despite the slack.
        self._used_until = max(self._used_until, now) + amount * (MINUTE + SLACK) / per_minute

    def give_back(self, amount: float, per_minute: float) -> None:
        """Return an amount that was not used; a negative one was used in addition."""
        self._used_until -= amount * (MINUTE + SLACK) / per_minute


@dataclass(frozen=True)
class Started:
    """A request in flight: its start, the largest number of its tokens, and the tokens charged for it."""

    at: float
    max_tokens: float
    charged: float


class Pace:
    """The rate limits of one engine.

    Call `wait` before each request, `start` when it starts, and one of `answered`, `failed` and `busy` when it ends.
    """

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests_per_minute = requests_per_minute or math.inf
        self._tokens_per_minute = tokens_per_minute or math.inf
        self._requests, self._tokens, self._bearable = Allowance(), Allowance(), Allowance()
        self._share, self._answers = 1.0, 0
        self._held_until = -math.inf
        self._busy_in_a_row = 0
        #: The rate before the last cut, and the time of that cut.
        self._before, self._cut_at = math.inf, -math.inf
        #: Number of starts, with less weight for older ones, and the time of this count.
        self._starts, self._counted_at = 0.0, 0.0

    def rate(self, now: float) -> float:
        """The requests a minute that the server seems to allow; infinite before the first 429."""
        since = (now - self._cut_at) / RECOVERY
        share = CUT + (1 - CUT) * since if since <= 1 else 2 ** min(since - 1, 100.0)
        return max(self._before * share, LOWEST)

    def wait(self, now: float) -> float:
        """Seconds until a request may start. 0 means now."""
        allowed = max(self._requests.wait(now), self._tokens.wait(now), self._bearable.wait(now))
        return max(allowed, self._held_until - now)

    def start(self, now: float, max_tokens: float) -> Started:
        """Record the start of a request, and charge it the average share of `max_tokens` that answers use."""
        started = Started(now, max_tokens, max_tokens * self._share)
        self._requests.take(now, 1, self._requests_per_minute)
        self._tokens.take(now, started.charged, self._tokens_per_minute)
        self._bearable.take(now, 1, self.rate(now))
        self._starts = self._recent(now) + 1
        self._counted_at = now
        return started

    def answered(self, started: Started, tokens: int) -> None:
        """Record an answer and its tokens. 0 means that the server gives no count."""
        self._busy_in_a_row = 0
        if tokens:
            self._tokens.give_back(started.charged - tokens, self._tokens_per_minute)
            self._answers += 1
            self._share += max(NEWEST, 1 / self._answers) * (min(tokens / started.max_tokens, 1.0) - self._share)

    def failed(self, now: float, started: Started, retry_after: float = 0.0) -> None:
        """Record a failure, which costs no tokens. `retry_after` is the server's requested pause in seconds."""
        self._tokens.give_back(started.charged, self._tokens_per_minute)
        self._hold(now + min(retry_after, LONGEST_RETRY_AFTER))

    def busy(self, now: float, started: Started, retry_after: float = 0.0) -> None:
        """Record a 429. Of a request that started before the last cut, only its requested pause counts."""
        self.failed(now, started, retry_after)
        if started.at <= self._cut_at:
            return
        measured = max(self._recent(now) * MINUTE / MEASURED, LEAST_MEASURED)
        self._before, self._cut_at = min(self.rate(now), measured), now
        if not retry_after:
            self._hold(now + min(FIRST_HOLD * 2**self._busy_in_a_row, LONGEST_HOLD))
        self._busy_in_a_row = min(self._busy_in_a_row + 1, 10)

    def _recent(self, now: float) -> float:
        return self._starts * math.exp((self._counted_at - now) / MEASURED)

    def _hold(self, until: float) -> None:
        self._held_until = max(self._held_until, until)
