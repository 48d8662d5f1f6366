"""Targets of the wire between servers; their sentences stand with the others in `targets`."""

import contextlib
import time
from functools import cache

from norc_actors.net.client_hello import offered_protocols
from norc_actors.net.http2_core import Ended
from norc_actors.net.http2_ends import ClientEnd, ServerEnd
from norc_actors.trust.x509_chains import GovernmentPki, Known, PolicyRoot, X509Chains
from tests.support.http2 import BOB, Duo
from tests.support.pki import Authority
from tests.trust.test_x509_chains import evidence

_HELLO = bytes.fromhex("0303") + bytes(32) + bytes.fromhex("000002130101000009001000050003026832")
"""Version, random, no session, one suite, no compression, ALPN h2."""


def client_hello() -> bytes:
    """An honest one, in one record."""
    message = b"\x01" + len(_HELLO).to_bytes(3, "big") + _HELLO
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def hello(data: bytes) -> None:
    try:
        names = offered_protocols(data)
    except ValueError:
        return
    for cut in range(0, len(data), 1 + len(data) // 8):
        with contextlib.suppress(ValueError):
            assert offered_protocols(data[:cut]) in (None, names)


@cache
def conversation() -> tuple[bytes, bytes]:
    """What an honest client and server say to one another in a short exchange."""
    duo = Duo()
    duo.client.request(b"question" * 10)
    forth = duo.client.replies() + duo.client.frames_to_send(0.0)
    duo.server.receive(forth, 0.0)
    duo.server.respond(1, 200, b"answer", 0.0)
    return forth, duo.server.replies() + duo.server.frames_to_send(0.0)


def http2(data: bytes) -> None:
    for end in (ServerEnd(max_body=2**16, plain=False, now=0.0), ClientEnd(authority=BOB, max_body=2**16, now=0.0)):
        if isinstance(end, ClientEnd):
            end.request(b"x")
        events, said = [], 0
        for at in range(0, len(data), 100):
            events += end.receive(data[at : at + 100], 0.0)
            said += len(end.replies() + end.frames_to_send(0.0))
        ended = [event for event in events if isinstance(event, Ended)]
        assert len(ended) <= 1
        assert not ended or events[-1] is ended[0]
        assert said <= 2000 + 3 * len(data)


@cache
def _chain() -> tuple[X509Chains, GovernmentPki, tuple[bytes, ...]]:
    root = Authority("Root")
    issued = root.under("Middle", policies=["1.2.3"]).issue(BOB, policies=["1.2.3"])
    official = PolicyRoot(certificate=root.certificate, policies=frozenset({"1.2.3"}))
    return X509Chains([root.certificate], Known()), GovernmentPki([official], Known()), issued.chain


def chain(data: bytes) -> None:
    from tests.fuzz.targets import alter

    plain, official, honest = _chain()
    place = data[0] % 2 if data else 0
    changed = alter(honest[place], data[1:])
    shown = tuple(changed if number == place else one for number, one in enumerate(honest))
    verdict = plain.judge(evidence(shown), time.time())
    assert bool(verdict.proofs) is (shown == honest)
    assert not official.judge(evidence(shown), time.time()).proofs  # without a word on revocation
