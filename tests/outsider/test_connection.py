"""A connection that lasts, and one that does not: keys that are renewed, a node that dies."""

import signal
from pathlib import Path

import pytest

from .harness import Node, node
from .talk import direct, talker
from .wire import EndedError


@pytest.mark.parametrize("suites", [["0101"], ["0001"]], ids=["0101", "0001"])
def test_a_new_agreement(home: Node, suites: list[str]) -> None:
    """Both directions go on under new keys, and by hand under newer ones."""
    oda = talker(home, "oda")
    with oda.device.connected(suites=suites) as line:
        before = line.sealed.out.key, line.sealed.into.key
        line.rekey()
        assert not {*before} & {line.sealed.out.key, line.sealed.into.key}
        line.send_frames(line.sealed.update())
        line.rekey()


def test_the_thousandth_frame_renews_the_key(home: Node) -> None:
    """From either end, without a word of the application."""
    oda, eva = talker(home, "oda"), talker(home, "eva")
    with oda.device.connected() as line, eva.device.connected() as other:
        before = line.sealed.out.key, line.sealed.into.key
        for _ in range(21):
            for _ in range(50):
                line.send({"type": "ping", "timestamp": 1})
            for _ in range(50):
                line.expect("pong")
        assert not {*before} & {line.sealed.out.key, line.sealed.into.key}
        assert max(line.sealed.out.count, line.sealed.into.count) < 100
        oda.send(line, direct(line, oda, eva.device.user_id), "Still here")
        assert eva.receive(other).text == "Still here"


def test_a_node_that_dies_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """What was sent is delivered after a kill, what is sent again is delivered once, receipts come until a pong."""
    with node(tmp_path) as home:
        oda, eva = talker(home, "oda"), talker(home, "eva")
        with oda.device.connected() as line:
            conversation = direct(line, oda, eva.device.user_id)
            first = oda.send(line, conversation, "Before")
            home.process.send_signal(signal.SIGKILL)
            with pytest.raises(EndedError):
                line.receive()
    with node(tmp_path) as home:
        for one in (oda, eva):
            one.device.place = home.place
        with oda.device.connected() as line, eva.device.connected() as other:
            assert oda.submit(line, first)["status"] == "sent"
            second = oda.send(line, conversation, "After")
            assert [eva.receive(other).text for _ in range(2)] == ["Before", "After"]
            for sent in (first, second):
                oda.receipt(line, sent, "delivered")
            other.roundtrip()
        with oda.device.connected() as line:  # it answered no ping, so the server cannot know that it kept them
            for sent in (first, second):
                oda.receipt(line, sent, "delivered")
