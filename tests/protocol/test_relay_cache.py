"""The relay cache against a naive model: nothing is evicted, nothing forgotten early, nothing kept for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.relay_cache import RelayCache

HOUR, KEPT, QUOTA = 3600, 2 * 3600, 3
steps = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.sampled_from("xy"), st.integers(0, 2 * HOUR)), max_size=60
)


class Naive:
    """Every entry with its time; everything is computed anew."""

    def __init__(self):
        self.rows, self.now = [], 0

    def live(self, now):
        self.now = max(self.now, now)
        return [row for row in self.rows if (row[3] // HOUR + 1) * HOUR + KEPT > self.now]


@given(steps)
def test_against_the_model(actions):
    cache, model, now = RelayCache(quota=QUOTA, kept_seconds=KEPT), Naive(), 0
    for origin, number, remote, passed in actions:
        now += passed
        live = model.live(now)
        cache.expire(now)
        known = [row for row in live if row[:2] == (origin, str(number))]
        recorded = cache.recorded(origin, str(number))
        assert recorded == ({"of": known[0][3]} if known else None)
        if known:
            continue
        if sum(row[2] == remote for row in live) >= QUOTA:
            with pytest.raises(ProtocolError) as refused:
                cache.record(origin, str(number), remote, {"of": now}, now)
            assert refused.value.code is Code.QUOTA_EXCEEDED
        else:
            cache.record(origin, str(number), remote, {"of": now}, now)
            model.rows = [*live, (origin, str(number), remote, now)]
        assert cache.statistics()["entries"] == len(model.live(now))


def test_a_key_is_recorded_once():
    cache = RelayCache()
    cache.record("a.example", "1", "a.example", {}, 0)
    with pytest.raises(ValueError, match="before"):
        cache.record("a.example", "1", "t.example", {}, 1)
    cache.record("b.example", "1", "a.example", {}, 1)
    assert cache.statistics() == {"entries": 2, "remotes": 1}


def test_time_never_runs_backwards():
    cache = RelayCache(kept_seconds=KEPT)
    cache.record("a.example", "1", "a.example", {}, 10 * HOUR)
    cache.record("a.example", "2", "a.example", {}, 0)
    assert cache.expire(13 * HOUR - 1) == 0
    assert cache.expire(13 * HOUR) == 2
    assert cache.statistics() == {"entries": 0, "remotes": 0}
