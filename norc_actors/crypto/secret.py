"""`Secret`: bytes that do not show themselves.

Python cannot promise that a secret leaves memory (copies are made by every operation), so wiping is best effort: it
overwrites the one buffer that this object owns. What is promised: no `repr`, no `str`, no pickle, no ordinary `==`.
"""

import hmac
from typing import NoReturn


class Secret:
    """Bytes with a hidden repr and a constant-time comparison; `with Secret(...) as s` wipes at the end."""

    __slots__ = ("_buffer",)

    def __init__(self, value: bytes) -> None:
        self._buffer = bytearray(value)

    def reveal(self) -> bytes:
        """A copy of the bytes; `ValueError` once wiped."""
        if not self._buffer:
            raise ValueError("this secret was wiped")
        return bytes(self._buffer)

    def wipe(self) -> None:
        """Overwrite and forget; idempotent."""
        for position in range(len(self._buffer)):
            self._buffer[position] = 0
        del self._buffer[:]

    def __enter__(self) -> "Secret":
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and same(bytes(self._buffer), bytes(other._buffer))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; store it encrypted")


def same(a: bytes, b: bytes) -> bool:
    """Constant-time equality of two byte strings."""
    return hmac.compare_digest(a, b)
