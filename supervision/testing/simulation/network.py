"""A network in memory between named hosts: late, lossy, cut in two, and the same again for the same seed.

Rules
- Hosts are names; one is there from its first use on. Streams keep what TCP keeps (`streams`), datagrams keep nothing.
- A cut is between two sets of hosts, in one direction or both. A stream's packets wait behind it and go on when it is
  healed; datagrams are lost; new connections time out.
- A host that crashed has no connections and no listeners. Its peers get a reset or, as the seed has it, hear nothing
  and find out when they send. Packets to it wait, as behind a cut; once it is up again they are answered by a reset.
- Everything that happens goes into the trace.
"""

from collections.abc import Callable, Iterable
from functools import partial

import trio

from supervision.timers import Timer, Timers

from .course import Course
from .datagrams import Datagrams
from .faults import Faults, Weather
from .streams import Packet, Pipe, SimulatedListener, SimulatedStream
from .trace import Trace

_BAD_IN_NAMES = frozenset("/,:")


class _Place:
    """What the network knows of a host."""

    __slots__ = ("datagrams", "listeners", "name", "streams", "up")

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = True
        self.listeners: dict[int, SimulatedListener] = {}
        self.streams: dict[SimulatedStream, SimulatedStream] = {}
        self.datagrams: dict[int, Datagrams] = {}


class _Held:
    """A packet that waits for the way to be free."""

    __slots__ = ("arrive", "fail", "link", "patience")

    def __init__(self, link: tuple[str, str], arrive: Callable[[], None], fail: Callable[[], None]) -> None:
        self.link = link
        self.arrive = arrive
        self.fail = fail
        self.patience = Timer(fail)


class _Link:
    """Carries the packets of one direction of a stream."""

    __slots__ = ("_network", "_source", "_target", "sender")

    def __init__(self, network: "Network", source: str, target: str) -> None:
        self.sender: SimulatedStream | None = None
        self._network = network
        self._source = source
        self._target = target

    def carry(self, what: str, packet: Packet) -> None:
        if self.sender is not None:
            self._network.carry(self._source, self._target, what, packet.arrive, self.sender.die)

    def reset_sender(self) -> None:
        if self.sender is not None:
            self._network.reset(self._target, self.sender)


