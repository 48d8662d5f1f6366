"""Row B46 in a virtual year: keys rotate, prekeys are renewed and erased, messages wait, and each of them opens."""

from dataclasses import replace

from norc_actors.crypto.signatures import SigningKey
from norc_actors.limits import OLD_RECORD_SECONDS
from norc_actors.protocol import devices, prekeys
from norc_actors.protocol.conversations import direct_state
from norc_actors.protocol.opening import Opened
from tests.support.chat import Chatter, delivered
from tests.support.people import NOW, Person, Phone, make_server

DAY = 86400
WAIT_DAYS = 4


def rotate(person: Person, phone: Phone, now: int) -> None:
    """A new device key as section 5 has it: signed by the user key, by the old and by the new key."""
    key = SigningKey.generate(person.algorithm, person.random)
    record = devices.make_record(person.user_id, phone.id, key.public_key, now=now, e2e_suites=phone.own.e2e_suites)
    devices.verify_rotation(phone.key.public_key, record, devices.sign_rotation(phone.key, key, record))
    old = {name: phone.entry[name] for name in ("record", "user_signature", "certificate")}
    kept = [o for o in phone.entry.get("older", []) if now - o["record"]["not_before"] < OLD_RECORD_SECONDS]
    phone.entry = {**person.entry_of(record), "older": [old, *kept]}
    phone.key, phone.record, phone.own = key, record, replace(phone.own, key=key)


def renew(person: Person, phone: Phone, now: int) -> None:
    """Daily: a new bundle; old halves go once the queue has drained and a day has passed."""
    newest = max(phone.bundles)
    person.restock(phone, now=now)
    phone.bundles[newest] = replace(phone.bundles[newest], replaced_at=now)
    gone = [
        prekey_id
        for prekey_id, secret in phone.bundles.items()
        if prekeys.may_erase(secret, drained_at=now - WAIT_DAYS * DAY, now=now)
    ]
    for prekey_id in gone:
        phone.bundles[prekey_id] = replace(phone.bundles[prekey_id], x25519=b"", mlkem_seed=None)


def test_a_year_of_rotations_and_no_message_lost():
    server = make_server()
    alice, bob = Person("alice", server), Person("bob", server)
    phones = {"alice": alice.phone(suites=["0001"]), "bob": bob.phone(suites=["0001"])}
    people = {"alice": alice, "bob": bob}
    state = direct_state(
        "2cd6bf73-5d0d-4567-96b2-70548f57d0df",
        alice.user_id, alice.user_key.public_key, bob.user_id, bob.user_key.public_key,
    )  # fmt: skip
    chats = {name: Chatter.of(phone, state) for name, phone in phones.items()}
    waiting: list[tuple[int, str, str, object]] = []
    rotations = opened = 0
    for day in range(365):
        now = NOW + day * DAY
        for name, phone in phones.items():
            if devices.renewal_due(phone.record["not_after"], now):
                rotate(people[name], phone, now)
                rotations += 1
            renew(people[name], phone, now)
        for name, other in (("alice", "bob"), ("bob", "alice")):
            target = people[other].device(phones[other])
            sealed = chats[name].send(f"day {day}", [target], now=now, classification="unclassified")
            message = delivered(sealed.message, phones[name], phones[other].id, accepted_at=now)
            waiting.append((day + day % WAIT_DAYS, name, other, message))
        due = [item for item in waiting if item[0] <= day]
        waiting = [item for item in waiting if item[0] > day]
        for _, name, other, message in due:
            result = chats[other].open(message, people[name].device(phones[name]), now=message.accepted_at)
            assert isinstance(result, Opened)
            opened += 1
    assert rotations == 4
    assert opened + len(waiting) == 2 * 365
    assert opened > 2 * 360
