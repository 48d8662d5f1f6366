"""Token buckets: how fast one source may go (§6.16, section 10).

A bucket of `burst` tokens refills at `rate` tokens per second. `take` either takes and returns 0.0, or takes nothing
and returns the seconds after which the same request would pass. Time is passed in and never runs backwards: an earlier
`now` counts as the last one, so a clock step cannot refill a bucket.
"""


class TokenBucket:
    """One source's allowance. `rate` in tokens per second, `burst` in tokens."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a token bucket needs a positive rate and room for one token")
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, tokens: float = 1.0) -> float:
        """Take `tokens` and return 0.0, or take nothing and return the seconds to wait."""
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        if self._tokens >= tokens:
            self._tokens -= tokens
            return 0.0
        return (tokens - self._tokens) / self._rate

    def full(self, now: float) -> bool:
        """Whether the bucket would be full at `now`: such a bucket holds nothing worth remembering."""
        return self._tokens + max(0.0, now - self._at) * self._rate >= self._burst
