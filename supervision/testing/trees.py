"""Trees in tests: their shape, and that nothing of them is left (row A42)."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias
from weakref import ReferenceType
from weakref import ref as weakref

import trio

from supervision._core.specs import ChildSpec
from supervision.events import ProgressReport, Report
from supervision.process import Process
from supervision.ref import ActorRef
from supervision.snapshot import Tree
from supervision.system import System
from supervision.tree import STOP_WITHIN, start_tree

Shape: TypeAlias = "Mapping[str, Shape | None]"
"""Child ids to the shapes below them; None or empty for one without children."""


class LeftOver(AssertionError):  # noqa: N818 - it is what it says
    """Something of a tree is left after its end."""


@asynccontextmanager
async def clean_tree(
    spec: ChildSpec, system: System | None = None, *, stop_within: float = STOP_WITHIN
) -> AsyncIterator[tuple[System, ActorRef]]:
    """`start_tree`, and `LeftOver` if a task, name, key, timer, actor, message or monitor of it is left."""
    system = System() if system is None else system
    task = trio.lowlevel.current_task()
    before = _tasks_below(task)
    stood: list[ReferenceType[ActorRef]] = []  # weak: a tool that keeps things alive would hide what else does
    forget = system.events.subscribe(lambda report: _note(report, stood), ProgressReport)
    async with start_tree(spec, system, stop_within=stop_within) as (_, root):
        yield system, root
    left = [f"task {each.name}" for each in _tasks_below(task) - before]
    left += [f"name {name}" for name in system.names]
    left += [f"registry {registry!r}" for registry in system.registries() if len(registry)]
    left += ["a timer"] * system.timers.waiting()
    left += [what for known in stood for what in _left_of(known())]
    forget()
    if left:
        raise LeftOver("left of the tree: " + ", ".join(left))


def assert_tree(system: System, shape: Shape) -> None:
    """Raise `AssertionError` unless the children of the root, and theirs, are those of `shape`, in order."""
    found = _shape(system.snapshot())
    if _plain(shape) != found or list(_plain(shape)) != list(found):
        raise AssertionError(f"the tree is not as expected:\n{system.snapshot().render()}\nexpected: {_plain(shape)}")


def _shape(tree: Tree) -> dict[str, object]:
    return {child.spec: _shape(child) for child in tree.children}


def _note(report: Report, stood: list[ReferenceType[ActorRef]]) -> None:
    if isinstance(report, ProgressReport):
        stood.append(weakref(report.child))


def _left_of(ref: ActorRef | None) -> Iterator[str]:
    if ref is not None and ref.alive:
        yield f"actor {ref}"
    if isinstance(ref, Process):
        if ref.queue:
            yield f"{len(ref.queue)} messages in the mailbox of {ref}"
        if ref.watched:
            yield f"{ref.watched} monitors of {ref}"


def _plain(shape: Shape) -> dict[str, object]:
    return {name: _plain(below or {}) for name, below in shape.items()}


def _tasks_below(task: trio.lowlevel.Task) -> set[trio.lowlevel.Task]:
    below: set[trio.lowlevel.Task] = set()
    todo = [task]
    while todo:
        children = [child for nursery in todo.pop().child_nurseries for child in nursery.child_tasks]
        below.update(children)
        todo.extend(children)
    return below
