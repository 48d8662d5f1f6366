"""Keys: unique and duplicate, with metadata, gone with their actor before anybody hears of it."""

from collections.abc import AsyncIterator

import pytest

from supervision import ActorRef, AlreadyRegistered, System, start_child, start_tree
from tests.support.actors import puppet, quiet, root


@pytest.fixture
async def tree() -> AsyncIterator[tuple[System, list[ActorRef]]]:
    async with start_tree(root(), quiet()) as (system, supervisor):
        yield system, [await start_child(supervisor, puppet(name, restart="temporary")) for name in "abc"]


async def test_a_unique_key_has_one_holder(tree: tuple[System, list[ActorRef]]) -> None:
    system, (a, b, _) = tree
    registry = system.registry("devices")
    registry.register("key", a, {"since": 1})
    with pytest.raises(AlreadyRegistered) as caught:
        registry.register("key", b)
    assert caught.value.ref is a
    assert (registry.lookup("key"), registry.metadata("key")) == (a, {"since": 1})
    registry.register("key", a, "newer")
    assert registry.metadata("key") == "newer"
    registry.unregister("key", b)
    registry.unregister("key", a)
    assert registry.lookup("key") is None
    registry.register("key", b)
    assert list(registry.keys()) == ["key"]


async def test_a_duplicate_key_has_many_in_the_order_they_came(tree: tuple[System, list[ActorRef]]) -> None:
    system, refs = tree
    registry = system.registry("rooms", "duplicate")
    for number, ref in enumerate(refs):
        registry.register("room", ref, number)
    assert registry.lookup("room") == list(zip(refs, range(3), strict=True))
    heard: list[object] = []
    assert registry.dispatch("room", lambda ref, number: heard.append((ref, number))) == 3
    assert heard == registry.lookup("room")
    registry.unregister("room", refs[0])
    assert len(registry.lookup("room")) == 2
    assert registry.lookup("elsewhere") == []


@pytest.mark.parametrize("keys", ["unique", "duplicate"])
async def test_an_entry_is_gone_before_anybody_hears_of_the_death(
    tree: tuple[System, list[ActorRef]], keys: str
) -> None:
    system, (a, b, _) = tree
    registry = system.registry("r", keys)  # type: ignore[call-overload]
    for key in ("one", "two"):
        registry.register(key, a)
    seen: list[object] = []
    a.watch(lambda _reason: seen.extend([len(registry), registry.lookup("one")]))
    a.kill()
    await a.wait_down()
    assert seen == [0, None if keys == "unique" else []]
    registry.register("one", a)
    assert len(registry) == 0
    registry.register("one", b)
    assert len(registry) == 1


async def test_taking_an_entry_back_leaves_nothing_behind_at_the_actor(tree: tuple[System, list[ActorRef]]) -> None:
    system, (a, _, _) = tree
    registry = system.registry("r")
    for _ in range(100):
        registry.register("key", system.ref("a"))
        registry.unregister("key", system.ref("a"))
    a.kill()
    await a.wait_down()
    assert "0 keys" in repr(registry)


async def test_a_registry_is_one_by_its_name_and_keeps_its_kind(tree: tuple[System, list[ActorRef]]) -> None:
    system, _ = tree
    assert system.registry("r") is system.registry("r")
    with pytest.raises(ValueError, match="unique keys"):
        system.registry("r", "duplicate")
