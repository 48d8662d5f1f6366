"""What can go wrong in `crypto/`: one exception per kind, and never a flag.

Rules
- A function here either returns what it promises or raises; no result has to be checked by its caller.
- The kinds say what a caller may do next, not why the mathematics failed: the reason would help only an attacker.
- None carries secret bytes, in its text or its arguments.
"""


class CryptoError(Exception):
    """Base of the three kinds; catching it means "this input proves nothing"."""


class BadSignatureError(CryptoError):
    """The signature does not hold for this key, label and body (a malformed key or length counts as that)."""


class DecryptionFailedError(CryptoError):
    """The ciphertext was not made under this key, nonce and associated data, or what it hides breaks its layout."""


class BadKeyError(CryptoError):
    """Bytes that are no usable key of their kind: length, range, small order, all-zero agreement."""


class UnlabelledError(AssertionError):
    """A label outside the closed lists: a mistake in the program, not in its input."""
