"""What a process runs, as the process sees it. `Actor` and its kinds fill it in.

Rules
- The process calls these and nothing else of an actor, in this order: `bind`, `init`, `loop`, `terminate`.
- Everything that is not a coroutine is called from other tasks' steps as well and must be quick.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ._core.reasons import ExitReason
from ._core.specs import ChildSpec, Startable
from .messages import Continue, Ignore
from .ref import ActorRef
from .reply import From
from .snapshot import Scalar, Tree

if TYPE_CHECKING:
    from .process import Process


class Body(Startable):
    """What a process runs; `Actor` implements it, its kinds fill it in."""

    __slots__ = ()
    hosts_children: ClassVar[bool] = False
    traps_exits: ClassVar[bool] = False
    starts_at_once: ClassVar[bool] = False
    """Does it `begin_start` in whatever step? (See `turn`.)"""
    terminate_within: ClassVar[float | None] = None
    """Seconds for `terminate` when the actor ends by itself; None means its shutdown time. OTP has no bound there."""

    @abstractmethod
    def bind(self, process: "Process") -> None:
        """The process that runs this body, before `init`."""

    async def init(self) -> Ignore | Continue | None:
        """Set up. The starter waits for it. Raising refuses to start: `StartError` at the starter, the name is free.

        `IGNORE`: not needed, the spec is kept. `Continue(value)`: the rest is done after the starter went on.
        """
        return None

    @abstractmethod
    async def loop(self, first: Continue | None) -> ExitReason:
        """Handle messages until there is a reason to end."""

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up, within the shutdown time. Runs on every end but a kill, and only if `init` went through."""

    async def linked_exit(self, ref: ActorRef, reason: ExitReason) -> None:
        """For a body that traps exits: the actor it is linked to is down."""

    def told_to_exit(self) -> None:
        """It is to end, by itself or because it was told to; a supervisor gives up the start that it waits for."""

    def begin_start(self, spec: ChildSpec, caller: From) -> "Process":
        """Begin to start a child, which answers `caller` in the step in which it stands, or has failed."""
        raise NotImplementedError

    def describe_children(self, limit: int | None) -> tuple[tuple[Tree, ...], int]:
        """The children's snapshots and how many were left out."""
        return (), 0

    def children_budget(self) -> float:
        """Seconds that ending all children may take."""
        return 0.0

    @property
    def strategy_name(self) -> str | None:
        """A supervisor's strategy."""
        return None

    def statistics(self) -> Mapping[str, Scalar]:
        """What the actor tells about itself in snapshots; must be quick."""
        return {}
