"""The account store: users, devices, enrolment tokens, prekeys, revocations, conversations (sections 5, 6; rows
B38–B45, B48).

Rules
- Every function is one transaction. A refused change raises an `AccountError` and leaves nothing behind.
- Rules about signatures are the caller's: what comes here was verified. Signed maps are bytes, stored and returned
  unread.
- Nothing is single-use by memory: a token is marked used in the transaction that inserts its device, and a one-time
  key is marked handed out before anybody sees it. A handed-out key leaves its id behind, so that an upload sent twice
  does not bring it back.
- Status of a device is `active` or `revoked`; an active one past `not_after` is not listed as active.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from norc_actors import limits
from norc_actors.ids import ConversationId, DeviceId, ServerId, UserId, server_of
from norc_actors.store.account_values import (
    Conversation,
    ConversationType,
    Device,
    HandOut,
    OldRecord,
    PrekeyStatus,
    Revocation,
    SignedBy,
    Token,
    User,
)
from norc_actors.store.database import Database, insert_new, insert_or_replace
from norc_actors.store.errors import (
    ConversationExistsError,
    DeviceExistsError,
    DeviceUnknownError,
    DirectExistsError,
    EpochConflictError,
    TokenExpiredError,
    TokenUnknownError,
    TokenUsedError,
    UserExistsError,
    UserUnknownError,
)
from norc_actors.store.remote_accounts import RemoteAccounts
from norc_actors.store.rows import as_value, one
from norc_actors.store.schema import (
    bundles,
    conversation_members,
    conversations,
    counters,
    devices,
    direct_pairs,
    enrolment_tokens,
    handouts,
    old_records,
    one_time_keys,
    revocations,
    users,
)

__all__ = [
    "AccountStore",
    "Conversation",
    "ConversationType",
    "Device",
    "HandOut",
    "OldRecord",
    "PrekeyStatus",
    "Revocation",
    "SignedBy",
    "Token",
    "User",
]


class AccountStore:
    """The account tables on one `Database`, which it owns. `remote` has what concerns users of other servers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.remote = RemoteAccounts(database)

    # --- tokens, users, devices ---

    def add_token(self, token: Token) -> None:
        """Record a new enrolment token."""
        with self._database.transaction() as connection:
            connection.execute(insert(enrolment_tokens).values(msgspec.structs.asdict(token)))

    def token(self, token_hash: bytes) -> Token | None:
        """The token with this hash, used or not."""
        with self._database.reading() as connection:
            return one(connection, Token, enrolment_tokens, enrolment_tokens.c.token_hash == token_hash)

    def next_serial(self) -> int:
        """A fresh certificate serial number, from 1; never given twice."""
        return self._next("serials")

    def next_link_epoch(self) -> int:
        """The epoch of a new link to another server, from 1; above all before it (section 8, *Relay*)."""
        return self._next("link_epochs")

    def _next(self, counter: str) -> int:
        following = update(counters).where(counters.c.name == counter).values(value=counters.c.value + 1)
        with self._database.transaction() as connection:
            return int(connection.execute(following.returning(counters.c.value)).scalar_one())

    def register_first(
        self, device: Device, *, user_key: bytes, token_hash: bytes, now: int, user_rotation: bytes | None = None
    ) -> None:
        """Redeem the token, create the user and insert its first device, all or nothing.

        With `user_rotation` (an encoded map, verified) an existing user's key is replaced instead.
        Raises `TokenUnknownError` (also: issued for another user), `TokenUsedError`, `TokenExpiredError`,
        `UserExistsError`, `DeviceExistsError`.
        """
        with self._database.transaction() as connection:
            _redeem(connection, token_hash, device.user_id, now)
            known = one(connection, User, users, users.c.user_id == device.user_id)
            if known is not None and user_rotation is None:
                raise UserExistsError(f"{device.user_id} has a user key already: add the device from one that holds it")
            row = {"user_id": device.user_id, "user_key": user_key, "user_rotation": user_rotation}
            put = insert_or_replace(self._database.dialect, users, "user_key", "user_rotation")
            connection.execute(put.values(row))
            _insert_device(connection, device)

    def add_device(self, device: Device, *, user_key: bytes) -> None:
        """Insert a further device of a user whose key is `user_key`.

        Raises `UserUnknownError`, `UserExistsError` (with another key), `DeviceExistsError`.
        """
        with self._database.transaction() as connection:
            known = one(connection, User, users, users.c.user_id == device.user_id)
            if known is None:
                raise UserUnknownError(f"no user {device.user_id}")
            if known.user_key != user_key:
                raise UserExistsError(f"{device.user_id} has another user key")
            _insert_device(connection, device)

    def rotate_device(self, device: Device, *, replaces: bytes, now: int) -> None:
        """Replace the record of an active device whose public key is `replaces`; the old one joins `old_records`.

        Raises `DeviceUnknownError`.
        """
        with self._database.transaction() as connection:
            old = one(connection, Device, devices, devices.c.device_id == device.device_id)
            if old is None or (old.status, old.user_id, old.public_key) != ("active", device.user_id, replaces):
                raise DeviceUnknownError(f"no active device {device.device_id} with the key to replace")
            kept = {name: getattr(old, name) for name in ("device_id", *_RECORD)}
            put = insert_or_replace(self._database.dialect, old_records, *_RECORD[1:], "replaced_at")
            connection.execute(put.values(kept | {"replaced_at": now}))
            changed = {name: getattr(device, name) for name in (*_RECORD, "not_after")}
            connection.execute(update(devices).where(devices.c.device_id == device.device_id).values(changed))

    def user(self, user_id: UserId) -> User | None:
        """One user."""
        with self._database.reading() as connection:
            return one(connection, User, users, users.c.user_id == user_id)

    def users(self) -> list[User]:
        """All users, by user_id."""
        with self._database.reading() as connection:
            return [
                as_value(User, row) for row in connection.execute(select(users).order_by(users.c.user_id)).mappings()
            ]

    def device(self, device_id: DeviceId) -> Device | None:
        """One device, whatever its status."""
        with self._database.reading() as connection:
            return one(connection, Device, devices, devices.c.device_id == device_id)

    def devices(
        self, user_ids: Sequence[UserId], *, now: int, include_revoked: bool = False, reachable: bool = False
    ) -> list[Device]:
        """The users' devices, ordered by (user_id, device_id): active and not expired, with `include_revoked` all.

        `reachable`: only those with a bundle that is not expired, so that a session with them can be opened.
        """
        query = select(devices).where(devices.c.user_id.in_(user_ids)).order_by(devices.c.user_id, devices.c.device_id)
        if not include_revoked:
            query = query.where(devices.c.status == "active", devices.c.not_after > now)
        if reachable:
            query = query.where(devices.c.device_id.in_(select(bundles.c.device_id).where(bundles.c.expires_at > now)))
        with self._database.reading() as connection:
            return [as_value(Device, row) for row in connection.execute(query).mappings()]

    def old_records(self, device_ids: Sequence[DeviceId], *, now: int) -> list[OldRecord]:
        """Replaced records of the last 37 days."""
        query = select(old_records).where(
            old_records.c.device_id.in_(device_ids), old_records.c.replaced_at > now - limits.OLD_RECORD_SECONDS
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(old_records.c.device_id, old_records.c.replaced_at)).mappings()
            return [as_value(OldRecord, row) for row in rows]

    def seen(self, device_id: DeviceId, *, now: int) -> None:
        """Note that the device authenticated."""
        with self._database.transaction() as connection:
            connection.execute(update(devices).where(devices.c.device_id == device_id).values(last_seen=now))

    # --- prekeys ---

    def put_prekeys(
        self, device_id: DeviceId, *, bundle: tuple[bytes, int] | None, one_time: Sequence[tuple[int, bytes]]
    ) -> PrekeyStatus:
        """Store a new bundle (encoded, its not_after) and one-time keys (one_time_id, encoded); return what stands
        then.

        Ids known already are left as they are. Raises `DeviceUnknownError`.
        """
        dialect = self._database.dialect
        with self._database.transaction() as connection:
            known = one(connection, Device, devices, devices.c.device_id == device_id)
            if known is None or known.status != "active":
                raise DeviceUnknownError(f"no active device {device_id}")
            if bundle is not None:
                row = {"device_id": device_id, "bundle": bundle[0], "expires_at": bundle[1]}
                connection.execute(insert_or_replace(dialect, bundles, "bundle", "expires_at").values(row))
            if one_time:
                rows = [{"device_id": device_id, "one_time_id": number, "one_time": key} for number, key in one_time]
                connection.execute(insert_new(dialect, one_time_keys), rows)
            return _prekey_status(connection, device_id)

    def prekey_status(self, device_id: DeviceId) -> PrekeyStatus:
        """How many one-time keys are left and when the bundle ends."""
        with self._database.reading() as connection:
            return _prekey_status(connection, device_id)

    def hand_out(self, requesting: DeviceId, targets: Sequence[DeviceId], *, now: int) -> dict[DeviceId, HandOut]:
        """The targets' bundles that are not expired, each with a one-time key if the requester had none of that target
        within 24 h. Committed when this returns. Targets without a bundle are absent."""
        fresh = select(bundles).where(bundles.c.device_id.in_(targets), bundles.c.expires_at > now)
        had = select(handouts.c.target_device).where(
            handouts.c.requesting_device == requesting,
            handouts.c.target_device.in_(targets),
            handouts.c.handed_out_at > now - limits.HANDOUT_SECONDS,
        )
        note = insert_or_replace(self._database.dialect, handouts, "handed_out_at")
        result: dict[DeviceId, HandOut] = {}
        with self._database.transaction() as connection:
            served = set(connection.execute(had).scalars())
            for target, bundle, _ in connection.execute(fresh).all():
                one_time = None if target in served else _take_one_time(connection, target, now)
                if one_time is not None:
                    row = {"requesting_device": requesting, "target_device": target, "handed_out_at": now}
                    connection.execute(note.values(row))
                result[target] = HandOut(bundle=bundle, one_time=one_time)
        return result

    # --- revocation ---

    def revoke(self, revocation: Revocation) -> bool:
        """Mark the device revoked, store the map, delete its prekeys. False if it was revoked before (nothing changes).

        Raises `DeviceUnknownError`.
        """
        with self._database.transaction() as connection:
            known = one(connection, Device, devices, devices.c.device_id == revocation.device_id)
            if known is None or known.user_id != revocation.user_id:
                raise DeviceUnknownError(f"{revocation.user_id} has no device {revocation.device_id}")
            if known.status == "revoked":
                return False
            this = devices.c.device_id == revocation.device_id
            connection.execute(update(devices).where(this).values(status="revoked"))
            connection.execute(insert(revocations).values(msgspec.structs.asdict(revocation)))
            connection.execute(delete(bundles).where(bundles.c.device_id == revocation.device_id))
            connection.execute(delete(one_time_keys).where(one_time_keys.c.device_id == revocation.device_id))
            return True

    def revocation(self, device_id: DeviceId) -> Revocation | None:
        """The revocation of a device."""
        with self._database.reading() as connection:
            return one(connection, Revocation, revocations, revocations.c.device_id == device_id)

    def last_revocation(self, user_id: UserId, signed_by: SignedBy) -> Revocation | None:
        """The newest one with this user and signer, which the next names in `prev_revocation_hash`."""
        query = select(revocations).where(revocations.c.user_id == user_id, revocations.c.signed_by == signed_by)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(revocations.c.number.desc()).limit(1)).mappings().one_or_none()
            return None if row is None else as_value(Revocation, row)

    # --- conversations ---

    def put_conversation(
        self, conversation: Conversation, members: Sequence[UserId], *, from_elsewhere: bool = False
    ) -> None:
        """Store the next epoch, and its members as the current ones. Epoch 1 creates; type direct needs two members.

        `from_elsewhere`: another server keeps the conversation. Its states may be known here with gaps, or from a later
        epoch on, and it may be a second direct one of the same two users, since neither server could know of the
        other's.
        Raises `ConversationExistsError`, `DirectExistsError`, `EpochConflictError`.
        """
        of = conversation.conversation_id
        with self._database.transaction() as connection:
            newest = select(func.max(conversations.c.epoch)).where(conversations.c.conversation_id == of)
            current = int(connection.execute(newest).scalar() or 0)
            if current and conversation.epoch == 1:
                raise ConversationExistsError(f"the conversation {of} exists already")
            follows = conversation.epoch > current if from_elsewhere else conversation.epoch == current + 1
            if not follows:
                raise EpochConflictError(current)
            if conversation.type == "direct" and not current:
                _claim_pair(connection, conversation, members, may_be_second=from_elsewhere)
            connection.execute(insert(conversations).values(msgspec.structs.asdict(conversation)))
            connection.execute(delete(conversation_members).where(conversation_members.c.conversation_id == of))
            rows = [{"conversation_id": of, "user_id": user_id} for user_id in members]
            connection.execute(insert(conversation_members), rows)

    def conversation(self, conversation_id: ConversationId, epoch: int | None = None) -> Conversation | None:
        """One epoch, the newest if none is named."""
        query = select(conversations).where(conversations.c.conversation_id == conversation_id)
        if epoch is not None:
            query = query.where(conversations.c.epoch == epoch)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(conversations.c.epoch.desc()).limit(1)).mappings().one_or_none()
            return None if row is None else as_value(Conversation, row)

    def members(self, conversation_id: ConversationId) -> list[UserId]:
        """Members of the newest epoch, sorted."""
        column = conversation_members.c.user_id
        query = select(column).where(conversation_members.c.conversation_id == conversation_id).order_by(column)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def servers_of(self, conversation_id: ConversationId) -> list[ServerId]:
        """The servers of the members, sorted."""
        return sorted({server_of(user_id) for user_id in self.members(conversation_id)})

    def conversations_of(self, user_id: UserId) -> list[ConversationId]:
        """The conversations whose newest epoch has the user."""
        column = conversation_members.c.conversation_id
        query = select(column).where(conversation_members.c.user_id == user_id).order_by(column)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    # --- housekeeping ---

    def purge(self, now: int) -> int:
        """Remove expired tokens, bundles, hand-outs, old records and revocations past their time; return how many
        rows."""
        day, month = now - limits.HANDOUT_SECONDS, now - limits.OLD_RECORD_SECONDS
        gone = (
            delete(enrolment_tokens).where(enrolment_tokens.c.expires_at <= month),
            delete(bundles).where(bundles.c.expires_at <= now),
            delete(handouts).where(handouts.c.handed_out_at <= day),
            delete(one_time_keys).where(one_time_keys.c.handed_out_at <= month),
            delete(old_records).where(old_records.c.replaced_at <= month),
            delete(revocations).where(revocations.c.keep_until <= now),
        )
        with self._database.transaction() as connection:
            rows = sum(connection.execute(statement).rowcount for statement in gone)
            return rows + self.remote.purge(connection, now)

    def statistics(self) -> dict[str, int]:
        """Rows: `users`, `devices`, `conversations` (epochs)."""
        with self._database.reading() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (users, devices, conversations)
            }

    def close(self) -> None:
        """Close the database."""
        self._database.close()