class Network:
    """The network of one simulation."""

    def __init__(self, course: Course, trace: Trace, timers: Timers, faults: Faults) -> None:
        self.faults = faults
        self.weather = Weather(course, faults)
        self.packets = 0
        self._course = course
        self._trace = trace
        self._timers = timers
        self._places: dict[str, _Place] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._held: list[_Held] = []
        self._connections = 0
        self._crashes = course.dice("crashes")

    # What a scenario asks for

    def listen(self, host: str, port: int = 0) -> SimulatedListener:
        """Take connections at that port of `host` from now on. Raises `OSError` if it is taken, or the host is down."""
        place = self._up(host)
        known = place.listeners.get(port)
        if known is not None and known.open:
            raise OSError(f"port {port} of {host} is taken")
        place.listeners[port] = listener = SimulatedListener()
        return listener

    async def connect(self, source: str, target: str, port: int = 0) -> SimulatedStream:
        """A stream from `source` to `target`; the listener there gets the other end.

        Raises `ConnectionRefusedError` if nobody listens, `TimeoutError` if no packet gets through for
        `connect_within` seconds, `OSError` if `source` is down.
        """
        self._up(source)
        deadline = trio.current_time() + self.faults.connect_within
        while True:
            await self._cross(source, target, f"connect to {port}")
            self._up(source)
            if self._free(source, target) and self._free(target, source):
                break
            if trio.current_time() >= deadline:
                raise TimeoutError(f"{source} cannot reach {target}")
            await trio.sleep(1.0)
        listener = self._place(target).listeners.get(port)
        stream = None if listener is None or not listener.open else self._join(source, target, listener)
        try:
            await self._cross(target, source, "refused" if stream is None else "connected")
        except trio.Cancelled:
            if stream is not None:
                stream.close()
            raise
        if stream is None:
            raise ConnectionRefusedError(f"nobody listens at port {port} of {target}")
        return stream

    def datagrams(self, host: str, port: int = 0) -> Datagrams:
        """A socket for datagrams at that port of `host`. Raises `OSError` if it is taken, or the host is down."""
        place = self._up(host)
        known = place.datagrams.get(port)
        if known is not None and known.open:
            raise OSError(f"port {port} of {host} is taken")
        place.datagrams[port] = socket = Datagrams(host, port, self._throw)
        return socket

    def partition(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Let nothing through from `one` to `other`, nor back unless `one_way`."""
        left, right = sorted(one), sorted(other)
        self._trace.add(f"cut {','.join(left)} {'->' if one_way else '<->'} {','.join(right)}")
        self._cuts.update((a, b) for a in left for b in right)
        if not one_way:
            self._cuts.update((b, a) for a in left for b in right)

    def heal(self) -> None:
        """Let everything through again."""
        self._trace.add("healed")
        self._cuts.clear()
        self._release()

    def crash(self, host: str) -> None:
        """Cut `host` off as if its power were gone. `Host.crash` ends what runs on it, too."""
        place = self._place(host)
        if not place.up:
            return
        silent = self._crashes.random() < self.faults.silence
        self._trace.add(f"{host} crashed{' without a word' if silent else ''}")
        place.up = False
        for listener in place.listeners.values():
            listener.close()
        for socket in place.datagrams.values():
            socket.close()
        streams, place.streams = place.streams, {}
        place.listeners, place.datagrams = {}, {}
        for stream, other in streams.items():
            stream.die()
            if not silent and not other.closed:
                self.reset(host, other)

    def reboot(self, host: str) -> None:
        """Let `host` be reached again; it has no listeners and no connections."""
        place = self._place(host)
        if not place.up:
            self._trace.add(f"{host} is back")
            place.up = True
            self._release()

    # What streams ask for

    def carry(self, source: str, target: str, what: str, arrive: Callable[[], None], fail: Callable[[], None]) -> None:
        """Have `arrive` run when a packet of a stream gets through; `fail` if it does not for too long."""
        if not self._place(source).up:
            return
        fate = self.weather.next(source, target)
        self.packets += 1
        self._trace.add(fate.name, f"{what} {fate.trouble}".rstrip())
        self._after(fate.delay, lambda: self._reach((source, target), arrive, fail))

    def reset(self, source: str, stream: SimulatedStream) -> None:
        """Have `stream` learn, at its end, that there is nobody at this one."""
        fate = self.weather.next(source, stream.host)
        self._trace.add(f"{fate.name} reset {fate.trouble}".rstrip())
        self._after(fate.delay, lambda: self._reach((source, stream.host), stream.break_off, None))

    # Inside

    def _join(self, source: str, target: str, listener: SimulatedListener) -> SimulatedStream | None:
        self._connections += 1
        there, back = _Link(self, source, target), _Link(self, target, source)
        split = self.faults.split
        out = Pipe(there, self._course.dice(f"split {self._connections} there"), split)
        into = Pipe(back, self._course.dice(f"split {self._connections} back"), split)
        here, far = SimulatedStream(source, target, out, into), SimulatedStream(target, source, into, out)
        there.sender, back.sender = here, far
        try:
            listener.came(far)
        except trio.WouldBlock:
            return None
        self._place(source).streams[here] = far
        self._place(target).streams[far] = here
        return here

    async def _cross(self, source: str, target: str, what: str) -> None:
        fate = self.weather.next(source, target)
        self.packets += 1
        self._trace.add(f"{fate.name} {what} {fate.trouble}".rstrip())
        await trio.sleep(fate.delay)

    def _throw(self, source: str, target: str, port: int, data: bytes) -> None:
        fate = self.weather.next(source, target)
        self.packets += 1
        self._trace.add(fate.name, f"datagram {len(data)} B {fate.trouble}".rstrip())

        def land() -> None:
            socket = self._place(target).datagrams.get(port)
            if socket is not None and self._free(source, target):
                socket.came(data, source)

        if not fate.lost:
            self._after(fate.delay, land)
        if fate.again is not None:
            self._after(fate.again, land)

    def _reach(self, link: tuple[str, str], arrive: Callable[[], None], fail: Callable[[], None] | None) -> None:
        if self._free(*link):
            arrive()
            return
        if fail is None:
            return
        held = _Held(link, arrive, fail)
        self._held.append(held)
        self._timers.add(trio.current_time() + self.faults.give_up_after, held.patience)

    def _release(self) -> None:
        held, self._held = self._held, []
        for packet in held:
            if not packet.patience.live:
                continue
            if self._free(*packet.link):
                packet.patience.cancel()
                self._after(self.faults.resend_after, partial(self._reach, packet.link, packet.arrive, packet.fail))
            else:
                self._held.append(packet)

    def _free(self, source: str, target: str) -> bool:
        return (source, target) not in self._cuts and self._place(target).up

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.add(trio.current_time() + seconds, Timer(callback))

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            if not name or _BAD_IN_NAMES & set(name):
                raise ValueError(f"{name!r} is no name for a host: it may not be empty nor contain / , :")
            place = self._places[name] = _Place(name)
        return place

    def _up(self, name: str) -> _Place:
        place = self._place(name)
        if not place.up:
            raise OSError(f"host {name} is down")
        return place
