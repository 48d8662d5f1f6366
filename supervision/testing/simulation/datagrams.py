"""Sockets for datagrams of the simulated network: each one may be lost, late, doubled, out of order."""

from collections.abc import Callable

import trio

QUEUE = 1000
"""Datagrams that wait at a socket; more are lost."""


class Datagrams(trio.abc.AsyncResource):
    """One socket, at `port` of `host`."""

    def __init__(self, host: str, port: int, throw: Callable[[str, str, int, bytes], None]) -> None:
        self.host = host
        self.port = port
        self._throw = throw
        self._send, self._receive = trio.open_memory_channel[tuple[bytes, str]](QUEUE)

    @property
    def open(self) -> bool:
        """Can it still be used?"""
        return self._receive.statistics().open_receive_channels > 0

    async def send(self, data: bytes, target: str, port: int | None = None) -> None:
        """Throw `data` at that host, at the same port as ours unless said otherwise. Raises `ClosedResourceError`."""
        await trio.lowlevel.checkpoint()
        if not self.open:
            raise trio.ClosedResourceError(f"the socket at {self.host} is closed")
        self._throw(self.host, target, self.port if port is None else port, bytes(data))

    async def receive(self) -> tuple[bytes, str]:
        """The next datagram and the host it came from. Raises `ClosedResourceError`."""
        return await self._receive.receive()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """`aclose` that does not wait."""
        self._receive.close()

    def came(self, data: bytes, source: str) -> None:
        """A datagram."""
        if self.open and self._send.statistics().current_buffer_used < QUEUE:
            self._send.send_nowait((data, source))
