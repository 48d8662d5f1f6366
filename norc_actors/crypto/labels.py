"""The closed lists of signature labels and derivation labels (sections 1, 4, 6, 8–10; D-21; row `B53`).

A label separates domains: one key must never serve two formulas. So the lists are closed, every signature and every
HKDF goes through them, and a label outside raises `UnlabelledError`, which no handler of bad input catches.
To add a formula, add its label here first.
"""

from .errors import UnlabelledError

_TRUST_TYPES = (
    "capabilities", "request", "challenge", "response", "decision", "acknowledgment", "revoke",
    "revocation-acknowledgment", "crl-request", "recommendation", "recommendation-response", "gov-pki-trust-request",
    "health-check", "health-report", "renewal", "compliance-report", "compliance-report-response",
)  # fmt: skip

SIGN_LABELS: frozenset[str] = frozenset(
    f"{name}:v1"
    for name in (
        "handshake", "auth", "register", "user-device", "user-rotate", "device-cert", "device-rotate",
        "device-revoke", "prekey", "session", "message", "receipt", "conversation", "server-rotate", "server-info",
        "fed-link", "fed-request", "relay", "route", "trust-proof", "trust-cert", "trust-crl", "time", "audit-root",
        *(f"trust-{kind}" for kind in _TRUST_TYPES),
    )
)  # fmt: skip
"""What `Sign` takes as label: `norc:` goes before it and a zero byte after it."""

KDF_LABELS: frozenset[bytes] = frozenset(
    f"norc:{name}:v1".encode()
    for name in (
        "ms", "tk:c2s", "tk:s2c", "tk:rekey", "tk:update", "ms:rekey",
        "session", "session:msg", "session:chain", "wrap", "file", "call", "call:next", "audit:day", "profile",
    )
)  # fmt: skip
"""How every `info` of an HKDF begins."""

_SIGN_PREFIX = {label: b"norc:" + label.encode() + b"\0" for label in SIGN_LABELS}


def signing_input(label: str, body: bytes) -> bytes:
    """`"norc:" ‖ label ‖ 0x00 ‖ body`, what a signing key signs; `UnlabelledError` for a label outside the list."""
    prefix = _SIGN_PREFIX.get(label)
    if prefix is None:
        raise UnlabelledError(f"no signature label {label!r}")
    return prefix + body


def check_info(info: bytes) -> bytes:
    """Return `info` if it begins with a label of `KDF_LABELS`, else raise `UnlabelledError`."""
    end = info.find(b":v1") + 3
    if info[:end] not in KDF_LABELS:
        raise UnlabelledError("a key derivation whose info begins with no listed label")
    return info