_RECORD = ("public_key", "record", "user_signature", "certificate")


def _redeem(connection: Connection, token_hash: bytes, user_id: UserId, now: int) -> None:
    token = one(connection, Token, enrolment_tokens, enrolment_tokens.c.token_hash == token_hash)
    if token is None or token.user_id != user_id:
        raise TokenUnknownError("no such enrolment token: ask for a new one")
    if token.used_at is not None:
        raise TokenUsedError("the enrolment token was used before: ask for a new one")
    if token.expires_at <= now:
        raise TokenExpiredError("the enrolment token has expired: ask for a new one")
    this = enrolment_tokens.c.token_hash == token_hash
    connection.execute(update(enrolment_tokens).where(this).values(used_at=now))


def _insert_device(connection: Connection, device: Device) -> None:
    if connection.execute(select(devices.c.device_id).where(devices.c.device_id == device.device_id)).first():
        raise DeviceExistsError(f"the device {device.device_id} is registered already")
    connection.execute(insert(devices).values(msgspec.structs.asdict(device)))


def _prekey_status(connection: Connection, device_id: DeviceId) -> PrekeyStatus:
    left = select(func.count()).where(one_time_keys.c.device_id == device_id, one_time_keys.c.one_time.is_not(None))
    ends = select(bundles.c.expires_at).where(bundles.c.device_id == device_id)
    return PrekeyStatus(
        one_time_left=connection.execute(left).scalar_one(),
        bundle_expires_at=connection.execute(ends).scalar() or 0,
    )


