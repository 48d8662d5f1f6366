"""route_manager: over whose link what is for a server leaves (section 8, *Relay*; F§5.3; rows B117, B126).

Rules
- The direct link is the way, unless the configuration names transits for the target: then they stand in for it whenever
  the direct one has been away for `limits.REROUTE_SECONDS`, in the order of the configuration, and give way again as
  soon as it stands.
- Whether a transit is permitted is not decided here: the relay's checks ask the trust relations, on both sides.
- A message_relay that has something for a target says `Wanted`; it is told a `Route` at once and whenever it changes.

Owns which links stand and who wants what. Memory only: links tell their status again, and relays ask again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.federation.requests import Connect, LinkChanged, Route, Wanted
from norc_actors.ids import ServerId
from supervision import ActorRef, Down, GenServer
from supervision.partition import route


@dataclass(frozen=True, slots=True)
class _Look:
    """Info: time to look at a target's ways again."""

    target: ServerId


class RouteManager(GenServer):
    """See the module. `transits` has, per target, the servers that may hand on what is for it."""

    def __init__(self, *, transits: Mapping[ServerId, Sequence[ServerId]]) -> None:
        self._transits = transits
        self._links: dict[ServerId, ActorRef] = {}
        self._away: dict[ServerId, float] = {}
        self._told: dict[ServerId, ActorRef | None] = {}

    async def handle_cast(self, message: object) -> None:
        match message:
            case Wanted(target=target):
                self._told.setdefault(target, None)
                await self._choose(target)
            case LinkChanged(remote=remote, link=link, status="active"):
                self._links[remote] = link
                self._away.pop(remote, None)
                self.monitor(link, remote)
                await self._changed(remote)
            case LinkChanged():
                return
            case _:
                raise TypeError(f"route_manager knows no {message!r}")

    async def handle_info(self, message: object) -> None:
        match message:
            case Down(ref=ref, tag=str(name)):
                remote = ServerId(name)
                if self._links.get(remote) == ref:
                    del self._links[remote]
                    self._away.setdefault(remote, trio.current_time())
                    await self._changed(remote)
            case _Look(target=target):
                await self._choose(target)
            case _:
                raise TypeError(f"route_manager knows no {message!r}")

    def statistics(self) -> Mapping[str, int]:
        """Links that stand, and targets that somebody has something for."""
        return {"links": len(self._links), "targets": len(self._told)}

    async def _changed(self, remote: ServerId) -> None:
        for target in [target for target in self._told if remote in self._ways(target)]:
            await self._choose(target)

    def _ways(self, target: ServerId) -> tuple[ServerId, ...]:
        return (target, *self._transits.get(target, ()))

    async def _choose(self, target: ServerId) -> None:
        """Tell the relay the best way there is; ask for links that could be better."""
        ways = self._ways(target)
        hop = target if target in self._links else None
        if hop is None:
            await self.system.ref(names.FEDERATION_MANAGER).cast(Connect(target))
            wait = self._away.setdefault(target, trio.current_time()) + limits.REROUTE_SECONDS - trio.current_time()
            if wait > 0 and len(ways) > 1:
                self.send_after(wait, _Look(target))
            elif len(ways) > 1:
                hop = await self._transit(ways[1:])
        link = None if hop is None else self._links[hop]
        if link is not None or self._told[target] is not None:
            self._told[target] = link
            await route(self.system, names.RELAYS, target).cast(Route(target, hop or target, link))

    async def _transit(self, transits: Sequence[ServerId]) -> ServerId | None:
        for transit in transits:
            if transit in self._links:
                return transit
        for transit in transits:
            await self.system.ref(names.FEDERATION_MANAGER).cast(Connect(transit))
        return None
