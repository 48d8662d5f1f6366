"""Crash loops on one kind of message: who counts them, and what may be told of the messages (row A41).

Rules
- A supervisor that restarts a child faithfully hides a *poison message*: whoever sent it tries again, the child crashes
  again. The count is by child id and kind of message, over all lives; `crashes` of them within `within` seconds make
  one report, and the count begins anew.
- Opt-in, because the child then keeps its last `keep` messages alive, and because a message costs it a little more.
- A report holds no values: `shape` tells types, names of fields and lengths. A `redact` of one's own may tell more, and
  answers for it; where it raises, only the type is told.
- Only what a callback raised counts: a linked task or a failing `init` is no message's fault.
"""

from collections import deque
from collections.abc import Callable, Sized
from dataclasses import dataclass, fields, is_dataclass


def shape(message: object) -> str:
    """Type, names of fields, lengths; never a value: `Say(line=str[12], to=list[3])`."""
    kind = type(message).__name__
    if is_dataclass(message) and not isinstance(message, type):
        names = [field.name for field in fields(message)]
    else:
        names = [name for name in getattr(type(message), "__match_args__", ()) if isinstance(name, str)]
    if not names:
        return _outline(message)
    return f"{kind}({', '.join(f'{name}={_outline(getattr(message, name, None))}' for name in names)})"


def _outline(value: object) -> str:
    kind = type(value).__name__
    builtin = isinstance(value, (str, bytes, bytearray, list, tuple, dict, set, frozenset))
    return f"{kind}[{len(value)}]" if builtin and isinstance(value, Sized) else kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """`crashes` on one kind of message `within` seconds are reported, with the last `keep` messages as `redact` tells
    them. Raises `ValueError`."""

    crashes: int = 3
    within: float = 60.0
    keep: int = 10
    redact: Callable[[object], str] = shape

    def __post_init__(self) -> None:
        if self.crashes < 1 or self.keep < 1 or self.within <= 0:
            raise ValueError(
                f"quarantine after {self.crashes} crashes within {self.within} s keeping {self.keep} messages: "
                "each must be more than nothing"
            )

    def tell(self, message: object) -> str:
        """`message`, redacted."""
        try:
            return self.redact(message)
        except Exception:  # noqa: BLE001 - a report must not fail, nor tell more, because a redaction did
            return type(message).__name__


class Ward:
    """The crashes of one supervisor's children that are in quarantine."""

    __slots__ = ("_crashes",)

    def __init__(self) -> None:
        self._crashes: dict[tuple[str, str], deque[float]] = {}

    def crashed(self, child: str, kind: str, policy: Quarantine, now: float) -> bool:
        """`child` crashed at a message of this kind; True if that is one too many."""
        times = self._crashes.setdefault((child, kind), deque())
        times.append(now)
        while times[0] < now - policy.within:
            times.popleft()
        if len(times) < policy.crashes:
            return False
        del self._crashes[child, kind]
        return True
