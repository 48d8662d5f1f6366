"""Which connection serves a device, and which serve a user: names that vanish with their connection.

A view of two runtime registries, read without a call (as Erlang's Registry reads ETS). Only `session_manager` writes.
"""

from norc_actors.actors.connections.outlet import Outlet
from norc_actors.ids import DeviceId, UserId
from supervision import System


class Directory:
    """Device → its one live outlet; user → the outlets of all connected devices."""

    __slots__ = ("_devices", "_users")

    def __init__(self, system: System) -> None:
        self._devices = system.registry("devices", keys="unique")
        self._users = system.registry("users", keys="duplicate")

    def __len__(self) -> int:
        """How many devices are connected."""
        return len(self._devices)

    def enter(self, outlet: Outlet) -> None:
        """List an outlet; the caller has taken an older one of the same device out with `leave`."""
        self._devices.register(outlet.session.device_id, outlet.ref, outlet)
        self._users.register(outlet.session.user_id, outlet.ref, outlet)

    def leave(self, outlet: Outlet) -> None:
        """Take an outlet out before its connection ends."""
        self._devices.unregister(outlet.session.device_id, outlet.ref)
        self._users.unregister(outlet.session.user_id, outlet.ref)

    def outlet_of(self, device_id: DeviceId) -> Outlet | None:
        """The live connection of a device."""
        outlet = self._devices.metadata(device_id)
        return outlet if isinstance(outlet, Outlet) else None

    def outlets_of(self, user_id: UserId) -> list[Outlet]:
        """The live connections of all devices of a user."""
        return [outlet for _, outlet in self._users.lookup(user_id) if isinstance(outlet, Outlet)]

    def everyone(self) -> list[Outlet]:
        """Every live outlet."""
        found = map(self._devices.metadata, self._devices.keys())
        return [outlet for outlet in found if isinstance(outlet, Outlet)]
