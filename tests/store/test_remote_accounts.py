"""check_store, users of other servers: their devices, revocations, and who looked ours up (sections 1, 5, 8)."""

import pytest

from norc_actors import limits
from norc_actors.store.account_values import Device, Revocation, Token
from norc_actors.store.accounts import AccountStore
from norc_actors.store.database import Database
from norc_actors.store.errors import DeviceExistsError

NOW = 1_800_000_000
ALICE, ERNA, EMIL, WALT = "alice@example.org", "erna@east.example", "emil@east.example", "walt@west.example"


@pytest.fixture
def store(database: Database) -> AccountStore:
    """The store with Alice's device a1."""
    store = AccountStore(database)
    store.add_token(Token(token_hash=b"hash", user_id=ALICE, expires_at=NOW + 60))
    device = Device(
        device_id="a1",
        user_id=ALICE,
        public_key=b"key",
        record=b"record",
        user_signature=b"signature",
        certificate=b"certificate",
        not_after=NOW + 1000,
    )
    store.register_first(device, user_key=b"user key", token_hash=b"hash", now=NOW)
    return store


def revocation(device_id: str, user_id: str = ERNA, *, number: int = 1, signed_by: str = "user") -> Revocation:
    return Revocation(
        device_id=device_id,
        user_id=user_id,
        revocation_id=f"r{number}",
        signed_by=signed_by,
        effective=NOW,
        keep_until=NOW + 100,
        revocation=b"map",
    )


def test_a_list_replaces_what_was_known_of_the_user(store: AccountStore) -> None:
    remote = store.remote
    assert remote.put_devices({ERNA: ["e1", "e2"], EMIL: ["m1"]}, now=NOW) == []
    assert remote.devices([ERNA, EMIL, WALT]) == {"e1": ERNA, "e2": ERNA, "m1": EMIL}
    assert remote.put_devices({ERNA: ["e2", "e3", "e3"]}, now=NOW + 5) == []
    assert remote.devices([ERNA]) == {"e2": ERNA, "e3": ERNA}
    assert remote.put_devices({ERNA: []}, now=NOW + 5) == []
    assert remote.devices([ERNA, EMIL]) == {"m1": EMIL}
    assert (remote.put_devices({}, now=NOW), remote.devices([])) == ([], {})


def test_a_device_has_one_user_the_first_and_a_local_one_always(store: AccountStore) -> None:
    store.remote.put_devices({ERNA: ["e1"]}, now=NOW)
    assert store.remote.put_devices({WALT: ["w1", "e1", "a1"], EMIL: ["m1", "w1"]}, now=NOW) == ["a1", "e1", "w1"]
    assert store.remote.devices([ERNA, WALT, EMIL, ALICE]) == {"e1": ERNA, "w1": WALT, "m1": EMIL}


def test_a_device_that_went_may_be_anothers(store: AccountStore) -> None:
    store.remote.put_devices({ERNA: ["e1"]}, now=NOW)
    assert store.remote.put_devices({ERNA: [], EMIL: ["e1"]}, now=NOW) == []
    assert store.remote.devices([ERNA, EMIL]) == {"e1": EMIL}


def test_a_revoked_device_does_not_come_back(store: AccountStore) -> None:
    store.remote.put_devices({ERNA: ["e1", "e2"]}, now=NOW)
    assert store.remote.revoke(revocation("e1"))
    assert not store.remote.revoke(revocation("e1", number=2))
    store.remote.put_devices({ERNA: ["e1", "e2"]}, now=NOW)
    assert store.remote.devices([ERNA]) == {"e2": ERNA}
    assert store.remote.revocation(ERNA, "e1") == revocation("e1")
    assert store.remote.revocation(ERNA, "e2") is None


def test_a_server_revokes_nothing_of_anothers(store: AccountStore) -> None:
    """Neither a device_id nor a revocation_id that one server uses up keeps another from revoking its own."""
    store.remote.put_devices({ERNA: ["e1"]}, now=NOW)
    assert store.remote.revoke(revocation("e1", WALT))
    assert store.remote.devices([ERNA]) == {"e1": ERNA}
    assert store.remote.revoke(revocation("e1", ERNA))
    assert store.remote.devices([ERNA]) == {}
    assert store.remote.revoke(revocation("a1", WALT))
    assert store.revoke(revocation("a1", ALICE))


def test_the_last_revocation_is_by_user_and_signer(store: AccountStore) -> None:
    for number, signer in ((1, "user"), (2, "user"), (3, "server")):
        store.remote.revoke(revocation(f"e{number}", number=number, signed_by=signer))
    assert store.remote.last_revocation(ERNA, "user") == revocation("e2", number=2)
    assert store.remote.last_revocation(ERNA, "server").revocation_id == "r3"
    assert store.remote.last_revocation(EMIL, "user") is None
    assert store.last_revocation(ERNA, "user") is None


def test_who_looked_a_user_up_is_remembered(store: AccountStore) -> None:
    store.remote.note_lookup([ALICE, "bob@example.org"], "west.example", now=NOW)
    store.remote.note_lookup([ALICE], "east.example", now=NOW)
    store.remote.note_lookup([ALICE], "east.example", now=NOW + 5)
    store.remote.note_lookup([], "north.example", now=NOW)
    assert store.remote.lookers(ALICE) == ["east.example", "west.example"]
    assert store.remote.lookers("carol@example.org") == []


def test_purge_forgets_whom_nobody_asked_for_and_old_revocations(store: AccountStore) -> None:
    store.remote.put_devices({ERNA: ["e1"]}, now=NOW)
    store.remote.put_devices({EMIL: ["m1"]}, now=NOW + 50)
    store.remote.revoke(revocation("e2"))
    store.remote.note_lookup([ALICE], "east.example", now=NOW)
    assert store.purge(NOW + 99) == 0
    assert store.purge(NOW + 100) == 1
    assert store.remote.revocation(ERNA, "e2") is None
    assert store.purge(NOW + limits.OLD_RECORD_SECONDS) == 1
    assert store.remote.devices([ERNA, EMIL]) == {"m1": EMIL}
    assert store.remote.lookers(ALICE) == ["east.example"]


def test_a_local_device_is_registered_whatever_other_servers_said(store: AccountStore) -> None:
    store.remote.put_devices({ERNA: ["a2"]}, now=NOW)
    store.add_device(Device(**{**_fields(store.device("a1")), "device_id": "a2"}), user_key=b"user key")
    assert store.remote.put_devices({ERNA: ["a2"]}, now=NOW) == ["a2"]
    with pytest.raises(DeviceExistsError):
        store.add_device(store.device("a2"), user_key=b"user key")


def _fields(device: Device) -> dict[str, object]:
    return {name: getattr(device, name) for name in device.__struct_fields__}
