"""What has to reach another server: asked over its link again and again, until there is an answer.

Rules
- An errand is known by its tag; a new one under the same tag takes the place of the old one. It ends with an answer
  (even one that refuses: its owner decides whether to go on), or when its owner takes it back.
- Unreachable is no answer: the same frames go again after a back-off, 1 s doubling to `limits.ERRAND_BACKOFF_SECONDS`,
  each with jitter. When the remote speaks to us, what waits for it goes at once.
- One errand of a tag is on its way at a time. Its owner hears of an answer as the info `Answered`; nothing here waits.
- Memory only: what an errand is for is on the disk, and its owner begins it anew after a restart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.federation.requests import Ask, Frames, PeerUnreachable, ShownKey
from norc_actors.ids import Random, ServerId
from norc_actors.protocol.errors import PeerError, ProtocolError
from norc_actors.protocol.frames import FederationFrame
from supervision import ActorRef, CallTimeout, ServerDown, System, Timer

UNREACHABLE = (PeerUnreachable, ProtocolError, PeerError, ServerDown, CallTimeout)
"""How asking another server fails, whoever is to blame."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Info: the answer to an errand. `key` is the identity key of the link that it came over."""

    tag: object
    remote: ServerId
    key: bytes
    frames: tuple[FederationFrame, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Info: time to try an errand again."""

    tag: object
    number: int


@dataclass(slots=True, eq=False)
class _Errand:
    remote: ServerId
    frames: Frames
    number: int
    within: float
    tries: int = 0
    under_way: bool = False
    timer: Timer | None = None
    trouble: str = ""


class Errands:
    """The errands of one actor, which gives its own means: `spawn`, `send_after`, its reference and system."""

    def __init__(
        self,
        system: System,
        owner: ActorRef,
        spawn: Callable[..., object],
        send_after: Callable[[float, object], Timer],
        random: Random,
    ) -> None:
        self._system = system
        self._owner = owner
        self._spawn = spawn
        self._send_after = send_after
        self._random = random
        self._waiting: dict[object, _Errand] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, tag: object) -> bool:
        return tag in self._waiting

    def trouble(self, tag: object) -> str:
        """Why the last try of an errand failed; "" if it did not, or there is none."""
        errand = self._waiting.get(tag)
        return "" if errand is None else errand.trouble

    def begin(
        self,
        tag: object,
        remote: ServerId,
        frames: Frames,
        *,
        after: float = 0.0,
        within: float = limits.ERRAND_SECONDS,
    ) -> None:
        """Begin an errand, in place of one with the same tag. The first try comes `after` so many seconds, and each
        waits so long `within` for its answer."""
        self.end(tag)
        self._number += 1
        errand = self._waiting[tag] = _Errand(remote, frames, self._number, within)
        if after:
            errand.timer = self._send_after(after, Retry(tag, errand.number))
        else:
            self._try(tag, errand)

    def end(self, tag: object) -> None:
        """Take an errand back; an answer that is on its way goes nowhere."""
        errand = self._waiting.pop(tag, None)
        if errand is not None and errand.timer is not None:
            errand.timer.cancel()

    def answered(self, message: Answered) -> bool:
        """Whether this answers an errand that is still wanted; it is then over."""
        errand = self._waiting.get(message.tag)
        if errand is None or errand.number != message.number:
            return False
        self.end(message.tag)
        return True

    def retry(self, message: Retry) -> None:
        """Time to try one again."""
        errand = self._waiting.get(message.tag)
        if errand is not None and errand.number == message.number:
            errand.timer = None
            self._try(message.tag, errand)

    def heard_from(self, remote: ServerId) -> None:
        """The remote spoke: what waits for it goes now."""
        for tag, errand in list(self._waiting.items()):
            if errand.remote == remote and errand.timer is not None:
                errand.timer.cancel()
                errand.timer, errand.tries = None, 0
                self._try(tag, errand)

    def _try(self, tag: object, errand: _Errand) -> None:
        if not errand.under_way:
            errand.under_way = True
            self._spawn(self._ask, tag, errand)

    async def _ask(self, tag: object, errand: _Errand) -> None:
        federation = self._system.ref(names.FEDERATION_MANAGER)
        try:
            ask = Ask(errand.remote, errand.frames, errand.within)
            frames = await federation.call(ask, timeout=errand.within + 1)
            key = await federation.call(ShownKey(errand.remote))
        except UNREACHABLE as error:
            errand.under_way, errand.trouble = False, str(error)
            if self._waiting.get(tag) is errand:
                errand.timer = self._send_after(self._pause(errand), Retry(tag, errand.number))
            return
        errand.under_way = False
        self._owner.post(Answered(tag, errand.remote, key, frames, errand.number))
        await trio.lowlevel.checkpoint()

    def _pause(self, errand: _Errand) -> float:
        errand.tries += 1
        most = float(min(limits.ERRAND_BACKOFF_SECONDS, 2.0 ** min(errand.tries - 1, 20)))
        return most * (0.5 + self._random(1)[0] / 512)
