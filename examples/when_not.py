"""When not to use an actor: a function in an actor's clothes, and a value that nobody changes."""

from dataclasses import dataclass

import trio

from supervision import Call, ChildSpec, From, GenServer, start_tree


# region: function
async def translate(text: str) -> str:
    """Asks a service somewhere; 0.1 s. It keeps nothing from one text to the next."""
    await trio.sleep(0.1)
    return text.upper()


# endregion


# region: actor
@dataclass(frozen=True)
class Translate(Call[str]):
    text: str


class Translator(GenServer):
    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Translate(text):
                return await translate(text)
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: broken
async def broken() -> None:
    print("broken: an actor without state")
    async with start_tree(ChildSpec("translator", Translator)) as (_, translator):
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(translator.call, Translate(f"line {number}"))
        print(f"  ten texts took {trio.current_time() - begun:.1f} s, one after the other")


# endregion


# region: fixed
async def fixed() -> None:
    print("fixed: a function")
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(translate, f"line {number}")
    print(f"  ten texts took {trio.current_time() - begun:.1f} s, side by side")


# endregion


# region: limited
async def limited() -> None:
    print("fixed: a function, at most five at a time")
    begun = trio.current_time()
    limiter = trio.CapacityLimiter(5)

    async def one(text: str) -> None:
        async with limiter:
            await translate(text)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(one, f"line {number}")
    print(f"  ten texts took {trio.current_time() - begun:.1f} s")


# endregion


# region: value
@dataclass(frozen=True)
class Settings:
    """Read by everybody, changed by nobody: give it to whoever is constructed."""

    title: str
    most_members: int


class Room(GenServer):
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def init(self) -> None:
        print(f"  the room {self.settings.title!r} has {self.settings.most_members} seats")


async def settings_are_a_value() -> None:
    print("fixed: settings are a value, not an actor")
    settings = Settings("tea", 12)
    async with start_tree(ChildSpec("room", lambda: Room(settings))):
        pass


# endregion


async def main() -> None:
    await broken()
    await fixed()
    await limited()
    await settings_are_a_value()


if __name__ == "__main__":
    trio.run(main)
