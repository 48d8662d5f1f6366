"""Authentication: vectors, the window of time, and one refusal for every cause."""

from typing import Any

import msgspec
import pytest

from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol.auth import AuthChallenge, sign_auth, verify_auth
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import AuthRequest
from tests.vectors.files import holds, recorded
from tests.vectors.reading import Entry


@recorded("auth", "refused_auth")
def test_recorded(entry: Entry) -> None:
    assert holds(entry)


TH, CHALLENGE, NOW = b"t" * 32, b"c" * 32, 1000.0
KEY = SigningKey("ed25519", b"k" * 32)
REQUEST: AuthRequest = sign_auth(
    KEY,
    th=TH,
    challenge=CHALLENGE,
    user_id="alice@a.example",
    device_id="8730f70d-c056-4103-9108-3d814ee5a7da",
    now=NOW,  # type: ignore[arg-type]
)


def _refused(request: AuthRequest = REQUEST, key: bytes | None = KEY.public_key, **changes: Any) -> None:
    arguments: dict[str, Any] = {"th": TH, "challenge": CHALLENGE, "now": NOW} | changes
    with pytest.raises(ProtocolError) as caught:
        verify_auth(request, key, **arguments)
    assert caught.value.code is Code.AUTHENTICATION
    assert caught.value.detail == ""  # the same for every cause


def test_refused() -> None:
    verify_auth(REQUEST, KEY.public_key, th=TH, challenge=CHALLENGE, now=NOW)
    _refused(key=None)
    _refused(key=SigningKey("ed25519", b"x" * 32).public_key)
    _refused(key=b"")
    _refused(th=b"u" * 32)
    _refused(challenge=b"d" * 32)
    _refused(challenge=None)
    for change in (
        {"user_id": "bob@a.example"},
        {"device_id": "8730f70d-c056-4103-9108-3d814ee5a7db"},
        {"timestamp": 1001},
        {"signature": bytes(64)},
    ):
        _refused(msgspec.structs.replace(REQUEST, **change))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("now", "accepted"), [(995.0, True), (994.9, False), (1005.9, True), (1006.0, False), (4600, False)]
)
def test_skew(now: float, accepted: bool) -> None:
    """More than 5 s is refused (row B41); both clocks count whole seconds."""
    if accepted:
        verify_auth(REQUEST, KEY.public_key, th=TH, challenge=CHALLENGE, now=now)
    else:
        _refused(now=now)


def test_nobodys_key_does_not_authenticate() -> None:
    """The decoy that makes refusals cost the same is a real key: even its owner is refused."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    request = sign_auth(
        SigningKey("ed25519", seed),
        th=TH,
        challenge=CHALLENGE,
        user_id=REQUEST.user_id,
        device_id=REQUEST.device_id,
        now=NOW,
    )
    _refused(request, None)


def test_a_challenge_is_taken_once_and_in_time() -> None:
    challenge = AuthChallenge(CHALLENGE, 0.0)
    assert challenge.take(60.0) == CHALLENGE
    assert challenge.take(1.0) is None
    assert AuthChallenge(CHALLENGE, 0.0).take(60.1) is None
