"""What the body of an end-to-end message is: every type of fields.md has its struct, or is text."""

from typing import get_args, get_type_hints

import pytest

from norc_actors.protocol import codec
from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages.bodies import BODIES
from tests.support.samples import sample


def test_every_type_but_text_has_a_struct() -> None:
    assert {*BODIES, "text"} == set(get_args(get_type_hints(m.Inner)["message_type"]))


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_is_the_struct_of_its_type(kind: str) -> None:
    body = codec.to_map(sample(BODIES[kind], full=True))
    inner = codec.decode_as(m.Inner, codec.encode(m.Inner(message_type=kind, body=body))).message  # type: ignore[arg-type]
    assert codec.convert(inner.body, BODIES[kind]) == sample(BODIES[kind], full=True)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        codec.convert({**body, next(iter(body)): -1}, BODIES[kind])
