"""Children that do what one hopes children never do, when a test says so."""

import trio

from supervision._core.reasons import ExitReason
from supervision.gen_server import GenServer
from supervision.reply import From


class CrashesOnCue(GenServer):
    """Raises any exception it is cast or called with; answers anything else with itself."""

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, BaseException):
            raise message

    async def handle_call(self, request: object, caller: From) -> object:
        if isinstance(request, BaseException):
            raise request
        return request


class HangsOnStop(GenServer):
    """Takes `seconds` to end; `shielded`, not even cancelling helps."""

    def __init__(self, seconds: float = 1e9, *, shielded: bool = False) -> None:
        self.seconds = seconds
        self.shielded = shielded

    async def terminate(self, reason: ExitReason) -> None:
        with trio.CancelScope(shield=self.shielded):
            await trio.sleep(self.seconds)


class RefusesToStart(GenServer):
    """Raises the exceptions of the list in `init`, last one first, one each start; starts when it is empty."""

    def __init__(self, refusals: list[BaseException]) -> None:
        self.refusals = refusals

    async def init(self) -> None:
        if self.refusals:
            raise self.refusals.pop()
