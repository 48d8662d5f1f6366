"""One node, and one person with the real client, for all tests of the outsider."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.outsider.harness import Node, Person, node
from tests.outsider.talk import direct, talker


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that takes anybody who does a little work."""
    with node(tmp_path_factory.mktemp("outsider")) as running:
        yield running


@pytest.fixture(scope="session")
def bob(home: Node) -> Person:
    """A person with the real client."""
    return home.person("bob")


class Neighbours:
    """Two people who mean no harm, connected all the time."""

    def __init__(self, home: Node) -> None:
        self._one, self._other = talker(home, "amy"), talker(home, "ben")
        self._stack = ExitStack()
        self._line = self._stack.enter_context(self._one.device.connected())
        self._other_line = self._stack.enter_context(self._other.device.connected())
        self._conversation = direct(self._line, self._one, self._other.device.user_id)
        self._said = 0

    def talk(self) -> None:
        """A message and its receipt, on the connections that they have had from the start."""
        self._said += 1
        sent = self._one.send(self._line, self._conversation, f"No. {self._said}")
        assert self._other.receive(self._other_line).text == f"No. {self._said}"
        self._one.receipt(self._line, sent, "delivered")

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def neighbours(home: Node) -> Iterator[Neighbours]:
    """Whoever attacks the node, these go on."""
    two = Neighbours(home)
    yield two
    two.close()


@pytest.fixture
def unharmed(neighbours: Neighbours) -> Iterator[None]:
    """Used by every test of an attack: others' traffic suffers nothing."""
    yield
    neighbours.talk()
