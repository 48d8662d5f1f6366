"""How a revocation spreads: fifty servers, one in five datagrams lost, each way (row B147; issue 5).

    python -m supervision.testing.simulation tests/trust/spread.py:spread --seeds 0:1000 --jobs 2

What is promised: every server knows within 300 s, half of them within 2 s; whom it concerns closes at once when it
knows; and nobody records it twice.
"""

from statistics import median

import trio
from structlog.testing import capture_logs

from norc_actors.actors.trust.requests import RevokeTrust, StandingOf
from norc_actors.trust.revocation import Wish
from supervision.testing.simulation import Faults, Simulation, in_weather
from tests.support.trust_sim import HUBS, SimulatedServer, fifty

LOSSY = Faults(loss=0.2)
WITHIN, MEDIAN = 300.0, 2.0


@in_weather(LOSSY)
async def spread(simulation: Simulation) -> None:
    """See the module. The seed decides who revokes whom, when, and why."""
    with capture_logs():  # they tell the time of day, which is no seed's
        await told(simulation)


async def told(simulation: Simulation) -> None:
    """One revocation, from the word to the last who knows."""
    servers = list(fifty(simulation))
    dice = simulation.random
    revoker = servers[dice.randrange(HUBS)]
    victim = dice.choice([server for server in servers if server is not revoker])
    await trio.sleep(1 + 5 * dice.random())
    took = await revoked(simulation, servers, revoker, victim)
    times = sorted(took.values())
    simulation.record(f"{revoker.name} revoked {victim.name}: {[round(each, 2) for each in times]}")
    assert times[-1] <= WITHIN, f"the last one knew after {times[-1]:.1f} s"
    assert median(times) <= MEDIAN, f"half of them knew after {median(times):.1f} s"
    for server in servers:
        known = [one for one in server.audit if one.event_type == "trust_revoked"]
        assert len(known) <= 1, f"{server.name} recorded {[one.action for one in known]}"


async def revoked(
    simulation: Simulation, servers: list[SimulatedServer], revoker: SimulatedServer, victim: SimulatedServer
) -> dict[str, float]:
    """Revoke, and wait until all know; seconds until each did."""
    assert revoker.ledger is not None
    [certificate] = revoker.ledger.book.all_issued(victim.name, 0)
    reason = simulation.random.choice(("compromised_key", "policy_violation"))
    begun = trio.current_time()
    await revoker.ask(RevokeTrust(victim.name, Wish(reason=reason)))
    assert (await revoker.ask(StandingOf(victim.name))).ingress is None
    took: dict[str, float] = {}
    while len(took) < len(servers):
        now = trio.current_time() - begun
        assert now <= WITHIN, f"{len(servers) - len(took)} servers do not know"
        for server in servers:
            if server.name not in took and server.knows(revoker.name, certificate.id):
                took[server.name] = now
        await trio.sleep(0.05 if now < 2 * MEDIAN else 0.5)
    assert (await victim.ask(StandingOf(revoker.name))).egress is None
    return took
