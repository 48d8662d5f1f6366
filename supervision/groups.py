"""Groups of actors: join, leave, tell all (row A18; OTP: `pg`).

Rules
- A group is a key; it exists while somebody is in it. An actor may be in many, and leaves all when it ends, before
  anybody is told of that.
- `publish` waits for nobody: it answers with those whose mailbox is full, for the publisher to decide about.
"""

from collections.abc import Hashable, Sequence

from .errors import MailboxFull
from .ref import ActorRef
from .registry import DuplicateRegistry
from .system import System


class Groups:
    """The groups of one system under one name; two of the same name are the same."""

    __slots__ = ("_registry",)

    def __init__(self, system: System, name: str = "groups") -> None:
        self._registry: DuplicateRegistry = system.registry(name, "duplicate")

    def join(self, group: Hashable, ref: ActorRef) -> None:
        """Enter `ref`; nothing happens if it is in the group already, or down."""
        self._registry.register(group, ref)

    def leave(self, group: Hashable, ref: ActorRef) -> None:
        """Take `ref` out; nothing happens if it is not in."""
        self._registry.unregister(group, ref)

    def members(self, group: Hashable) -> Sequence[ActorRef]:
        """Who is in, in the order they came."""
        return [ref for ref, _ in self._registry.lookup(group)]

    def groups(self) -> Sequence[Hashable]:
        """The groups there are."""
        return list(self._registry.keys())

    def publish(self, group: Hashable, message: object, *, but: ActorRef | None = None) -> Sequence[ActorRef]:
        """Cast `message` to all members except `but`; returns those whose mailbox was full and who did not get it."""
        missed: list[ActorRef] = []
        for ref in self.members(group):
            if ref is but:
                continue
            try:
                ref.cast_nowait(message)
            except MailboxFull:
                missed.append(ref)
        return missed
