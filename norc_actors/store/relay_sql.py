"""The statements for what goes to and comes from other servers, compiled once per database (see `message_sql`)."""

from sqlalchemy import BindParameter, bindparam, delete, func, insert, select, update

from norc_actors.store.database import Database, insert_new
from norc_actors.store.schema import messages, outbox, relay_quotas, relay_sources, relayed

OUTBOX_NUMBERS = "outbox"
"""Name of the counter."""

_TARGET: BindParameter[str] = bindparam("of_target")
_ORIGIN: BindParameter[str] = bindparam("of_origin")
_FEDERATION: BindParameter[str] = bindparam("of_federation")
_LIMIT: BindParameter[int] = bindparam("at_most")
_RELAY = (outbox.c.kind == "relay") | (outbox.c.kind == "transit")
_UNTOLD = (outbox.c.kind == "receipt") | (outbox.c.kind == "addressed")
"""What may be dropped without telling anybody."""


class RelayStatements:
    """One attribute per statement."""

    def __init__(self, database: Database) -> None:
        make, dialect = database.statement, database.dialect
        self.insert_relay = make(insert(outbox), outbox.columns.keys())
        self.enqueue = make(insert_new(dialect, outbox), outbox.columns.keys())
        self.record = make(insert_new(dialect, relayed), relayed.columns.keys())
        self.put_source = make(insert_new(dialect, relay_sources), relay_sources.columns.keys())
        self.find_source = make(
            select(relay_sources.c.federation_id).where(relay_sources.c.seq == bindparam("of_seq")), ("of_seq",)
        )
        this = (relayed.c.origin == _ORIGIN) & (relayed.c.federation_id == _FEDERATION)
        self.find_recorded = make(  # origin, federation_id → ack
            select(relayed.c.ack).where(this), ("of_origin", "of_federation")
        )
        self.find_remote = make(  # origin, federation_id → remote
            select(relayed.c.remote).where(this), ("of_origin", "of_federation")
        )
        self.answer = make(  # ack, origin, federation_id
            update(relayed).where(this).values(ack=bindparam("with")), ("with", "of_origin", "of_federation")
        )
        self.forget_relay = make(delete(relayed).where(this), ("of_origin", "of_federation"))
        self._quota(database)
        self._outbox(database)
        self._purging(database)

    def _quota(self, database: Database) -> None:
        this = relay_quotas.c.remote == bindparam("of_remote")
        self.held = database.statement(select(relay_quotas.c.held).where(this), ("of_remote",))
        self.first_held = database.statement(insert_new(database.dialect, relay_quotas), relay_quotas.columns.keys())
        self.hold = database.statement(  # how many more (or fewer), remote
            update(relay_quotas).where(this).values(held=relay_quotas.c.held + bindparam("more")), ("more", "of_remote")
        )

    def _outbox(self, database: Database) -> None:
        make = database.statement
        self.find_relay = make(  # target, federation_id → id, origin, message_id, device
            select(outbox.c.id, outbox.c.origin, outbox.c.message_id, outbox.c.device_id).where(
                outbox.c.target == _TARGET, outbox.c.once == _FEDERATION, _RELAY
            ),
            ("of_target", "of_federation"),
        )
        self.delete_relay = make(delete(outbox).where(outbox.c.id == bindparam("of_id")), ("of_id",))
        self.delete_sent = make(  # target, id
            delete(outbox).where(outbox.c.id == bindparam("of_id"), outbox.c.target == _TARGET, _UNTOLD),
            ("of_target", "of_id"),
        )
        here = (outbox.c.target == _TARGET) & (outbox.c.priority == bindparam("of_priority"))
        after = outbox.c.id > bindparam("after")
        order = ("of_target", "of_priority", "after")
        self.sizes = make(  # target, priority, after id, limit → id, bytes
            select(outbox.c.id, func.length(outbox.c.body)).where(here, after).order_by(outbox.c.id).limit(_LIMIT),
            (*order, "at_most"),
        )
        self.page = make(  # target, priority, after id, last id
            select(outbox).where(here, after, outbox.c.id <= bindparam("up_to")).order_by(outbox.c.id),
            (*order, "up_to"),
        )
        self.waiting = make(
            select(outbox.c.target, outbox.c.priority, func.count(), func.min(outbox.c.created_at))
            .group_by(outbox.c.target, outbox.c.priority)
            .order_by(outbox.c.target, outbox.c.priority),
            (),
        )
        past = outbox.c.expires_at <= bindparam("now")
        self.expired_sizes = make(  # now, limit → id, bytes
            select(outbox.c.id, func.length(outbox.c.body))
            .where(past, _RELAY)
            .order_by(outbox.c.expires_at, outbox.c.id)
            .limit(_LIMIT),
            ("now", "at_most"),
        )
        self.row = make(select(outbox).where(outbox.c.id == bindparam("of_id")), ("of_id",))

    def _purging(self, database: Database) -> None:
        make = database.statement
        self.old_relays = make(  # time, limit → origin, federation_id, remote
            select(relayed.c.origin, relayed.c.federation_id, relayed.c.remote)
            .where(relayed.c.accepted_at < bindparam("since"))
            .order_by(relayed.c.accepted_at)
            .limit(_LIMIT),
            ("since", "at_most"),
        )
        oldest_message = func.coalesce(select(func.min(messages.c.seq)).scalar_subquery(), bindparam("of_seq"))
        unknown = select(relay_sources.c.seq).where(relay_sources.c.seq < oldest_message)
        self.forget_sources = make(  # seq that counts if no message is left, limit
            delete(relay_sources).where(relay_sources.c.seq.in_(unknown.order_by(relay_sources.c.seq).limit(_LIMIT))),
            ("of_seq", "at_most"),
        )
        unsent = select(outbox.c.id).where(outbox.c.expires_at <= bindparam("now"), _UNTOLD)
        self.drop_unsent = make(  # now, limit
            delete(outbox).where(outbox.c.id.in_(unsent.limit(_LIMIT))), ("now", "at_most")
        )
