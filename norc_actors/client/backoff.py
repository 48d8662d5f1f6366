"""When to try again: exponential back-off with jitter, as a pure function of the attempt."""

from norc_actors.ids import Random
from norc_actors.limits import BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS


def delay(attempt: int, random: Random, retry_after: float = 0.0) -> float:
    """Seconds before attempt number `attempt` (from 0): 50–250 ms at first, doubling, to 10–30 s; never below what the
    server asked for. The jitter keeps the clients of a restarted node from coming back at one instant."""
    low, high = BACKOFF_FIRST_SECONDS
    factor = 2.0 ** min(attempt, 16)
    share = int.from_bytes(random(4), "big") / 2**32
    top = min(high * factor, BACKOFF_MAX_SECONDS)
    bottom = min(low * factor, BACKOFF_MAX_SECONDS / 3)
    return max(bottom + (top - bottom) * share, retry_after * (1 + share / 4))
