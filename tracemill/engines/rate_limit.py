"""How fast a server may be asked: limits that we were given, and those that it shows by answering 429.

A state machine without tasks or clocks: whoever asks tells it the time (in seconds, of a clock that never goes back)
and obeys. Three things hold a request back:

- the allowances of requests and of tokens a minute: the generic cell rate algorithm (ITU-T I.371), so that requests are
  spread over the minute and no part of it is lost;
- a pause that the server asked for, which holds for every request, since the limit is that of the key, not of one
  request;
- a rate that is infinite before the first 429. Each 429 lowers it by a factor, then it grows evenly (additive
  increase, multiplicative decrease: Chiu and Jain 1989). It is a rate, not a number in flight, because that is what
  hosted servers limit, and one short request after the other may be too many for them.
"""

import math
from dataclasses import dataclass

MINUTE = 60.0
#: So many seconds' worth may be asked for at once after a silence: long for a busy event loop, short for a server.
SLACK = 1.0
#: What is left of the rate after a 429. Half, as in TCP, would waste a quarter of what the server gives; from far above
#: the limit, a few cuts in a row come down as quickly.
CUT = 0.75
#: Seconds in which the rate has grown back to where it was cut, since most servers count by the minute. If the server
#: bears that, it can bear more than before: from then on the rate doubles in as many seconds.
RECOVERY = 60.0
#: The lowest rate, in requests a minute.
LOWEST = 1.0
#: Seconds over which the rate is measured that a 429 is an answer to, and the requests a minute that it is taken for at
#: least: after a silence, the measure would say that a server bears next to nothing.
MEASURED, LEAST_MEASURED = 10.0, 120.0
#: Bounds of the pause after a 429 that names none, in seconds: it doubles with each in a row.
FIRST_HOLD, LONGEST_HOLD = 0.5, 20.0
#: The longest that a server may tell us to wait, in seconds.
LONGEST_RETRY_AFTER = 60.0
#: Weight of the newest answer in the share of the expected tokens that answers really take.
NEWEST = 0.1


class Allowance:
    """Amounts that are granted at a rate, spread evenly."""

    def __init__(self) -> None:
        self._used_until = -math.inf

    def wait(self, now: float) -> float:
        """Seconds until the next amount is granted; 0: now."""
        return max(self._used_until - SLACK - now, 0.0)

    def take(self, now: float, amount: float, per_minute: float) -> None:
        """Use an amount. One that is larger than what is left holds back those that follow it."""
        # A little slower than the rate, so that the slack is not on top of it: in no minute more is granted.
        self._used_until = max(self._used_until, now) + amount * (MINUTE + SLACK) / per_minute

    def give_back(self, amount: float, per_minute: float) -> None:
        """What was taken was so much less (or, below 0, more) than thought."""
        self._used_until -= amount * (MINUTE + SLACK) / per_minute


@dataclass(frozen=True)
class Started:
    """A request in flight: when it began, the most tokens that it may take, and how many of them it was charged."""

    at: float
    most: float
    charged: float


class Pace:
    """What one engine may do now. Ask `wait` before each request; tell it of each start and of its one end."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests_per_minute = requests_per_minute or math.inf
        self._tokens_per_minute = tokens_per_minute or math.inf
        self._requests, self._tokens, self._bearable = Allowance(), Allowance(), Allowance()
        self._share, self._answers = 1.0, 0
        self._held_until = -math.inf
        self._busy_in_a_row = 0
        #: The rate when it was last cut, and when that was.
        self._before, self._cut_at = math.inf, -math.inf
        #: Starts, each counting less the longer ago it was, and when they were last counted.
        self._starts, self._counted_at = 0.0, 0.0

    def rate(self, now: float) -> float:
        """The requests a minute that the server seems to bear; infinite before the first 429."""
        since = (now - self._cut_at) / RECOVERY
        share = CUT + (1 - CUT) * since if since <= 1 else 2 ** min(since - 1, 100.0)
        return max(self._before * share, LOWEST)

    def wait(self, now: float) -> float:
        """Seconds until a request may start; 0: now."""
        allowed = max(self._requests.wait(now), self._tokens.wait(now), self._bearable.wait(now))
        return max(allowed, self._held_until - now)

    def start(self, now: float, most: float) -> Started:
        """A request starts that takes at most so many tokens. It is charged the share that others really took."""
        started = Started(now, most, most * self._share)
        self._requests.take(now, 1, self._requests_per_minute)
        self._tokens.take(now, started.charged, self._tokens_per_minute)
        self._bearable.take(now, 1, self.rate(now))
        self._starts = self._recent(now) + 1
        self._counted_at = now
        return started

    def answered(self, started: Started, tokens: int) -> None:
        """It was answered, and took so many tokens; 0: the server does not say."""
        self._busy_in_a_row = 0
        if tokens:
            self._tokens.give_back(started.charged - tokens, self._tokens_per_minute)
            self._answers += 1
            self._share += max(NEWEST, 1 / self._answers) * (min(tokens / started.most, 1.0) - self._share)

    def failed(self, now: float, started: Started, retry_after: float = 0.0) -> None:
        """It came to nothing, at a cost of no tokens; the server may have asked for a pause, in seconds."""
        self._tokens.give_back(started.charged, self._tokens_per_minute)
        self._hold(now + min(retry_after, LONGEST_RETRY_AFTER))

    def busy(self, now: float, started: Started, retry_after: float = 0.0) -> None:
        """It was answered 429. Those that started before the last cut say nothing new, but what pause they ask for."""
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
