"""One picture of a supervision tree: frozen, comparable, JSON-able (row A37).

Rules
- A snapshot is taken at one instant, between two steps of the scheduler, so it is consistent.
- It holds plain values only; no reference to an actor, a message or a task escapes with it.
- Wide supervisors are cut at `limit` children and say how many were left out: a report about one connection of 20,000
  must not copy the other 19,999.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Scalar: TypeAlias = int | float | str
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Status = Literal["starting", "running", "suspended", "stopping", "down", "undefined", "restarting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStatistics:
    """Messages waiting now and at most since the start, how long the oldest waits (s), senders held back, and how
    many messages were handled."""

    depth: int
    high_water: int
    oldest_age: float
    blocked: int
    capacity: int
    handled: int

    def as_json(self) -> Json:
        return {
            "depth": self.depth,
            "high_water": self.high_water,
            "oldest_age": self.oldest_age,
            "blocked": self.blocked,
            "capacity": self.capacity,
            "handled": self.handled,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One actor and what stands below it. `id` is None for a child spec without an actor.

    `spec` is the child's id under its supervisor, `kind` the actor's class, `strategy` only a supervisor's,
    `statistics` what the actor itself tells.
    `restarts`: how often its supervisor set out to start it again because it had ended, since that supervisor's own
    start; not counted are those that a strategy starts again along with another. A supervisor that is restarted itself
    counts its children from 0, and so `age` stands beside it: seconds since this life stands, 0 while it does not.
    """

    spec: str
    id: str | None
    name: str | None = None
    kind: str = ""
    status: Status
    strategy: str | None = None
    restarts: int = 0
    age: float = 0.0
    mailbox: MailboxStatistics | None = None
    statistics: Mapping[str, Scalar] = field(default_factory=dict)
    children: tuple["Tree", ...] = ()
    omitted: int = 0

    def __iter__(self) -> Iterator["Tree"]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child

    def find(self, spec: str) -> "Tree | None":
        """The first node with that spec id or name."""
        return next((node for node in self if spec in (node.spec, node.name)), None)

    def as_json(self) -> dict[str, Json]:
        """The same as plain values, for `json.dumps`."""
        return {
            "spec": self.spec,
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "strategy": self.strategy,
            "restarts": self.restarts,
            "age": self.age,
            "mailbox": None if self.mailbox is None else self.mailbox.as_json(),
            "statistics": dict(self.statistics),
            "children": [child.as_json() for child in self.children],
            "omitted": self.omitted,
        }

    def render(self, indent: str = "") -> str:
        """The same as indented text, one actor a line."""
        parts = [self.spec, self.kind, self.status]
        if self.strategy:
            parts.append(self.strategy)
        if self.restarts:
            parts.append(f"restarts={self.restarts}")
        if self.age:
            parts.append(f"age={self.age:.3g}s")
        if self.mailbox is not None and self.mailbox.depth:
            parts.append(f"mailbox={self.mailbox.depth}/{self.mailbox.capacity} oldest={self.mailbox.oldest_age:.3f}s")
        lines = [indent + "  ".join(part for part in parts if part)]
        lines += [child.render(indent + "  ") for child in self.children]
        if self.omitted:
            lines.append(f"{indent}  … and {self.omitted} more")
        return "\n".join(lines)
