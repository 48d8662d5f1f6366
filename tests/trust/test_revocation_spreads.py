"""A revocation reaches fifty servers through a network that loses a fifth (row B147); `make spread` for 1,000 seeds."""

from supervision.testing.simulation import simulate
from tests.trust.spread import spread


def test_a_revocation_reaches_everybody() -> None:
    results = simulate(spread, range(2), smaller=False)
    assert results.longest.lasted < 310
