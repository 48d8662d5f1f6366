"""Order within a lane: what has to ask for something first is not overtaken, whatever comes meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import pytest
import trio

from norc_actors.client.errors import OfflineError
from norc_actors.client.intake import Intake, Job
from norc_actors.client.needs import Need, WantingError

KEYS = Need(users=("bob@localhost",))
STATE = Need(users=("carol@localhost",))


class Layer:
    """A transaction that holds nothing."""

    def nested(self) -> "Layer":
        return self

    def absorb(self, layer: "Layer") -> None:
        pass


@dataclass
class PlayedCommitter:
    """Takes operations as the committer does, and runs those that wait when a test says so."""

    waiting: list[tuple[Callable[[Layer], object], Callable[[object], None]]] = field(default_factory=list)

    async def post(self, operation: Callable[[Layer], object], after: Callable[[object], None], failed: object) -> None:
        self.waiting.append((operation, after))

    def commit(self, count: int | None = None) -> None:
        """Run a group: all operations, then what follows each."""
        group, self.waiting = self.waiting[:count], self.waiting[count:] if count is not None else []
        for (_, after), result in zip(group, [operation(Layer()) for operation, _ in group], strict=True):
            after(result)


@dataclass
class PlayedResolver:
    """Satisfies a need when a test says so; `failures` times it says that there is no connection."""

    known: set[Need] = field(default_factory=set)
    failures: int = 0
    asked: int = 0
    answers: trio.Event = field(default_factory=trio.Event)

    async def satisfy(self, need: Need) -> None:
        self.asked += 1
        await self.answers.wait()
        if self.failures:
            self.failures -= 1
            raise OfflineError("No answer.")
        self.known.add(need)


@dataclass
class PlayedCore:
    committer: PlayedCommitter = field(default_factory=PlayedCommitter)
    broken: Callable[[object], None] = print


class Scene:
    """An intake, and decisions that note their order."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.core, self.resolver = PlayedCore(), PlayedResolver()
        self.intake = Intake(cast("Any", self.core), cast("Any", self.resolver), cast("Any", None), nursery)
        self.decided: list[str] = []

    async def hand_in(self, name: str, *needs: Need, lane: str = "chain") -> None:
        def decide(tx: object, tried: set[Need]) -> str:
            for need in needs:
                if need not in self.resolver.known and need not in tried:
                    raise WantingError(need)
            return name

        await self.intake.judge(Job(decide=decide, after=self.decided.append, lane=lane))

    async def settle(self) -> None:
        """Commit until nothing moves any more."""
        for _ in range(100):
            self.core.committer.commit()
            await trio.testing.wait_all_tasks_blocked()


async def test_a_later_message_waits_for_a_parked_one(nursery: trio.Nursery, autojump_clock: object) -> None:
    scene = Scene(nursery)
    await scene.hand_in("first", KEYS)
    scene.core.committer.commit()
    scene.resolver.known.add(KEYS)  # it came on another way: the second could be decided at once
    await scene.hand_in("second", KEYS)
    await scene.hand_in("other lane", KEYS, lane="another")
    await scene.settle()
    assert scene.decided == ["other lane"]
    scene.resolver.answers.set()
    await scene.settle()
    assert scene.decided == ["other lane", "first", "second"]


async def test_in_one_group_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    scene = Scene(nursery)
    await scene.hand_in("first", KEYS)
    await scene.hand_in("second")
    await scene.settle()
    assert scene.decided == []
    scene.resolver.answers.set()
    await scene.settle()
    assert scene.decided == ["first", "second"]


async def test_what_comes_while_the_lane_drains_stays_behind(nursery: trio.Nursery, autojump_clock: object) -> None:
    scene = Scene(nursery)
    for name in ("1", "2", "3"):
        await scene.hand_in(name, KEYS)
    await scene.hand_in("4", KEYS, STATE)
    scene.core.committer.commit()
    scene.resolver.answers.set()
    for name in ("5", "6", "7"):
        await trio.testing.wait_all_tasks_blocked()
        await scene.hand_in(name)
        scene.core.committer.commit(1)
    await scene.settle()
    assert scene.decided == ["1", "2", "3", "4", "5", "6", "7"]


async def test_no_answer_in_time_is_asked_for_again(nursery: trio.Nursery, autojump_clock: object) -> None:
    scene = Scene(nursery)
    scene.resolver.failures = 2
    scene.resolver.answers.set()
    await scene.hand_in("first", KEYS)
    scene.core.committer.commit()
    await trio.sleep(10)
    await scene.settle()
    assert scene.resolver.asked == 3
    assert scene.decided == ["first"]


@pytest.mark.parametrize("seed", range(50))
async def test_order_holds_in_any_interleaving(seed: int, nursery: trio.Nursery, autojump_clock: object) -> None:
    random, scene = Random(seed), Scene(nursery)
    scene.resolver.answers.set()
    expected: dict[str, list[str]] = {"a": [], "b": []}
    for number in range(30):
        lane = random.choice("ab")
        name = f"{lane}{number}"
        expected[lane].append(name)
        await scene.hand_in(name, *random.choice([(), (KEYS,), (STATE,), (KEYS, STATE)]), lane=lane)
        if random.random() < 0.5:
            scene.core.committer.commit(random.randrange(4))
        if random.random() < 0.5:
            await trio.testing.wait_all_tasks_blocked()
    await scene.settle()
    for lane, names in expected.items():
        assert [name for name in scene.decided if name[0] == lane] == names
