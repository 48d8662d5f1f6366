"""check_store, accounts: users, devices, tokens, prekeys, revocations, conversations (sections 5, 6)."""

import threading
from collections.abc import Callable

import pytest

from norc_actors import limits
from norc_actors.store.accounts import (
    AccountStore,
    Conversation,
    Device,
    HandOut,
    PrekeyStatus,
    Revocation,
    Token,
    User,
)
from norc_actors.store.database import Database
from norc_actors.store.errors import (
    AccountError,
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

NOW = 1_800_000_000
ALICE, BOB = "alice@example.org", "bob@example.org"
KEY, TOKEN = b"user key", b"hash of a token"


def device(device_id: str = "a1", user_id: str = ALICE, **more: object) -> Device:
    values = {
        "public_key": f"key of {device_id}".encode(),
        "record": b"record",
        "user_signature": b"signature",
        "certificate": b"certificate",
        "not_after": NOW + 1000,
    }
    return Device(device_id=device_id, user_id=user_id, **(values | more))


def token(token_hash: bytes = TOKEN, user_id: str = ALICE, expires_at: int = NOW + 60) -> Token:
    return Token(token_hash=token_hash, user_id=user_id, expires_at=expires_at)


@pytest.fixture
def store(database: Database) -> AccountStore:
    return AccountStore(database)


@pytest.fixture
def alice(store: AccountStore) -> AccountStore:
    """The store with Alice's first device, a1."""
    store.add_token(token())
    store.register_first(device(), user_key=KEY, token_hash=TOKEN, now=NOW)
    return store


# --- enrolment ---


def test_a_first_device_redeems_its_token(alice: AccountStore) -> None:
    assert alice.user(ALICE) == User(user_id=ALICE, user_key=KEY)
    assert alice.device("a1") == device()
    assert alice.token(TOKEN).used_at == NOW
    assert alice.users() == [alice.user(ALICE)]
    assert alice.statistics() == {"users": 1, "devices": 1, "conversations": 0}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"token_hash": b"another"}, TokenUnknownError),
        ({"now": NOW + 60}, TokenExpiredError),
        ({"device": device(user_id=BOB)}, TokenUnknownError),
    ],
)
def test_a_bad_token_registers_nothing(store: AccountStore, change: dict, error: type[AccountError]) -> None:
    store.add_token(token())
    arguments = {"device": device(), "token_hash": TOKEN, "now": NOW} | change
    with pytest.raises(error, match="ask for a new one"):
        store.register_first(arguments.pop("device"), user_key=KEY, **arguments)
    assert (store.users(), store.device("a1"), store.token(TOKEN).used_at) == ([], None, None)


def test_a_token_is_used_once(alice: AccountStore) -> None:
    with pytest.raises(TokenUsedError):
        alice.register_first(device("a2"), user_key=KEY, token_hash=TOKEN, now=NOW)


