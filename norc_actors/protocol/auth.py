"""Authentication of a device on a sealed connection (section 4, *Authentication*; D-26; row B41).

```
auth_request.signature = Sign(device key, "auth:v1", th ‖ auth_challenge ‖ len‖user_id ‖ device_id ‖ timestamp:u64)
```
Rules
- The challenge came with `connection_accepted`: it is single-use (one per connection, `AuthChallenge` forgets it) and
  lives 60 s. It is never signed alone: `th` binds the signature to this connection.
- Skew over 5 s, unknown user or device, revoked device, bad signature: the same error 1000 after the same work, so the
  caller always calls `verify_auth`, with `None` as key where there is none; a signature is then checked in vain.
"""

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.layout import lv, u64
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.ids import DeviceId, UserId, uuid_bytes
from norc_actors.limits import AUTH_SKEW_SECONDS, CHALLENGE_SECONDS

from .errors import Code, ProtocolError
from .messages import AuthRequest

_NOBODY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""A public key whose private half nobody uses (RFC 8032's first test): it makes refusals cost the same."""


def auth_body(th: bytes, challenge: bytes, user_id: UserId, device_id: DeviceId, timestamp: int) -> bytes:
    """What `auth:v1` signs; `th` and `challenge` have 32 bytes, `timestamp` is seconds."""
    return th + challenge + lv(user_id.encode("ascii")) + uuid_bytes(device_id) + u64(timestamp)


def sign_auth(
    key: Signer, *, th: bytes, challenge: bytes, user_id: UserId, device_id: DeviceId, now: float
) -> AuthRequest:
    """The device's auth_request."""
    timestamp = int(now)
    signature = key.sign("auth:v1", auth_body(th, challenge, user_id, device_id, timestamp))
    return AuthRequest(user_id=user_id, device_id=device_id, timestamp=timestamp, signature=signature)


def verify_auth(
    request: AuthRequest, public_key: bytes | None, *, th: bytes, challenge: bytes | None, now: float
) -> None:
    """Return if the request proves `public_key`, else raise `ProtocolError` AUTHENTICATION, whatever was wrong.

    `public_key` is None for an unknown user, an unknown, revoked or expired device; `challenge` None once it was used.
    """
    body = auth_body(th, challenge or bytes(32), request.user_id, request.device_id, request.timestamp)
    try:
        verify(public_key or _NOBODY, "auth:v1", body, request.signature)
        held = True
    except BadSignatureError:
        held = False
    in_time = abs(int(now) - request.timestamp) <= AUTH_SKEW_SECONDS
    if public_key is None or challenge is None or not held or not in_time:
        raise ProtocolError(Code.AUTHENTICATION)


class AuthChallenge:
    """The challenge of one connection: `take` gives it once and only within 60 s of its making, else None."""

    __slots__ = ("_made_at", "_value")

    def __init__(self, value: bytes, made_at: float) -> None:
        self._value: bytes | None = value
        self._made_at = made_at

    def take(self, now: float) -> bytes | None:
        """The challenge, the first time; None afterwards and when it is too old."""
        value, self._value = self._value, None
        return value if now - self._made_at <= CHALLENGE_SECONDS else None
