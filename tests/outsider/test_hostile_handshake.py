"""Before acceptance: every wrong request gets the code that connection.md names, and nobody else notices."""

from collections.abc import Callable

import pytest

from .forms import Map
from .harness import Node
from .sealed import v1_frame
from .wire import AnsweredError, Connection, EndedError, Socket

pytestmark = pytest.mark.usefixtures("unharmed")

Change = Callable[[Map], None]
TARGET = "/norc-c?version=2.0"


def put(name: str, value: object) -> Change:
    """Another value of a member."""

    def change(request: Map) -> None:
        request[name] = value  # type: ignore[assignment]

    return change


def drop(name: str) -> Change:
    """A member less."""

    def change(request: Map) -> None:
        del request[name]

    return change


def suites(*names: str) -> Change:
    """A list of suites, with the hybrid part that it wants."""

    def change(request: Map) -> None:
        request["cipher_suites"] = [*names]
        if not {"0101", "0102"} & {*names}:
            request.pop("pq_public_key", None)

    return change


WRONG_REQUESTS: list[tuple[str, Change, int]] = [
    ("a member less", drop("client_nonce"), 3001),
    ("a member too short", put("client_nonce", bytes(11)), 3001),
    ("a null", put("more", None), 3001),
    ("a float", put("more", 1.5), 3001),
    ("a number beyond 2^53", put("more", 2**53), 3001),
    ("a list too long", put("more", [0] * 4097), 3001),
    ("too deep", put("more", [[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]), 3001),
    ("text for bytes", put("ephemeral_public_key", "A" * 43), 3001),
    ("no version", put("client_versions", []), 3001),
    ("too many versions", put("client_versions", ["2.0"] * 17), 3001),
    ("another spelling", put("client_versions", ["2.0", "v1.0"]), 3001),
    ("a preferred version that the URL has not", put("preferred_version", "1.1"), 3001),
    ("another uri_version", put("uri_version", "1.0"), 3001),
    ("another subprotocol", put("subprotocol", "norc-c-v1"), 3001),
    ("a max_frame below 64 KiB", put("max_frame", 65535), 3001),
    ("a hybrid suite without its part", drop("pq_public_key"), 3001),
    ("a hybrid part without a suite", put("cipher_suites", ["0001"]), 3001),
    ("another server", put("server_name", "elsewhere.example"), 3000),
    ("only old versions", put("client_versions", ["1.0", "1.1"]), 3003),
    ("only suites of another key", suites("0102", "0002"), 4004),
    ("unknown suites", suites("0999"), 4004),
    ("a point of small order", put("ephemeral_public_key", bytes(32)), 4000),
    ("an ML-KEM key out of range", put("pq_public_key", b"\xff" * 1184), 4000),
]


@pytest.mark.parametrize(
    ("change", "code"), [(c, n) for _, c, n in WRONG_REQUESTS], ids=[w for w, _, _ in WRONG_REQUESTS]
)
def test_a_wrong_request(home: Node, change: Change, code: int) -> None:
    with pytest.raises(AnsweredError) as refused:
        Connection(home.place, change=change)
    assert refused.value.code == code


def test_unknown_entries_and_members_are_no_error(home: Node) -> None:
    """They enter the transcript, and the signature holds."""

    def change(request: Map) -> None:
        request["cipher_suites"] = ["0999", "0001", "0101"]
        request["capabilities"] = ["messaging", "telepathy"]
        request["mood"] = {"of": ["the", {"day": b"\xfb"}]}

    with Connection(home.place, change=change) as line:
        assert line.sealed.suite.name == "0101", "the order in a list chooses nothing"


@pytest.mark.parametrize("listed", [["norc-c-v1"], ["something", "norc-c-v2.0"]])
def test_a_subprotocol_that_is_offered(home: Node, listed: list[str]) -> None:
    with Connection(home.place, subprotocols=listed) as line:
        assert line.socket.subprotocol == listed[-1]


@pytest.mark.parametrize(
    ("target", "listed", "status"),
    [(TARGET, ["norc-c-json-v1"], 400), (TARGET, ["norc-c-v3.0"], 400), ("/", ["norc-c-v2.0"], 404)],
)
def test_an_upgrade_that_is_refused(home: Node, target: str, listed: list[str], status: int) -> None:
    with pytest.raises(EndedError) as ended:
        Connection(home.place, target=target, subprotocols=listed)
    assert ended.value.code == status


@pytest.mark.parametrize("target", ["/norc-c", "/norc-c?version=1.0", "/norc-c?version=", "/norc-c?version=2.0.0"])
def test_another_version_in_the_url(home: Node, target: str) -> None:
    with pytest.raises(AnsweredError) as refused:
        Connection(home.place, target=target)
    assert refused.value.code == 3001


FIRST_FRAMES: list[tuple[str, bytes, int, int]] = [
    ("nothing", b"", 3001, 1008),
    ("half a header", b"\x00\x00", 3001, 1008),
    ("a length that lies", b"\x00\x00\x00\x00\x05\x80", 3001, 1008),
    ("a list", b"\x00\x00\x00\x00\x01\x90", 3001, 1008),
    ("no MessagePack", b"\x00\x00\x00\x00\x01\xc1", 3001, 1008),
    ("a map of another type", v1_frame({"type": "ping", "timestamp": 1}, 0), 3001, 1008),
    ("another message", v1_frame({"type": "ping", "timestamp": 1}), 3002, 1008),
    ("a code of nothing", b"\x2f\x00\x00\x00\x01\x80", 3002, 1008),
    ("a length that is too large", b"\x00\xff\xff\xff\xff", 2003, 1008),
]


@pytest.mark.parametrize(
    ("frame", "code", "closed"), [case[1:] for case in FIRST_FRAMES], ids=[case[0] for case in FIRST_FRAMES]
)
def test_a_wrong_first_frame(home: Node, frame: bytes, code: int, closed: int) -> None:
    with Socket(home.place, target=TARGET, subprotocols=["norc-c-v2.0"]) as socket:
        socket.send(frame)
        assert socket.answer_and_end() == (code, closed)


WebSocketAct = Callable[[Socket], None]
NO_MESSAGES: list[tuple[str, WebSocketAct, int]] = [
    ("text", lambda socket: socket.send_text("{}"), 1003),
    ("a frame that is not masked", lambda socket: socket.send_raw(b"\x82\x01\x00"), 1002),
    ("a message that is too long", lambda socket: socket.send(bytes(1024 * 1024 + 63)), 1009),
]


@pytest.mark.parametrize(("act", "closed"), [case[1:] for case in NO_MESSAGES], ids=[case[0] for case in NO_MESSAGES])
def test_what_is_no_message_of_ours(home: Node, act: WebSocketAct, closed: int) -> None:
    """WebSocket's own codes, and no error."""
    with Socket(home.place, target=TARGET, subprotocols=["norc-c-v2.0"]) as socket:
        act(socket)
        assert socket.answer_and_end() == (None, closed)
