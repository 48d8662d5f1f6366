"""Streams of the simulated network: what TCP promises, and nothing that it does not.

Rules
- Bytes arrive in order and once, late, and cut elsewhere than they were sent. A packet that is late holds up those
  behind it.
- A sender waits while `WINDOW` bytes are under way or not read. Packets that get nowhere for `give_up_after` seconds
  break the stream for the sender; the other side hears nothing of it until it sends.
- An end that is closed or dead answers data with a reset: both directions of the other end are broken then, and what it
  had not read is lost.
- Closing sends an end behind all that was sent; half of it is `send_eof`.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Protocol

import trio
from trio.lowlevel import ParkingLot, checkpoint

WINDOW = 65_536
"""Bytes."""

SEGMENT = 8_192
"""Bytes that one packet carries at most."""


class Carrier(Protocol):
    """The way for packets from one end to the other."""

    def carry(self, what: str, packet: "Packet") -> None:
        """Have `packet` arrive some time, or fail."""

    def reset_sender(self) -> None:
        """Tell the sending end that nobody is here."""


class Packet:
    """Bytes under way in one direction; none means the end."""

    __slots__ = ("arrived", "data", "pipe")

    def __init__(self, pipe: "Pipe", data: bytes) -> None:
        self.pipe = pipe
        self.data = data
        self.arrived = False

    def arrive(self) -> None:
        """It is there."""
        self.arrived = True
        self.pipe.deliver()


class Pipe:
    """One direction of a stream."""

    __slots__ = (
        "_carrier",
        "_dice",
        "_sent",
        "_split",
        "deaf",
        "ended",
        "finished",
        "read",
        "room",
        "under_way",
        "unread",
    )

    def __init__(self, carrier: Carrier, dice: Random, split: float) -> None:
        self.under_way: deque[Packet] = deque()
        self.unread = bytearray()
        self.read = ParkingLot()
        self.room = ParkingLot()
        self.ended = self.deaf = self.finished = False
        self._carrier = carrier
        self._dice = dice
        self._split = split
        self._sent = 0

    @property
    def full(self) -> bool:
        """Must a sender wait?"""
        return self._sent + len(self.unread) >= WINDOW

    def put(self, data: bytes) -> int:
        """Send the first part of `data`; returns how much that is. Nothing to send: the end."""
        part = data[:SEGMENT]
        if len(part) > 1 and self._dice.random() < self._split:
            part = part[: 1 + int(self._dice.random() * (len(part) - 1))]
        packet = Packet(self, part)
        self.under_way.append(packet)
        self._sent += len(part)
        self._carrier.carry(f"{len(part)} B" if part else "end", packet)
        return len(part)

    def deliver(self) -> None:
        """Take in order what has arrived."""
        while self.under_way and self.under_way[0].arrived:
            data = self.under_way.popleft().data
            self._sent -= len(data)
            if self.deaf:
                self.room.unpark_all()
                if data:
                    self._carrier.reset_sender()
                continue
            self.unread += data
            self.ended = self.ended or not data
            self.read.unpark_all()

    def take(self, at_most: int) -> bytes:
        """Read."""
        data = bytes(self.unread[:at_most])
        del self.unread[:at_most]
        self.room.unpark_all()
        return data

    def stop_reading(self) -> None:
        """The reading end is gone."""
        self.deaf = True
        self.unread.clear()
        self.read.unpark_all()
        self.room.unpark_all()


class SimulatedStream(trio.abc.HalfCloseableStream):
    """One end of a connection. `host` is whose end it is, `peer` the host at the other end."""

    def __init__(self, host: str, peer: str, out: Pipe, into: Pipe) -> None:
        self.host = host
        self.peer = peer
        self._out = out
        self._into = into
        self.closed = False
        self._broken = False
        self._sending = self._receiving = False

    def __repr__(self) -> str:
        return f"<stream {self.host} - {self.peer}>"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._only_one_sends():
            self._check_sending()
            await checkpoint()
            left = bytes(data)
            self._check_sending()
            while left:
                while self._out.full:
                    await self._out.room.park()
                    self._check_sending()
                left = left[self._out.put(left) :]

    async def wait_send_all_might_not_block(self) -> None:
        with self._only_one_sends():
            await checkpoint()
            self._check_sending()
            while self._out.full:
                await self._out.room.park()
                self._check_sending()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        at_most = WINDOW if max_bytes is None else max_bytes
        if not isinstance(at_most, int):
            raise TypeError(f"max_bytes is {at_most!r}; it must be a whole number")
        if at_most < 1:
            raise ValueError(f"max_bytes is {at_most}; it must be at least 1")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._receiving = True
        try:
            await checkpoint()
            while self._check_receiving():
                await self._into.read.park()
            return self._into.take(at_most)
        finally:
            self._receiving = False

    async def send_eof(self) -> None:
        with self._only_one_sends():
            await checkpoint()
            if not self._out.finished:
                self._check_sending()
                self._finish()

    async def aclose(self) -> None:
        self.close()
        await checkpoint()

    def close(self) -> None:
        """`aclose` that does not wait; nothing in it has to."""
        if not self.closed:
            self.closed = True
            if not self._broken:
                self._finish()
            self._into.stop_reading()
            self._out.room.unpark_all()

    def break_off(self) -> None:
        """The other end is gone, or this end's host is."""
        self._broken = True
        for pipe in (self._out, self._into):
            pipe.read.unpark_all()
            pipe.room.unpark_all()

    def die(self) -> None:
        """This end's host crashed, or its packets get nowhere: nothing more is sent, nothing more is heard."""
        self._into.stop_reading()
        self.break_off()

    def _finish(self) -> None:
        if not self._out.finished:
            self._out.finished = True
            self._out.put(b"")

    def _check_sending(self) -> None:
        if self.closed or (self._out.finished and not self._broken):
            raise trio.ClosedResourceError(f"{self!r}: this end is closed for sending")
        if self._broken:
            raise trio.BrokenResourceError(f"{self!r}: {self.peer} is not there any more")

    def _check_receiving(self) -> bool:
        """Is there nothing to read yet?"""
        if self.closed:
            raise trio.ClosedResourceError(f"{self!r}: this end is closed")
        if self._broken:
            raise trio.BrokenResourceError(f"{self!r}: {self.peer} is not there any more")
        return not self._into.unread and not self._into.ended

    @contextmanager
    def _only_one_sends(self) -> Iterator[None]:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False


class SimulatedListener(trio.abc.Listener[SimulatedStream]):
    """Where connections to one port of a host come in; for `trio.serve_listeners`."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[SimulatedStream](1000)

    async def accept(self) -> SimulatedStream:
        return await self._receive.receive()

    async def aclose(self) -> None:
        self.close()
        await checkpoint()

    @property
    def open(self) -> bool:
        """Does it still listen?"""
        return self._receive.statistics().open_receive_channels > 0

    def close(self) -> None:
        """`aclose` that does not wait."""
        self._receive.close()

    def came(self, stream: SimulatedStream) -> None:
        """A connection; raises `trio.WouldBlock` if a thousand wait already."""
        self._send.send_nowait(stream)
