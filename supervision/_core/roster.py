"""A supervisor's children and what must happen to them: the whole restart logic, without a task in sight.

Rules
- Pure and synchronous: events go in (`exited`, `try_again`, `started`, …), a frozen `Plan` of stops and starts comes
  out. The supervisor's task only carries plans out and reports back what came of each step.
- Children stand in start order. Stops go right to left, starts left to right.
- A child is `running` (it has an actor), `undefined` (its spec is kept, it has none) or `restarting` (a restart failed
  or waits for its back-off; it will be tried again).

The decision, for a child that ended by itself (OTP `do_restart`):

| restart | normal, shutdown, {shutdown,_} | killed, crash |
|---|---|---|
| permanent | restart | restart |
| transient | keep the spec | restart |
| temporary | forget | forget |

A restart first asks the intensity window; refused, the supervisor ends with reason shutdown. Allowed, it is
- one_for_one: start the child;
- rest_for_one: stop all after it, start it and them;
- one_for_all: stop all others, start all.

Whoever is stopped on the way and is temporary is forgotten; whoever else stands in the group is started, also if it
was `undefined` before (OTP does so too). When a start fails on the way, those already started stay, those behind wait,
and the failing one is tried again as a new restart: counted again, and after other requests had their turn.
A child with a back-off waits first, the others of its group stopped; its restart is counted when it is tried.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from .intensity import Window
from .reasons import ExitReason, consequences
from .specs import AutoShutdown, ChildSpec, Restart, Strategy

Verdict = Literal["restart", "keep", "forget"]
ChildStatus = Literal["running", "undefined", "restarting"]


def decide(restart: Restart, reason: ExitReason) -> Verdict:
    """What becomes of a child of this restart type that ended with `reason` (the table above)."""
    if restart == "temporary":
        return "forget"
    if restart == "permanent" or consequences(reason).restarts_transient:
        return "restart"
    return "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now: end these children (right to left), start those (left to right), or end the supervisor.

    `later` names a child whose restart waits for its back-off; `refused` says that the supervisor ends because the
    intensity window allows no further restart.
    """

    stops: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    later: str | None = None
    shutdown: bool = False
    refused: bool = False


NOTHING: Final = Plan()


@dataclass(slots=True)
class Child:
    """One line of the roster. `restarts` counts since the supervisor started."""

    spec: ChildSpec
    status: ChildStatus = "undefined"
    restarts: int = 0


class Refusal(Enum):
    """Why a request about a child cannot be met; OTP's words."""

    ALREADY_STARTED = "already_started"
    ALREADY_PRESENT = "already_present"
    RUNNING = "running"
    RESTARTING = "restarting"
    NOT_FOUND = "not_found"


class Roster:
    """The children of one supervisor, in start order."""

    __slots__ = ("auto_shutdown", "children", "strategy", "window")

    def __init__(
        self, specs: Sequence[ChildSpec], *, strategy: Strategy, window: Window, auto_shutdown: AutoShutdown
    ) -> None:
        self.children: dict[str, Child] = {spec.id: Child(spec) for spec in specs}
        self.strategy: Strategy = strategy
        self.window = window
        self.auto_shutdown: AutoShutdown = auto_shutdown

    def __iter__(self) -> Iterator[Child]:
        return iter(self.children.values())

    def __len__(self) -> int:
        return len(self.children)

    # What happened

    def started(self, child_id: str, *, alive: bool) -> None:
        """A start went through; not `alive` means its `init` answered ignore."""
        child = self.children[child_id]
        if not alive and child.spec.restart == "temporary":
            del self.children[child_id]
        else:
            child.status = "running" if alive else "undefined"

    def stopped(self, child_id: str) -> None:
        """The supervisor ended this child itself, for whatever cause."""
        self._leave(self.children[child_id])

    def waits(self, child_id: str) -> None:
        """A restart failed or is put off: the child is to be tried again."""
        self.children[child_id].status = "restarting"

    def exited(self, child_id: str, reason: ExitReason, now: float) -> Plan:
        """A running child ended by itself at `now` seconds."""
        child = self.children[child_id]
        verdict = decide(child.spec.restart, reason)
        if verdict == "restart" and child.spec.backoff is not None:
            child.status = "restarting"
            return Plan(stops=self._others(child_id), later=child_id)
        if verdict == "restart":
            return self._restart(child, now)
        self._leave(child)
        return Plan(shutdown=self._shuts_down_after(child))

    def try_again(self, child_id: str, now: float) -> Plan:
        """The turn of a child that waits to be tried again; nothing if it no longer does."""
        child = self.children.get(child_id)
        if child is None or child.status != "restarting":
            return NOTHING
        return self._restart(child, now)

    # What is asked

    def may_add(self, child_id: str) -> Refusal | None:
        """May a child of this id be added?"""
        child = self.children.get(child_id)
        if child is None:
            return None
        return Refusal.ALREADY_STARTED if child.status == "running" else Refusal.ALREADY_PRESENT

    def may_leave_rest(self, child_id: str) -> Refusal | None:
        """May this child be started again by hand, or deleted? Only one that is `undefined` may."""
        child = self.children.get(child_id)
        if child is None:
            return Refusal.NOT_FOUND
        if child.status == "undefined":
            return None
        return Refusal.RUNNING if child.status == "running" else Refusal.RESTARTING

    def add(self, spec: ChildSpec) -> None:
        """Append a child as the last of the start order."""
        self.children[spec.id] = Child(spec)

    def remove(self, child_id: str) -> None:
        """Forget a child and its spec."""
        del self.children[child_id]

    def plan_stop(self) -> Plan:
        """End them all."""
        return Plan(stops=tuple(reversed(self.children)))

    # The rules

    def _restart(self, child: Child, now: float) -> Plan:
        self.window, allowed = self.window.add(now)
        if not allowed:
            self._leave(child)
            return Plan(shutdown=True, refused=True)
        child.restarts += 1
        child.status = "undefined"
        name = child.spec.id
        starts = tuple(other for other in self._group(name) if self.children[other].spec.restart != "temporary")
        return Plan(stops=self._others(name), starts=starts)

    def _others(self, child_id: str) -> tuple[str, ...]:
        return tuple(other for other in reversed(self._group(child_id)) if other != child_id)

    def _group(self, child_id: str) -> Sequence[str]:
        if self.strategy == "one_for_one":
            return (child_id,)
        order = list(self.children)
        return order if self.strategy == "one_for_all" else order[order.index(child_id) :]

    def _leave(self, child: Child) -> None:
        if child.spec.restart == "temporary":
            del self.children[child.spec.id]
        else:
            child.status = "undefined"

    def _shuts_down_after(self, ended: Child) -> bool:
        if self.auto_shutdown == "never" or not ended.spec.significant:
            return False
        if self.auto_shutdown == "any_significant":
            return True
        return not any(child.spec.significant and child.status != "undefined" for child in self)
