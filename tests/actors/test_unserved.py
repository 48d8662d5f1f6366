"""Every type that this node does not serve ends its connection with one error, and nothing else ends (decision 075)."""

from pathlib import Path

from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import Code
from norc_actors.protocol.registry import NAMES, STRUCTS
from norc_actors.protocol.states import KNOWN, NOT_SERVED
from tests.support.house import house, next_of, until_closed
from tests.support.samples import sample

FAMILIES = {
    "not served": sorted(NOT_SERVED),
    "no type of a connection": [code for code in NAMES if code not in KNOWN and NAMES[code] != "session_rekey"],
}


async def test_what_is_not_served_is_unknown_to_a_running_node(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        for codes in FAMILIES.values():
            for code in codes:
                async with home.line(alice) as line:
                    await line.send(sample(STRUCTS[code].usual, full=True))
                    error = (await until_closed(line))[-1]
                    assert isinstance(error, m.ErrorMessage), NAMES[code]
                    assert error.error_code == Code.UNKNOWN_TYPE, NAMES[code]
        async with home.line(alice) as line:
            await line.send(m.Ping(timestamp=1))
            assert await next_of(line, m.Pong) == m.Pong(timestamp=1)