def test_a_token_is_used_once_also_by_two_at_the_same_time(opener: Callable[[], Database]) -> None:
    stores = [AccountStore(opener()) for _ in range(4)]
    stores[0].add_token(token())
    results: list[str] = []

    def redeem(number: int) -> None:
        try:
            stores[number].register_first(device(f"a{number}"), user_key=KEY, token_hash=TOKEN, now=NOW)
            results.append("registered")
        except TokenUsedError:
            results.append("used")

    threads = [threading.Thread(target=redeem, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["registered", "used", "used", "used"]


def test_a_refused_registration_does_not_use_the_token_up(alice: AccountStore) -> None:
    alice.add_token(token(b"second"))
    with pytest.raises(UserExistsError):
        alice.register_first(device("a2"), user_key=b"another key", token_hash=b"second", now=NOW)
    assert alice.token(b"second").used_at is None
    assert alice.user(ALICE).user_key == KEY


def test_a_user_rotation_replaces_the_key(alice: AccountStore) -> None:
    alice.add_token(token(b"second"))
    alice.register_first(device("a2"), user_key=b"new", token_hash=b"second", now=NOW, user_rotation=b"rotation")
    assert alice.user(ALICE) == User(user_id=ALICE, user_key=b"new", user_rotation=b"rotation")


def test_a_known_device_id_is_refused_also_if_revoked(alice: AccountStore) -> None:
    alice.revoke(revocation())
    with pytest.raises(DeviceExistsError):
        alice.add_device(device(), user_key=KEY)


def test_a_further_device_needs_the_users_key(alice: AccountStore) -> None:
    alice.add_device(device("a2"), user_key=KEY)
    with pytest.raises(UserExistsError):
        alice.add_device(device("a3"), user_key=b"another")
    with pytest.raises(UserUnknownError):
        alice.add_device(device("b1", BOB), user_key=KEY)
    assert [d.device_id for d in alice.devices([ALICE, BOB], now=NOW)] == ["a1", "a2"]


def test_serials_are_never_given_twice(opener: Callable[[], Database]) -> None:
    one, two = AccountStore(opener()), AccountStore(opener())
    assert [one.next_serial(), two.next_serial(), one.next_serial()] == [1, 2, 3]


def test_devices_lists_what_is_active(alice: AccountStore) -> None:
    alice.add_device(device("a2", not_after=NOW), user_key=KEY)
    alice.add_device(device("a3"), user_key=KEY)
    alice.revoke(revocation("a3"))
    assert [d.device_id for d in alice.devices([ALICE], now=NOW)] == ["a1"]
    every = alice.devices([ALICE], now=NOW, include_revoked=True)
    assert [(d.device_id, d.status) for d in every] == [("a1", "active"), ("a2", "active"), ("a3", "revoked")]
    assert alice.devices([], now=NOW) == []


def test_seen(alice: AccountStore) -> None:
    alice.seen("a1", now=NOW + 5)
    assert alice.device("a1").last_seen == NOW + 5


def test_a_rotated_device_keeps_its_old_record_for_37_days(alice: AccountStore) -> None:
    new = device(public_key=b"new", record=b"new record", not_after=NOW + 9999)
    with pytest.raises(DeviceUnknownError):
        alice.rotate_device(new, replaces=b"not its key", now=NOW)
    alice.rotate_device(new, replaces=b"key of a1", now=NOW)
    assert alice.device("a1") == new
    assert [(o.public_key, o.record) for o in alice.old_records(["a1"], now=NOW)] == [(b"key of a1", b"record")]
    assert alice.old_records(["a1"], now=NOW + limits.OLD_RECORD_SECONDS) == []
    assert alice.purge(NOW + limits.OLD_RECORD_SECONDS) >= 1


# --- prekeys ---


def test_prekeys_are_counted(alice: AccountStore) -> None:
    assert alice.prekey_status("a1") == PrekeyStatus(one_time_left=0, bundle_expires_at=0)
    status = alice.put_prekeys("a1", bundle=(b"bundle", NOW + 50), one_time=[(1, b"one"), (2, b"two")])
    assert status == alice.prekey_status("a1") == PrekeyStatus(one_time_left=2, bundle_expires_at=NOW + 50)
    assert alice.put_prekeys("a1", bundle=None, one_time=[(2, b"two"), (3, b"three")]).one_time_left == 3
    with pytest.raises(DeviceUnknownError):
        alice.put_prekeys("a2", bundle=None, one_time=[])


def test_each_requester_gets_one_key_of_a_target_a_day(alice: AccountStore) -> None:
    alice.put_prekeys("a1", bundle=(b"bundle", NOW + 10**6), one_time=[(7, b"seven"), (8, b"eight")])
    assert alice.hand_out("b1", ["a1", "a2"], now=NOW) == {"a1": HandOut(bundle=b"bundle", one_time=b"seven")}
    assert alice.hand_out("b1", ["a1"], now=NOW + 86399) == {"a1": HandOut(bundle=b"bundle", one_time=None)}
    assert alice.hand_out("b2", ["a1"], now=NOW)["a1"].one_time == b"eight"
    assert alice.hand_out("b3", ["a1"], now=NOW)["a1"].one_time is None
    alice.put_prekeys("a1", bundle=None, one_time=[(9, b"nine")])
    assert alice.hand_out("b1", ["a1"], now=NOW + 86400)["a1"].one_time == b"nine"


def test_a_key_that_was_handed_out_does_not_come_back_with_a_repeated_upload(alice: AccountStore) -> None:
    alice.put_prekeys("a1", bundle=(b"bundle", NOW + 50), one_time=[(7, b"seven")])
    alice.hand_out("b1", ["a1"], now=NOW)
    assert alice.put_prekeys("a1", bundle=None, one_time=[(7, b"seven")]).one_time_left == 0
    assert alice.hand_out("b2", ["a1"], now=NOW)["a1"].one_time is None


def test_an_expired_bundle_is_not_handed_out(alice: AccountStore) -> None:
    alice.put_prekeys("a1", bundle=(b"bundle", NOW), one_time=[(7, b"seven")])
    assert alice.hand_out("b1", ["a1"], now=NOW) == {}
    assert alice.prekey_status("a1").one_time_left == 1


# --- revocation ---


def revocation(device_id: str = "a1", number: int = 1, signed_by: str = "user") -> Revocation:
    return Revocation(
        device_id=device_id,
        user_id=ALICE,
        revocation_id=f"r{number}",
        signed_by=signed_by,
        effective=NOW,
        keep_until=NOW + 100,
        revocation=b"map",
    )


def test_a_revoked_device_loses_its_prekeys(alice: AccountStore) -> None:
    alice.put_prekeys("a1", bundle=(b"bundle", NOW + 50), one_time=[(7, b"seven")])
    assert alice.revoke(revocation())
    assert alice.device("a1").status == "revoked"
    assert alice.revocation("a1") == revocation()
    assert alice.hand_out("b1", ["a1"], now=NOW) == {}
    with pytest.raises(DeviceUnknownError):
        alice.put_prekeys("a1", bundle=None, one_time=[])


def test_revoking_twice_changes_nothing(alice: AccountStore) -> None:
    alice.revoke(revocation())
    assert not alice.revoke(revocation(number=2))
    assert alice.revocation("a1").revocation_id == "r1"
    with pytest.raises(DeviceUnknownError):
        alice.revoke(revocation("a9"))


def test_the_last_revocation_is_by_signer(alice: AccountStore) -> None:
    assert alice.last_revocation(ALICE, "user") is None
    for number, signer in ((2, "user"), (3, "user"), (4, "server")):
        alice.add_device(device(f"a{number}"), user_key=KEY)
        alice.revoke(revocation(f"a{number}", number, signer))
    assert alice.last_revocation(ALICE, "user").revocation_id == "r3"
    assert alice.last_revocation(ALICE, "server").revocation_id == "r4"
    assert alice.last_revocation(BOB, "user") is None


# --- conversations ---


def conversation(epoch: int = 1, conversation_id: str = "c", kind: str = "group") -> Conversation:
    return Conversation(conversation_id=conversation_id, epoch=epoch, type=kind, signed_state=b"state %d" % epoch)


def test_epochs_follow_each_other(store: AccountStore) -> None:
    store.put_conversation(conversation(), [ALICE, BOB])
    store.put_conversation(conversation(2), [BOB])
    assert store.conversation("c") == conversation(2)
    assert store.conversation("c", 1) == conversation(1)
    assert (store.conversation("c", 3), store.conversation("d")) == (None, None)
    assert store.members("c") == [BOB]
    assert (store.conversations_of(ALICE), store.conversations_of(BOB)) == ([], ["c"])


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_state_that_is_no_successor_is_refused(store: AccountStore, epoch: int) -> None:
    store.put_conversation(conversation(), [ALICE])
    store.put_conversation(conversation(2), [ALICE])
    with pytest.raises(EpochConflictError) as caught:
        store.put_conversation(conversation(epoch), [BOB])
    assert caught.value.current == 2
    assert store.members("c") == [ALICE]


def test_a_conversation_begins_with_epoch_1_and_once(store: AccountStore) -> None:
    with pytest.raises(EpochConflictError) as caught:
        store.put_conversation(conversation(2), [ALICE])
    assert caught.value.current == 0
    store.put_conversation(conversation(), [ALICE])
    with pytest.raises(ConversationExistsError):
        store.put_conversation(conversation(), [BOB])


def test_two_users_share_one_direct_conversation(store: AccountStore) -> None:
    store.put_conversation(conversation(kind="direct"), [ALICE, BOB])
    with pytest.raises(DirectExistsError) as caught:
        store.put_conversation(conversation(conversation_id="d", kind="direct"), [BOB, ALICE])
    assert caught.value.conversation_id == "c"
    assert store.conversation("d") is None
    store.put_conversation(conversation(conversation_id="e", kind="direct"), [BOB, "carol@example.org"])
    with pytest.raises(ValueError, match="two members"):
        store.put_conversation(conversation(conversation_id="f", kind="direct"), [BOB])


def test_two_servers_may_each_make_a_direct_conversation(store: AccountStore) -> None:
    erna = "erna@east.example"
    store.put_conversation(conversation(kind="direct"), [ALICE, erna])
    store.put_conversation(conversation(conversation_id="d", kind="direct"), [erna, ALICE], from_elsewhere=True)
    assert store.conversations_of(erna) == ["c", "d"]
    assert (store.members("d"), store.servers_of("d")) == ([ALICE, erna], ["east.example", "example.org"])
    with pytest.raises(DirectExistsError) as caught:
        store.put_conversation(conversation(conversation_id="e", kind="direct"), [ALICE, erna])
    assert caught.value.conversation_id == "c"
    with pytest.raises(ConversationExistsError):
        store.put_conversation(conversation(conversation_id="d", kind="direct"), [ALICE, erna], from_elsewhere=True)


def test_a_direct_conversation_from_elsewhere_is_the_one_of_its_users(store: AccountStore) -> None:
    store.put_conversation(conversation(kind="direct"), [ALICE, "erna@east.example"], from_elsewhere=True)
    with pytest.raises(DirectExistsError) as caught:
        store.put_conversation(conversation(conversation_id="d", kind="direct"), ["erna@east.example", ALICE])
    assert caught.value.conversation_id == "c"


def test_states_from_elsewhere_may_be_known_with_gaps(store: AccountStore) -> None:
    store.put_conversation(conversation(5), [ALICE, "erna@east.example"], from_elsewhere=True)
    store.put_conversation(conversation(7), [ALICE], from_elsewhere=True)
    assert (store.conversation("c"), store.conversation("c", 6)) == (conversation(7), None)
    assert store.servers_of("c") == ["example.org"]
    for epoch in (6, 7):
        with pytest.raises(EpochConflictError) as caught:
            store.put_conversation(conversation(epoch), [BOB], from_elsewhere=True)
        assert caught.value.current == 7
    assert store.members("c") == [ALICE]


# --- housekeeping ---


def test_purge_removes_what_is_past_its_time(alice: AccountStore) -> None:
    alice.put_prekeys("a1", bundle=(b"bundle", NOW + 50), one_time=[(7, b"seven"), (8, b"eight")])
    alice.hand_out("b1", ["a1"], now=NOW)
    assert alice.purge(NOW) == 0
    assert alice.purge(NOW + 86400) == 2  # the bundle and the hand-out
    assert alice.prekey_status("a1") == PrekeyStatus(one_time_left=1, bundle_expires_at=0)
    alice.revoke(revocation())
    assert alice.purge(NOW + 86400) == 1
    assert alice.revocation("a1") is None
    assert alice.device("a1").status == "revoked"
