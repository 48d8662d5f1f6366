"""Questions to the server and their answers, matched by the id that both name.

Rules
- One question per id at a time; a second one waits for the first (two states of one conversation are asked in turn).
- A question ends in its answer (all its parts), in the server's refusal, in `OfflineError` when the time is up or there
  is no connection, or in `LostError` when the connection ends: never in silence.
"""

from collections.abc import Callable

import trio

from norc_actors.client.connection import Connection
from norc_actors.client.errors import ClientError, OfflineError, RateLimitedError, RequestRefusedError
from norc_actors.protocol.codec import Received
from norc_actors.protocol.errors import info_of
from norc_actors.protocol.messages import ErrorMessage, KeyResponse
from norc_actors.protocol.schema import Message


class _Slot:
    def __init__(self) -> None:
        self.done = trio.Event()
        self.answers: list[Received[Message]] = []
        self.error: ClientError | None = None


class Requests:
    """The questions that are open on the present connection."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}

    async def ask(
        self,
        put: Callable[[Connection], None],
        *keys: str,
        connection: Connection | None,
        seconds: float,
    ) -> list[Received[Message]]:
        """Put a question on the connection and wait for all parts of its answer, which names one of `keys`."""
        with trio.move_on_after(seconds):
            while (earlier := next((self._slots[key] for key in keys if key in self._slots), None)) is not None:
                await earlier.done.wait()
            if connection is None:
                raise OfflineError("There is no connection to the server.")
            slot = _Slot()
            self._slots.update(dict.fromkeys(keys, slot))
            try:
                put(connection)
                await slot.done.wait()
            finally:
                for key in keys:
                    self._slots.pop(key, None)
                slot.done.set()
            if slot.error is not None:
                raise slot.error
            return slot.answers
        raise OfflineError("The server did not answer in time.")

    def answered(self, key: str, received: Received[Message]) -> bool:
        """An answer came; whether anyone had asked."""
        slot = self._slots.get(key)
        if slot is None or slot.done.is_set():
            return False
        slot.answers.append(received)
        if not (isinstance(received.message, KeyResponse) and received.message.more):
            slot.done.set()
        return True

    def refused(self, error: ErrorMessage) -> bool:
        """The server refused what its `request_id` names; whether anyone had asked."""
        slot = self._slots.get(error.request_id or "")
        if slot is None or slot.done.is_set():
            return False
        slot.error = refusal(error)
        slot.done.set()
        return True

    def fail_all(self, error: ClientError) -> None:
        """The connection ended."""
        for slot in self._slots.values():
            slot.error = slot.error or error
            slot.done.set()


def refusal(error: ErrorMessage) -> RequestRefusedError | RateLimitedError:
    """A received `error` as a typed one; its text is the registry's, not the server's."""
    info = info_of(error.error_code)
    if info.category == "rate_limit":
        return RateLimitedError(f"The server's limit is reached: {info.text}", float(error.retry_after or 1))
    return RequestRefusedError(f"The server refused: {info.text}", error.error_code)
