"""Ctrl-C in a real process: the tree ends in order, and the interrupt is not swallowed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, trio
from supervision import ChildSpec, GenServer, Supervisor, start_tree

class Worker(GenServer):
    def __init__(self, name, spin):
        self.name, self.spin = name, spin
    async def init(self):
        if self.spin:
            self.ref.send("spin")
    async def handle_info(self, message):
        print("ready", flush=True)
        while True:
            pass
    async def terminate(self, reason):
        await trio.sleep(0.05)
        print("end", self.name, flush=True)

async def main(spin):
    specs = [ChildSpec("a", lambda: Worker("a", False)), ChildSpec("b", lambda: Worker("b", spin))]
    async with start_tree(ChildSpec("root", lambda: Supervisor(specs), type="supervisor")):
        if not spin:
            print("ready", flush=True)
        await trio.sleep_forever()

try:
    trio.run(main, sys.argv[1] == "spin")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("where", ["block", "spin"])
def test_an_interrupt_ends_the_tree_in_order_wherever_it_strikes(where: str) -> None:
    """In the block, which waits; in an actor that never gives way."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", PROGRAM, where]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert out.split("\n") == ["end b", "end a", "interrupted", ""]
    assert process.returncode == 0
    assert ("KeyboardInterrupt" in err) == (where == "spin")  # the actor's crash is logged
