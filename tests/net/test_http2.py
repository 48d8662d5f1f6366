"""HTTP/2 over mutual TLS on real sockets."""

import gc

import pytest
import trio
import trio.testing

from norc_actors import limits
from norc_actors.net.errors import ClosedError, ConnectError, RefusedError
from norc_actors.net.http2 import Http2Request, Http2Served, open_http2
from tests.support.http2 import ALICE, ALPN, BOB, MAX_BODY, Organisations, echo, listening


@pytest.fixture(scope="module")
def organisations(tmp_path_factory: pytest.TempPathFactory) -> Organisations:
    return Organisations(tmp_path_factory.mktemp("organisations"))


async def test_there_and_back(organisations: Organisations) -> None:
    seen: list[Http2Served] = []

    async def serve(served: Http2Served) -> None:
        seen.append(served)
        await echo(served)

    async with listening(organisations, serve) as bob, bob.open() as client:
        assert await client.post(b"hello") == b"hello"
        assert await client.post(b"") == b""
        assert client.alpn == seen[0].alpn == "norc-f/2.0"
        assert client.peer.names == {BOB}
        assert seen[0].peer.names == {ALICE}
        assert seen[0].peer.der == organisations.alice.der
        assert (len(client.peer.fingerprint), seen[0].remote) == (32, "127.0.0.1")
        assert client.peer.not_after == int(organisations.bob.certificate.not_valid_after_utc.timestamp())


async def test_large_bodies_both_ways(organisations: Organisations) -> None:
    async with listening(organisations) as bob, bob.open() as client:
        body = bytes(range(256)) * 4096
        assert len(body) == MAX_BODY
        async with trio.open_nursery() as nursery:

            async def one() -> None:
                assert await client.post(body) == body

            for _ in range(5):
                nursery.start_soon(one)


async def test_a_thousand_at_once_in_the_order_of_the_calls(organisations: Organisations) -> None:
    got: list[bytes] = []

    async def serve(served: Http2Served) -> None:
        while (asked := await served.next()) is not None:
            got.append(asked.body)
            await asked.respond(asked.body)

    sent: list[bytes] = []
    async with listening(organisations, serve) as bob, bob.open() as client, trio.open_nursery() as nursery:

        async def one(number: int) -> None:
            body = b"%d" % number * 300
            sent.append(body)
            assert await client.post(body) == body

        for number in range(1000):
            nursery.start_soon(one, number)
    assert got == sent


async def test_answers_out_of_order(organisations: Organisations) -> None:
    async def serve(served: Http2Served) -> None:
        held: list[Http2Request] = []
        while (asked := await served.next()) is not None:
            held.append(asked)
            if len(held) == 3:
                for one in reversed(held):
                    await one.respond(b"re: " + one.body)

    order: list[bytes] = []
    async with listening(organisations, serve) as bob, bob.open() as client, trio.open_nursery() as nursery:

        async def one(body: bytes) -> None:
            assert await client.post(body) == b"re: " + body
            order.append(body)

        for body in (b"1", b"2", b"3"):
            nursery.start_soon(one, body)
    assert sorted(order) == [b"1", b"2", b"3"]


async def test_a_refused_request(organisations: Organisations) -> None:
    async def serve(served: Http2Served) -> None:
        while (asked := await served.next()) is not None:
            await asked.respond(b"no", 403)

    async with listening(organisations, serve, max_body=1000) as bob, bob.open() as client:
        with pytest.raises(RefusedError, match="403") as caught:
            await client.post(b"x")
        assert caught.value.status == 403
        with pytest.raises(RefusedError) as caught:
            await client.post(bytes(1001))
        assert caught.value.status == 413
        with pytest.raises(RefusedError, match="403"):
            await client.post(bytes(1000))


async def test_the_server_closes_when_it_has_served(organisations: Organisations) -> None:
    async def serve(served: Http2Served) -> None:
        asked = await served.next()
        assert asked is not None
        await asked.respond(bytes(MAX_BODY))

    async with listening(organisations, serve) as bob, bob.open() as client:
        assert len(await client.post(b"x")) == MAX_BODY
        with pytest.raises(ClosedError) as caught:
            await client.post(b"y")
        assert caught.value.code == 1000
        with pytest.raises(ClosedError):
            await client.post(b"z")


