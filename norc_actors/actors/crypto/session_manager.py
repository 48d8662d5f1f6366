"""session_manager: which device is connected, since when and until when (rows B42, B45; section 4).

Owns the session records and each device's budget. They live in the directory, as the metadata of the connection they
belong to, so a restart of this actor loses no more than the budgets of devices that are away: `init` reads them back. A
connection ends here in three ways: its device connects again (the newer wins), its session expires, or its device is
revoked.
"""

from dataclasses import dataclass

from norc_actors import limits
from norc_actors.actors.connections.budget import Budget
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.outlet import Outlet, Session
from norc_actors.config import Rates
from norc_actors.ids import Clock, DeviceId, Random, UserId, new_uuid
from norc_actors.protocol.errors import Code
from supervision import ActorRef, Call, From, GenServer


@dataclass(frozen=True, slots=True)
class Admit(Call[Outlet]):
    """An authenticated connection begins its session; answered with its outlet."""

    worker: ActorRef
    user_id: UserId
    device_id: DeviceId
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceRevoked:
    """Cast: end whatever connection this device has."""

    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Info: time to look for expired sessions."""


class SessionManager(GenServer):
    """See the module."""

    def __init__(self, *, rates: Rates, clock: Clock, random: Random) -> None:
        self._rates = rates
        self._clock = clock
        self._budgets: dict[DeviceId, Budget] = {}
        self._random = random
        self._ended = 0

    async def init(self) -> None:
        self._directory = Directory(self.system)
        self._budgets = {outlet.session.device_id: outlet.budget for outlet in self._directory.everyone()}
        self.send_after(limits.SESSION_SWEEP_SECONDS, _Sweep())

    async def handle_call(self, request: object, caller: From) -> Outlet:
        match request:
            case Admit():
                return self._admit(request)
            case _:
                raise TypeError(f"session_manager knows no {request!r}")

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, DeviceRevoked):
            self._end(message.device_id, Code.DEVICE_REVOKED)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, _Sweep):
            now, connected = self._clock(), {outlet.session.device_id: outlet for outlet in self._directory.everyone()}
            for device_id, outlet in connected.items():
                if outlet.session.expires_at <= now:
                    self._end(device_id, Code.SESSION_EXPIRED)
            self._budgets = {
                device: kept for device, kept in self._budgets.items() if device in connected or not kept.full(now)
            }
            self.send_after(limits.SESSION_SWEEP_SECONDS, _Sweep())

    def statistics(self) -> dict[str, int]:
        """Sessions now, and how many this incarnation has ended."""
        return {"sessions": len(self._directory), "ended": self._ended}

    def _admit(self, request: Admit) -> Outlet:
        self._end(request.device_id, Code.SESSION_EXPIRED)
        session = Session(
            session_id=new_uuid(self._random),
            user_id=request.user_id,
            device_id=request.device_id,
            expires_at=int(self._clock()) + limits.LOGIN_SECONDS,
            permissions=request.permissions,
        )
        budget = self._budgets.get(request.device_id)
        if budget is None:
            budget = self._budgets[request.device_id] = Budget(self._rates, self._clock())
        outlet = Outlet(request.worker, session, budget)
        if request.worker.alive:
            self._directory.enter(outlet)
        return outlet

    def _end(self, device_id: DeviceId, code: Code) -> None:
        outlet = self._directory.outlet_of(device_id)
        if outlet is not None:
            self._directory.leave(outlet)
            outlet.close(code)
            self._ended += 1