def _take_one_time(connection: Connection, target: DeviceId, now: int) -> bytes | None:
    """The target's oldest one-time key; its row stays, empty, so that the id cannot come back."""
    mine = (one_time_keys.c.device_id == target) & one_time_keys.c.one_time.is_not(None)
    query = select(one_time_keys.c.one_time_id, one_time_keys.c.one_time).where(mine)
    row = connection.execute(query.order_by(one_time_keys.c.one_time_id).limit(1)).one_or_none()
    if row is None:
        return None
    this = (one_time_keys.c.device_id == target) & (one_time_keys.c.one_time_id == row.one_time_id)
    connection.execute(update(one_time_keys).where(this).values(one_time=None, handed_out_at=now))
    return bytes(row.one_time)


def _claim_pair(
    connection: Connection, conversation: Conversation, members: Sequence[UserId], *, may_be_second: bool
) -> None:
    if len(members) != 2:
        raise ValueError(f"a direct conversation has two members, not {len(members)}")
    first, second = sorted(members)
    pair = (direct_pairs.c.first_user == first) & (direct_pairs.c.second_user == second)
    existing = connection.execute(select(direct_pairs.c.conversation_id).where(pair)).scalar()
    if existing is not None and may_be_second:
        return
    if existing is not None:
        raise DirectExistsError(existing)
    row = {"first_user": first, "second_user": second, "conversation_id": conversation.conversation_id}
    connection.execute(insert(direct_pairs).values(row))
