"""Enrolment: links, tokens, proof of work, the registration signature, the code that people compare."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.ids import ServerId
from norc_actors.protocol import enrolment
from norc_actors.protocol.enrolment import BadLinkError, EnrolmentLink, parse_link
from tests.support.people import ALGORITHMS, Person, make_server, seeded
from tests.vectors.files import holds, recorded

# --- Links ---


def link(**changes) -> EnrolmentLink:
    server = make_server()
    values = {
        "server_id": ServerId("norc.example"),
        "token": enrolment.new_token(seeded("token")),
        "key_hashes": (enrolment.server_key_hash(server.key.public_key),),
    } | changes
    return EnrolmentLink(**values)


@given(
    token=st.binary(min_size=32, max_size=32),
    keys=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3),
)
def test_links_round_trip(token, keys):
    made = link(token=token, key_hashes=tuple(keys))
    assert parse_link(str(made)) == made
    assert parse_link(f"  {made}\n") == made


def test_a_link_names_its_servers_keys_and_hides_its_token():
    made = link()
    assert made.names_key(make_server().key.public_key)
    assert not made.names_key(make_server(algorithm="p256").key.public_key)
    both = link(
        key_hashes=tuple(enrolment.server_key_hash(make_server(algorithm=a).key.public_key) for a in ALGORITHMS)
    )
    assert all(both.names_key(make_server(algorithm=a).key.public_key) for a in ALGORITHMS)
    assert str(made).startswith("norc://norc.example/enroll?v=1&t=")
    assert repr(made.token) not in repr(made)
    assert str(made).split("t=")[1][:20] not in repr(made)


@pytest.mark.parametrize(
    "change",
    [
        ("norc://", "https://"), ("/enroll", "/other"), ("v=1", "v=2"), ("v=1&", ""),
        ("norc.example", "norc.example:1"),
        ("norc.example", "NORC.example"), ("norc.example", "user@norc.example"), ("&k=", "&x="), ("&t=", "&x="),
        ("&t=", "&t=A"), ("&k=", "&k=!"), ("?v", "#v"), ("norc.example", ""),
    ],
)  # fmt: skip
def test_bad_links(change):
    broken = str(link()).replace(*change)
    with pytest.raises(BadLinkError):
        parse_link(broken)


@given(st.text(max_size=200), st.sampled_from(["{}", "norc://a/enroll?{}", "norc://{}", "norc://{}/enroll?v=1"]))
def test_any_text_is_refused_as_a_bad_link(text, shape):
    with pytest.raises(BadLinkError, match="link"):
        parse_link(shape.format(text.replace("k=", "")))


def test_truncated_links_never_pass():
    whole = str(link())
    for end in range(len(whole)):
        with pytest.raises(BadLinkError):
            parse_link(whole[:end])


def test_unknown_parameters_are_ignored():
    assert parse_link(f"{link()}&z=1&name=x") == link()


def test_token_hash():
    assert enrolment.token_hash(link().token) != link().token
    assert len(enrolment.token_hash(link().token)) == 32


# --- Proof of work ---


@recorded("devices", "registrations", "refused_registrations")
def test_recorded(entry):
    assert holds(entry)


def test_leading_zero_bits():
    assert enrolment.zero_bits(bytes(32)) == 256
    assert enrolment.zero_bits(b"\x80" + bytes(31)) == 0
    assert enrolment.zero_bits(b"\x00\x10" + bytes(30)) == 11


@pytest.mark.parametrize("suite", PREFERENCE)
def test_work_is_bound_to_challenge_device_and_key(suite):
    arguments = [SUITES[suite], b"c" * 32, "8730f70d-c056-4103-9108-3d814ee5a7da", b"k" * 32]
    solution = enrolment.solve(*arguments, 10)
    assert enrolment.is_solution(*arguments, 10, solution)
    for position, other in ((1, b"d" * 32), (2, "8730f70d-c056-4103-9108-3d814ee5a7db"), (3, b"l" * 32)):
        changed = [*arguments]
        changed[position] = other
        assert not enrolment.is_solution(*changed, 10, solution)
    for solution in (-1, 2**53, 2**64):
        assert not enrolment.is_solution(*arguments, 0, solution)
    for difficulty in (-1, 29):
        with pytest.raises(ValueError, match="work"):
            enrolment.solve(*arguments, difficulty)


# --- Registration ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_registration_binds_connection_challenge_and_every_member(algorithm):
    alice = Person("alice", make_server(), algorithm=algorithm)
    phone = alice.phone()
    register = {"type": "device_register", **phone.record, "device_info": {"name": "phone"}}
    th, challenge = b"t" * 32, b"c" * 32
    signature = enrolment.sign_registration(phone.key, th, challenge, register)
    enrolment.verify_registration(th, challenge, register, signature)
    other = SigningKey.generate(algorithm, seeded("other")).public_key
    for arguments in (
        (b"u" * 32, challenge, register),
        (th, b"d" * 32, register),
        (th, challenge, {**register, "device_info": {"name": "other"}}),
        (th, challenge, {**register, "enrollment_token": bytes(32)}),
        (th, challenge, {**register, "public_key": other}),
        (th, challenge, {**register, "public_key": "text"}),
    ):
        with pytest.raises(BadSignatureError):
            enrolment.verify_registration(*arguments, signature)


# --- Code ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_device_code(algorithm):
    phone = Person("alice", make_server(), algorithm=algorithm).phone()
    code = enrolment.device_code(phone.id, phone.key.public_key)
    assert [len(group) for group in code.split()] == [5] * 4
    assert enrolment.code_matches(code.replace(" ", "-"), phone.id, phone.key.public_key)
    other = SigningKey.generate(algorithm, seeded("other")).public_key
    assert not enrolment.code_matches(code, phone.id, other)
    assert not enrolment.code_matches("", phone.id, phone.key.public_key)
