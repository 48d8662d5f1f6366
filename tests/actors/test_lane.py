"""Lanes: every row once and in order, whatever the interleaving of commits, offers, reads and acknowledgements."""

from hypothesis import given
from hypothesis import strategies as st

from norc_actors.actors.connections.lane import Lane


@given(st.lists(st.sampled_from(["commit", "offer", "begin", "end", "ack"]), max_size=200), st.integers(1, 5))
def test_every_row_once_in_order_and_never_more_than_the_limit(steps: list[str], limit: int) -> None:
    lane = Lane(limit)
    stored: list[int] = []
    unoffered: list[int] = []
    unacked: list[int] = []
    pushed: list[int] = []
    reading: tuple[list[int], int] | None = None

    def step(name: str) -> None:
        nonlocal reading
        if name == "commit":
            stored.append(len(stored) + 1)
            unoffered.append(stored[-1])
        elif name == "offer" and unoffered:
            number = unoffered.pop(0)
            if lane.offer(number):
                pushed.append(number)
                unacked.append(number)
        elif name == "begin" and reading is None and lane.wants_fetch:
            after, asked = lane.begin_fetch()
            reading = ([n for n in stored if n > after][:asked], asked)
        elif name == "end" and reading is not None:
            rows, asked = reading
            lane.fetched(rows, asked)
            pushed.extend(rows)
            unacked.extend(rows)
            reading = None
        elif name == "ack" and unacked:
            unacked.pop(0)
            lane.settle()

    for name in steps:
        step(name)
        assert len(unacked) <= limit
    for _ in range(20 * (len(stored) + 5)):
        for name in ("offer", "end", "begin", "ack"):
            step(name)
    assert pushed == stored


def test_a_new_lane_reads_the_store_first() -> None:
    lane = Lane(4)
    assert lane.wants_fetch
    assert not lane.offer(1)
