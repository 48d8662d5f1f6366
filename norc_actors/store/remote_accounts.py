"""What this server knows of other servers' users, and which servers know its own (sections 1, 5, 8; row B45).

Rules
- What another server says is stored as said; that it speaks only of its own users is the caller's check. Nothing that
  one server chooses can take the place of what another said, or stop it from saying it, but a device_id: the first
  user that has it keeps it (section 1), a local device always, and whoever names it later is refused it.
- A device that its user's server revoked does not come back: not in a list that was made before, nor as a sender.
"""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select

from norc_actors import limits
from norc_actors.ids import DeviceId, ServerId, UserId
from norc_actors.store.account_values import Revocation, SignedBy
from norc_actors.store.database import Database, insert_or_replace
from norc_actors.store.rows import as_value, one
from norc_actors.store.schema import devices, lookups, remote_devices, remote_revocations


class RemoteAccounts:
    """The tables of this module on the account store's `Database`; every function is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_devices(self, found: Mapping[UserId, Sequence[DeviceId]], *, now: int) -> list[DeviceId]:
        """Store the current devices of these users in place of what was known of them. The devices that another user
        has, here or elsewhere, are left out and returned: somebody lies."""
        refused: list[DeviceId] = []
        with self._database.transaction() as connection:
            connection.execute(delete(remote_devices).where(remote_devices.c.user_id.in_(list(found))))
            for user_id, device_ids in found.items():
                taken = _taken(connection, device_ids)
                revoked = _revoked(connection, user_id)
                refused += sorted(taken)
                fresh = sorted({*device_ids} - taken - revoked)
                if fresh:
                    rows = [{"device_id": device_id, "user_id": user_id, "seen_at": now} for device_id in fresh]
                    connection.execute(insert(remote_devices), rows)
        return refused

    def devices(self, user_ids: Sequence[UserId]) -> dict[DeviceId, UserId]:
        """Whose the known devices of these users are."""
        query = select(remote_devices.c.device_id, remote_devices.c.user_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(remote_devices.c.user_id.in_(user_ids)))
            return {row.device_id: row.user_id for row in rows}

    def note_lookup(self, user_ids: Sequence[UserId], server: ServerId, *, now: int) -> None:
        """Note that a server was told the devices of these users of this one."""
        if user_ids:
            put = insert_or_replace(self._database.dialect, lookups, "looked_up_at")
            rows = [{"user_id": user_id, "server": server, "looked_up_at": now} for user_id in user_ids]
            with self._database.transaction() as connection:
                connection.execute(put, rows)

    def lookers(self, user_id: UserId) -> list[ServerId]:
        """The servers that ever looked the user up, sorted."""
        query = select(lookups.c.server).where(lookups.c.user_id == user_id).order_by(lookups.c.server)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def revoke(self, revocation: Revocation) -> bool:
        """Store the revocation of a remote user's device, known or not, and forget the device. False if it was revoked
        before (nothing changes)."""
        table = remote_revocations
        this = (table.c.user_id == revocation.user_id) & (table.c.device_id == revocation.device_id)
        device = (remote_devices.c.user_id == revocation.user_id) & (remote_devices.c.device_id == revocation.device_id)
        with self._database.transaction() as connection:
            if connection.execute(select(table.c.number).where(this)).first() is not None:
                return False
            connection.execute(insert(table).values(msgspec.structs.asdict(revocation)))
            connection.execute(delete(remote_devices).where(device))
            return True

    def revocation(self, user_id: UserId, device_id: DeviceId) -> Revocation | None:
        """The revocation of a remote user's device."""
        table = remote_revocations
        with self._database.reading() as connection:
            return one(connection, Revocation, table, (table.c.user_id == user_id) & (table.c.device_id == device_id))

    def last_revocation(self, user_id: UserId, signed_by: SignedBy) -> Revocation | None:
        """The newest one with this remote user and signer, which the next names in `prev_revocation_hash`."""
        table = remote_revocations
        query = select(table).where(table.c.user_id == user_id, table.c.signed_by == signed_by)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(table.c.number.desc()).limit(1)).mappings().one_or_none()
            return None if row is None else as_value(Revocation, row)

    def purge(self, connection: Connection, now: int) -> int:
        """Inside the caller's transaction: forget devices that nobody asked for in 37 days, and revocations past their
        time; how many rows."""
        gone = (
            delete(remote_devices).where(remote_devices.c.seen_at <= now - limits.OLD_RECORD_SECONDS),
            delete(remote_revocations).where(remote_revocations.c.keep_until <= now),
        )
        return sum(connection.execute(statement).rowcount for statement in gone)


def _taken(connection: Connection, device_ids: Sequence[DeviceId]) -> set[DeviceId]:
    """Those that somebody has already: the users in question have none just now."""
    return {
        device_id
        for table in (devices, remote_devices)
        for device_id in connection.execute(
            select(table.c.device_id).where(table.c.device_id.in_(device_ids))
        ).scalars()
    }


def _revoked(connection: Connection, user_id: UserId) -> set[DeviceId]:
    query = select(remote_revocations.c.device_id).where(remote_revocations.c.user_id == user_id)
    return set(connection.execute(query).scalars())
