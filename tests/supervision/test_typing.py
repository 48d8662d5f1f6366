"""The type checker knows what a call is answered by, and a wrong message is its error (row A43)."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from dataclasses import dataclass
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
    held: ActorRef = system.registry("r").lookup("key")  # wrong
    both = system.registry("r", "duplicate").lookup("key")
    print(number, text, held, both[0][0].alive)

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
