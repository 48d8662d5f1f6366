"""The message store's statements, compiled once per database (why so: `database`). Each takes its parameters in the
order in which the comment beside it, or the table, lists them."""

from sqlalchemy import BindParameter, bindparam, delete, exists, func, select, update

from norc_actors.store.database import Database, insert_new, insert_or_replace
from norc_actors.store.schema import counters, deliveries, messages, payloads, receipts

MESSAGE_NUMBERS, RECEIPT_NUMBERS = "messages", "receipts"
"""Names of counters."""

_SEQ: BindParameter[int] = bindparam("of_seq")
_DEVICE: BindParameter[str] = bindparam("of_device")
_LIMIT: BindParameter[int] = bindparam("at_most")
_AFTER: BindParameter[int] = bindparam("after")


class MessageStatements:
    """One attribute per statement."""

    def __init__(self, database: Database) -> None:
        make, dialect = database.statement, database.dialect
        number = counters.c.value + bindparam("count")
        self.allocate = make(  # count, name → the last of the new numbers
            update(counters).where(counters.c.name == bindparam("of")).values(value=number).returning(counters.c.value),
            ("count", "of"),
        )
        self.insert_message = make(insert_new(dialect, messages), messages.columns.keys())
        self.put_payload = make(insert_or_replace(dialect, payloads, "payload"), payloads.columns.keys())
        self.put_delivery = make(insert_or_replace(dialect, deliveries, "wrap"), deliveries.columns.keys())
        self.insert_receipt = make(insert_new(dialect, receipts), receipts.columns.keys())
        self._acknowledging(database)
        self._waiting(database)
        self._purging(database)

    def _acknowledging(self, database: Database) -> None:
        make = database.statement
        waiting = (deliveries.c.seq == messages.c.seq) & (deliveries.c.device_id == _DEVICE)
        self.find = (
            make(  # device, message → candidates: seq, sender_user, sender_device, conversation_id, waits (or null)
                select(messages.c.seq, messages.c.sender_user, messages.c.sender_device, messages.c.conversation_id)
                .add_columns(deliveries.c.seq)
                .outerjoin_from(messages, deliveries, waiting)
                .where(messages.c.message_id == bindparam("of_message")),
                ("of_device", "of_message"),
            )
        )
        self.find_sent = make(  # message_id, sender_device, sender_user → seq
            select(messages.c.seq).where(
                messages.c.message_id == bindparam("of_message"),
                messages.c.sender_device == _DEVICE,
                messages.c.sender_user == bindparam("of_user"),
            ),
            ("of_message", "of_device", "of_user"),
        )
        self.delete_delivery = make(  # device, seq
            delete(deliveries).where(deliveries.c.device_id == _DEVICE, deliveries.c.seq == _SEQ),
            ("of_device", "of_seq"),
        )
        open_delivery = exists().where(deliveries.c.seq == payloads.c.seq).correlate(payloads)
        self.free_payload = make(delete(payloads).where(payloads.c.seq == _SEQ, ~open_delivery), ("of_seq",))
        mine = receipts.c.target_device == _DEVICE
        self.confirm = make(  # device, id
            delete(receipts).where(mine, receipts.c.id <= bindparam("up_to")), ("of_device", "up_to")
        )
        self.find_receipt = make(  # target, message, from device, status → id
            select(receipts.c.id).where(
                mine,
                receipts.c.message_id == bindparam("of_message"),
                receipts.c.from_device == bindparam("from"),
                receipts.c.status == bindparam("with"),
            ),
            ("of_device", "of_message", "from", "with"),
        )

    def _waiting(self, database: Database) -> None:
        make = database.statement
        self.pending = make(  # device, after seq, limit
            select(deliveries.c.seq, messages.c.message_id, payloads.c.payload, deliveries.c.wrap)
            .join_from(deliveries, payloads, payloads.c.seq == deliveries.c.seq)
            .join(messages, messages.c.seq == deliveries.c.seq)
            .where(deliveries.c.device_id == _DEVICE, deliveries.c.seq > _AFTER)
            .order_by(deliveries.c.seq)
            .limit(_LIMIT),
            ("of_device", "after", "at_most"),
        )
        self.receipts = make(  # device, after id, limit
            select(receipts.c.id, receipts.c.receipt)
            .where(receipts.c.target_device == _DEVICE, receipts.c.id > _AFTER)
            .order_by(receipts.c.id)
            .limit(_LIMIT),
            ("of_device", "after", "at_most"),
        )
        self.waiting_of = make(select(deliveries.c.seq).where(deliveries.c.device_id == _DEVICE), ("of_device",))
        self.drop_receipts = make(delete(receipts).where(receipts.c.target_device == _DEVICE), ("of_device",))

    def _purging(self, database: Database) -> None:
        make = database.statement
        self.expired = make(  # now, limit
            select(payloads.c.seq).where(payloads.c.expires_at <= bindparam("now")).limit(_LIMIT), ("now", "at_most")
        )
        self.first_young = make(  # time, 1 → the oldest seq accepted at or after it
            select(messages.c.seq)
            .where(messages.c.accepted_at >= bindparam("since"))
            .order_by(messages.c.seq)
            .limit(_LIMIT),
            ("since", "at_most"),
        )
        self.newest = make(select(func.max(messages.c.seq)), ())
        self.older_payloads = make(  # seq, limit
            select(payloads.c.seq).where(payloads.c.seq < _SEQ).order_by(payloads.c.seq).limit(_LIMIT),
            ("of_seq", "at_most"),
        )
        self.delete_deliveries = make(delete(deliveries).where(deliveries.c.seq == _SEQ), ("of_seq",))
        oldest = select(messages.c.seq).where(messages.c.seq < _SEQ).order_by(messages.c.seq).limit(_LIMIT)
        self.forget_older = make(delete(messages).where(messages.c.seq.in_(oldest)), ("of_seq", "at_most"))
        self.old_receipts = make(delete(receipts).where(receipts.c.stored_at < bindparam("since")), ("since",))