async def test_who_waits_for_the_end_is_told_why(organisations: Organisations) -> None:
    told: list[ClosedError] = []
    go = trio.Event()

    async def serve(served: Http2Served) -> None:
        assert await served.next() is not None
        go.set()

    async with listening(organisations, serve) as bob, bob.open() as client, trio.open_nursery() as nursery:

        async def wait() -> None:
            told.append(await client.wait_closed())

        nursery.start_soon(wait)
        with pytest.raises(ClosedError):
            await client.post(b"x")
        await go.wait()
    assert [(error.code, error.reason) for error in told] == [(1000, "the peer closed the connection")]


async def test_the_client_closes(organisations: Organisations) -> None:
    done = trio.Event()

    async def serve(served: Http2Served) -> None:
        asked = await served.next()
        assert asked is not None
        assert await served.next() is None
        with pytest.raises(ClosedError):
            await asked.respond(b"nobody")
        done.set()

    async with listening(organisations, serve) as bob, trio.open_nursery() as nursery:
        async with bob.open() as client:

            async def ask() -> None:
                with pytest.raises(ClosedError) as caught:
                    await client.post(b"x")
                assert caught.value.code == 1000

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.fail_after(5):
            await done.wait()


async def test_a_cancelled_post_withdraws_its_request(organisations: Organisations) -> None:
    async def serve(served: Http2Served) -> None:
        held = await served.next()
        assert held is not None
        while (asked := await served.next()) is not None:
            await held.respond(b"late")
            await asked.respond(b"fine")

    async with listening(organisations, serve) as bob, bob.open() as client:
        with trio.move_on_after(0.05) as scope:
            await client.post(b"1")
        assert scope.cancelled_caught
        assert await client.post(b"2") == b"fine"


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
async def test_what_the_body_raises_comes_out_as_it_is(organisations: Organisations, error: BaseException) -> None:
    async with listening(organisations) as bob:
        with pytest.raises(type(error)) as caught:
            async with bob.open():
                raise error
        assert caught.value is error


async def test_who_is_cancelled_does_not_wait(organisations: Organisations) -> None:
    async def stuck(served: Http2Served) -> None:
        await trio.sleep_forever()

    async with listening(organisations, stuck) as bob:
        begin = trio.current_time()
        with trio.move_on_after(0.05) as scope:
            async with bob.open() as client:
                await client.post(b"x")
        assert scope.cancelled_caught
        assert trio.current_time() - begin < limits.CLOSE_SECONDS


async def test_a_cut_is_told_to_all(organisations: Organisations) -> None:
    async def leave(served: Http2Served) -> None:
        assert await served.next() is not None
        assert await served.next() is not None
        scope.cancel()
        await trio.sleep_forever()

    told: list[int] = []
    with trio.CancelScope() as scope:
        async with listening(organisations, leave) as bob, trio.open_nursery() as nursery:

            async def ask() -> None:
                with trio.CancelScope(shield=True), pytest.raises(ClosedError) as caught:
                    await client.post(b"x")
                told.append(caught.value.code)

            with trio.CancelScope(shield=True):
                async with bob.open() as client:
                    for _ in range(2):
                        nursery.start_soon(ask)
                    while len(told) < 2:  # noqa: ASYNC110
                        await trio.sleep(0.001)
    assert told == [1006, 1006]


async def test_nobody_listens() -> None:
    with pytest.raises(ConnectError, match="refused"):
        async with open_http2(
            "127.0.0.1", 1, context=None, server_name="x", alpn=ALPN, max_body=1  # type: ignore[arg-type]
        ):  # fmt: skip
            pass


async def test_nothing_is_left_behind(organisations: Organisations) -> None:
    async with listening(organisations) as bob:
        for _ in range(5):
            async with bob.open() as client:
                assert await client.post(b"x") == b"x"
        with trio.fail_after(5):
            while bob.ended < 5:  # noqa: ASYNC110
                await trio.sleep(0.001)
        client = None  # type: ignore[assignment]
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, Http2Served)]
