"""What a WebSocket is to all who use one; see `websocket`."""

from collections.abc import Sequence
from typing import Protocol


class WebSocket(Protocol):
    """An open connection."""

    @property
    def remote(self) -> str:
        """The peer's address without its port, as limits per source count it."""
        ...

    @property
    def subprotocol(self) -> str:
        """The selected subprotocol."""
        ...

    @property
    def path(self) -> str:
        """The request's target, query included."""
        ...

    async def send(self, message: bytes) -> None:
        """Send one binary message. Raises `ClosedError`."""
        ...

    async def send_many(self, messages: Sequence[bytes]) -> None:
        """Send messages in one go. Raises `ClosedError`; some of them may have arrived then."""
        ...

    async def receive(self) -> bytes:
        """The next binary message. Raises `ClosedError`."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, at the latest after `CLOSE_SECONDS`; on a closed connection nothing happens."""
        ...
