"""Every formula of `crypto/` against the recorded vectors."""

import pytest

from norc_actors.crypto import hkdf, kem, layout, sessions, signatures
from norc_actors.crypto.errors import BadKeyError, BadSignatureError
from norc_actors.crypto.labels import signing_input
from norc_actors.crypto.padding import padded_length
from norc_actors.crypto.suites import SUITES, hash_for_key
from tests.support.vectors import b, cases, map_of, section


@pytest.mark.parametrize("v", cases("signatures", label="label"))
def test_signatures(v):
    key = signatures.SigningKey(v["algorithm"], b(v, "seed"))
    assert key.public_key == b(v, "public_key")
    assert signing_input(v["label"], b(v, "body")) == b(v, "signed")
    assert key.sign(v["label"], b(v, "body")) == b(v, "signature")
    signatures.verify(key.public_key, v["label"], b(v, "body"), b(v, "signature"))


@pytest.mark.parametrize("v", cases("ed25519_edges", label="name"))
def test_ed25519_edges(v):
    def check():
        signatures.verify(b(v, "public_key"), v["label"], b(v, "body"), b(v, "signature"))

    if v["accept"]:
        check()
    else:
        with pytest.raises(BadSignatureError):
            check()


@pytest.mark.parametrize("v", cases("hkdf"))
def test_hkdf(v):
    mac = SUITES[v["suite"]].hmac
    prk = hkdf.extract(mac, b(v, "salt"), b(v, "ikm"))
    assert prk == b(v, "prk")
    assert hkdf.expand(mac, prk, b(v, "info"), v["length"]) == b(v, "okm")


@pytest.mark.parametrize("v", cases("hmac"))
def test_hmac(v):
    assert SUITES[v["suite"]].hmac(b(v, "key"), b(v, "message")) == b(v, "mac")


@pytest.mark.parametrize("name", sorted(section("kem")))
def test_kem(name):
    v = section("kem")[name]
    assert kem.decapsulate(b(v, "seed"), b(v, "ciphertext")) == b(v, "secret")


@pytest.mark.parametrize("v", cases("x25519_refused"))
def test_x25519_refused(v):
    with pytest.raises(BadKeyError):
        kem.x25519(bytes(range(32)), b(v, "public_key"))


@pytest.mark.parametrize("v", cases("mlkem_refused"))
def test_mlkem_refused(v):
    with pytest.raises(BadKeyError):
        kem.encapsulate(b(v, "public_key"))


def test_aad():
    v = section("aad")
    got = layout.aad_v1(
        v["major"], v["minor"], v["type"], v["sequence"], bytes.fromhex(v["message_id"].replace("-", "")),
        v["length"], b(v, "prev"), b(v, "transcript_hash"),
    )  # fmt: skip
    assert got == b(v, "aad")
    assert len(got) == layout.AAD_V1_BYTES


@pytest.mark.parametrize("v", cases("padding", label="length"))
def test_padding(v):
    assert padded_length(v["length"]) == v["padded"]


@pytest.mark.parametrize("v", cases("chain_keys"))
def test_chain_keys(v):
    suite = SUITES[v["suite"]]
    ck = b(v, "session_key")
    steps = {step["i"]: step for step in v["steps"]}
    for index in range(1000):
        mk = sessions.message_key(suite, ck)
        if index in steps:
            assert (ck, mk) == (b(steps[index], "ck"), b(steps[index], "mk"))
        ck = sessions.next_chain_key(suite, ck)
    assert mk == b(v, "mk_999")


def _raw(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))


@pytest.mark.parametrize("v", cases("sessions"))
def test_session_key_schedule(v):
    suite, opened = SUITES[v["suite"]], map_of(v["open"])
    one_time = bytes.fromhex(v["one_time_priv"]) if v.get("one_time_priv") and "one_time_id" in opened else None
    kem_seed = bytes.fromhex(v["kem_seed"]) if suite.hybrid else None
    own = sessions.PrekeySecrets(x25519=b(v, "prekey_priv"), one_time=one_time, mlkem_seed=kem_seed)
    public = sessions.Prekeys(
        x25519=kem.x25519_public(own.x25519),
        one_time=kem.x25519_public(one_time) if one_time else None,
        mlkem768=kem.mlkem_public(kem_seed) if kem_seed else None,
    )
    agreement = sessions.agree_receiver(suite, own, public, opened["ephemeral_public_key"], opened.get("pq_ciphertext"))
    names = sessions.Names(
        sender_user=opened["sender_user"].encode(), sender_device=_raw(opened["sender_device"]),
        target_user=opened["target_user"].encode(), target_device=_raw(opened["target_device"]),
        session_id=_raw(opened["session_id"]), prekey_id=opened["prekey_id"],
    )  # fmt: skip
    assert kem.x25519_public(b(v, "e_priv")) == opened["ephemeral_public_key"]
    assert agreement.ss == b(v, "ss")
    assert agreement.bind == b(v, "bind")
    assert sessions.wrap_key(suite, agreement, opened["key_commitment"], names) == b(v, "wrap_key")
    assert sessions.wrap_session_key(suite, agreement, names, b(v, "session_key")) == (
        opened["key_commitment"],
        opened["wrapped"],
    )
    opened_key = sessions.unwrap_session_key(suite, agreement, names, opened["key_commitment"], opened["wrapped"])
    assert opened_key == b(v, "session_key")


@pytest.mark.parametrize("v", cases("messages"))
def test_message_formulas(v):
    suite = SUITES[v["suite"]]
    for m in v["messages"]:
        sent = map_of(m["message_send"])
        names = sessions.ContentNames(
            message_id=_raw(sent["message_id"]), chain_id=_raw(sent["chain_id"]),
            conversation_id=_raw(sent["conversation_id"]), sequence_number=sent["sequence_number"],
            prev_message_hash=sent["prev_message_hash"],
        )  # fmt: skip
        assert sessions.seal_content(suite, b(m, "content_key"), names, b(m, "plaintext")) == sent["ciphertext"]
        assert sessions.commitment(suite, b(m, "content_key")) == sent["key_commitment"]
        assert suite.hash(sent["ciphertext"]) == b(m, "ciphertext_hash")
        for d in m["devices"]:
            wrap = sessions.WrapNames(
                sender_user=b"alice@a.example", sender_device=_raw("8730f70d-c056-4103-9108-3d814ee5a7da"),
                user=d["user"].encode(), device=_raw(d["device"]), message_id=names.message_id,
                session_id=_raw(d["session_id"]), index=d["index"],
            )  # fmt: skip
            wrapped = sent["encrypted_keys"][d["device"]]["wrapped"]
            got = sessions.wrap_content_key(suite, b(d, "mk"), sent["key_commitment"], wrap, b(m, "content_key"))
            assert got == wrapped


def test_user_key_hash():
    for v in section("devices"):
        assert hash_for_key(b(v, "user_key"))(b(v, "user_key")) == b(v, "user_key_hash")
