"""An actor for tests that keeps what it is sent and hands it to the test.

Rules
- `next(kind)` gives the first message of that kind that was not taken yet, and waits for it; others stay for later.
- Requests are kept too: the test answers them with `caller.reply`.
"""

from dataclasses import dataclass
from typing import TypeVar

import trio

from supervision._core.specs import ChildSpec
from supervision.children import start_child
from supervision.gen_server import GenServer
from supervision.messages import NO_REPLY, Call
from supervision.ref import ActorRef
from supervision.reply import From

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a probe got; answer it."""

    request: object
    caller: From


@dataclass(frozen=True, slots=True)
class _Watch(Call[None]):
    ref: ActorRef
    tag: object


class Probe:
    """The test's end. `ref` is the actor to be sent to."""

    def __init__(self) -> None:
        self.waiting: list[object] = []
        self.ref: ActorRef
        self._more = trio.Event()

    @classmethod
    async def start(cls, supervisor: ActorRef, name: str | None = None) -> "Probe":
        """A probe under `supervisor`."""
        probe = cls()
        spec = ChildSpec(name or f"probe-{id(probe):x}", lambda: _ProbeActor(probe), name=name, restart="temporary")
        probe.ref = await start_child(supervisor, spec)
        return probe

    async def next(self, kind: type[M], within: float = 5.0) -> M:
        """The first message of this kind not taken yet; raises `AssertionError` if none comes in `within` seconds."""
        with trio.move_on_after(within):
            while True:
                for index, message in enumerate(self.waiting):
                    if isinstance(message, kind):
                        del self.waiting[index]
                        return message
                self._more = trio.Event()
                await self._more.wait()
        raise AssertionError(f"no {kind.__name__} came within {within:g} s; there is {self.waiting}")

    async def nothing(self, within: float = 1.0) -> None:
        """Raise `AssertionError` if anything comes within these seconds, or came and was not taken."""
        await trio.sleep(within)
        if self.waiting:
            raise AssertionError(f"nothing was to come, but {self.waiting} did")

    async def watch(self, ref: ActorRef, tag: object = None) -> None:
        """Have the probe monitor `ref`: its `Down` will be among the messages."""
        await self.ref.call(_Watch(ref, tag))

    def keep(self, message: object) -> None:
        """The actor got this."""
        self.waiting.append(message)
        self._more.set()


class _ProbeActor(GenServer):
    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    async def handle_call(self, request: object, caller: From) -> object:
        if isinstance(request, _Watch):
            self.monitor(request.ref, request.tag)
            return None
        self._probe.keep(Asked(request, caller))
        return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        self._probe.keep(message)

    async def handle_info(self, message: object) -> None:
        self._probe.keep(message)
