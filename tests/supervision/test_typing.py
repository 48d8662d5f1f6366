"""The type checker knows what a call is answered by, and what an actor takes; a wrong message is its error (A43)."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from dataclasses import dataclass, replace
from typing import Protocol, overload
from supervision import ActorRef, Call, ChildSpec, GenServer, Supervisor, System, start_tree
from supervision.state_machine import Keep, Next, StateMachine, Event

@dataclass(frozen=True)
class Get(Call[int]): ...

@dataclass(frozen=True)
class Put(Call[None]):
    value: int

async def use(ref: ActorRef, system: System) -> None:
    number: int = await ref.call(Get())
    number = await system.ref("counter").call(Get(), None)
    text: str = await ref.call(Get())  # wrong
    await ref.call("get")  # wrong
    await ref.call(Put("five"))  # wrong
    ChildSpec("a", lambda: 5)  # wrong
    ChildSpec("a", GenServer, restart="sometimes")  # wrong
    Supervisor([], strategy="one_for_some")  # wrong
    Supervisor.child_spec("s", [GenServer.child_spec("a")], intensity=2)
    Supervisor.child_spec("s", [], strategy="one_for_some")  # wrong
    Supervisor.child_spec("s")  # wrong
    GenServer.child_spec("a", 5)  # wrong
    replace(GenServer.child_spec("a"), restart="sometimes")  # wrong
    held: ActorRef = system.registry("r").lookup("key")  # wrong
    both = system.registry("r", "duplicate").lookup("key")
    print(number, text, held, both[0][0].alive)

@dataclass(frozen=True)
class Say(Call[int]):
    line: str

class Counter(Protocol):
    @overload
    async def call(self, request: Get, timeout: float | None = 5.0) -> int: ...
    @overload
    async def call(self, request: Put, timeout: float | None = 5.0) -> None: ...
    async def cast(self, message: Put) -> None: ...

class Liar(Protocol):
    async def call(self, request: Get, timeout: float | None = 5.0) -> str: ...

async def use_two(system: System, ref: ActorRef) -> None:
    await use_a_counter(system.ref("counter"))
    await use_a_counter(ref)

async def use_a_counter(counter: Counter) -> None:
    number: int = await counter.call(Get())
    await counter.call(Put(number))
    await counter.cast(Put(number))
    await counter.call(Say("hello"))  # wrong
    await counter.cast(Say("hello"))  # wrong
    await counter.cast(Get())  # wrong

def lie(ref: ActorRef) -> Liar:
    return ref  # wrong

class Machine(StateMachine[str]):
    initial = 5  # wrong
    async def handle_event(self, state: str, event: Event) -> Next[str] | Keep | None:
        return Next("b")
"""


def test_the_type_checker_sees_wrong_messages(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, "utf-8")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(root / ".mypy_cache")]
    done = subprocess.run(
        [*command, "--config-file", "", str(path)], cwd=root, capture_output=True, text=True, check=False
    )
    wrong = [number for number, line in enumerate(PROGRAM.split("\n"), 1) if line.endswith("# wrong")]
    said = sorted({int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line})
    assert said == wrong, done.stdout + done.stderr
