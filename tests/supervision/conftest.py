"""Every test of the runtime runs on virtual time, fixtures included: one that waits for ever fails at once."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TypeVar

import pytest
import trio
import trio.testing

T = TypeVar("T")
Within = Callable[[float], AbstractContextManager[None]]

FOREVER = 1e7
"""Virtual seconds."""


def run_on_virtual_time(
    async_fn: Callable[[], Awaitable[T]],
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """`trio.run` with a clock that jumps ahead whenever every task waits."""

    async def main() -> T:
        with trio.fail_after(FOREVER):
            return await async_fn()

    return trio.run(main, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_on_virtual_time), append=False)


@pytest.fixture
def within() -> Within:
    """`with within(3):` passes if the block takes exactly 3 virtual seconds; `within(0)` means at once."""

    @contextmanager
    def check(seconds: float) -> Iterator[None]:
        start = trio.current_time()
        yield
        assert trio.current_time() - start == pytest.approx(seconds, abs=1e-9)

    return check
