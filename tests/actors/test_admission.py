"""Who gets in, and what ends a connection: only the one that deserves it (B29, B36, B39–B42, B45, B48; bad input)."""

import secrets
import ssl
import time
from pathlib import Path

import pytest
import trio

from bench.lean_device import LeanDevice, Line, Talk, UnexpectedError
from norc_actors import limits
from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import UserId, new_uuid
from norc_actors.net.errors import ClosedError, ConnectError
from norc_actors.protocol import messages as m
from norc_actors.protocol.codec import convert, encode
from norc_actors.protocol.enrolment import EnrolmentLink, parse_link
from norc_actors.protocol.errors import Code
from norc_actors.protocol.frames import V2_HEADER
from norc_actors.protocol.revocation import make_revocation
from tests.support.house import LIMITS, House, ack_of, house, next_of, until_closed


async def invitation(home: House, user: str, **request: object) -> EnrolmentLink:
    answer = await home.served.ask({"command": "invite", "user_id": user, **request})
    return parse_link(str(answer["link"]))


async def ended_by(line: Line) -> m.ErrorMessage:
    """The error that the server sends before it closes the connection."""
    error = (await until_closed(line))[-1]
    assert isinstance(error, m.ErrorMessage)
    return error


async def test_a_token_works_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        link = await invitation(home, "alice@localhost")
        alice, thief = LeanDevice(UserId("alice@localhost")), LeanDevice(UserId("alice@localhost"))
        async with home.line(alice, authenticated=False) as line:
            await alice.enrol(line, link)
        async with home.line(thief, authenticated=False) as line:
            with pytest.raises(UnexpectedError, match="error_code=1000"):
                await thief.enrol(line, link)


@pytest.mark.parametrize("token", ["wrong", "of another user", "expired"])
async def test_a_token_that_does_not_fit_is_refused_without_saying_why(tmp_path: Path, token: str) -> None:
    async with house(tmp_path) as home:
        alice = LeanDevice(UserId("alice@localhost"))
        link = await invitation(home, "bob@localhost" if token == "of another user" else alice.user_id, expires_s=1)
        if token == "wrong":
            link = EnrolmentLink(server_id=link.server_id, token=bytes(32), key_hashes=link.key_hashes)
        if token == "expired":
            await trio.sleep(2)  # the token's own second; nothing else can make it old
        async with home.line(alice, authenticated=False) as line:
            with pytest.raises(UnexpectedError, match=r"error_code=1000.*Authentication failed"):
                await alice.enrol(line, link)


async def test_open_registration_takes_work_for_a_token(tmp_path: Path) -> None:
    async with house(tmp_path, LIMITS + "[registration]\nopen = true\ndifficulty = 6\n") as home:
        alice, lazy = LeanDevice(UserId("alice@localhost")), LeanDevice(UserId("lazy@localhost"))
        async with home.line(alice, authenticated=False) as line:
            await alice.enrol(line, None)
            await alice.authenticate(line)
        async with home.line(lazy, authenticated=False) as line:
            with pytest.raises(UnexpectedError, match="error_code=1000"):
                await lazy.enrol(line, None, work=False)
        squatter = LeanDevice(UserId("alice@localhost"))
        async with home.line(squatter, authenticated=False) as line:
            with pytest.raises(UnexpectedError, match="error_code=1000"):
                await squatter.enrol(line, None)


async def test_registration_is_closed_unless_the_operator_opened_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice = LeanDevice(UserId("alice@localhost"))
        async with home.line(alice, authenticated=False) as line:
            with pytest.raises(UnexpectedError, match="error_code=1000"):
                await alice.enrol(line, None)


async def test_strangers_get_one_answer_whatever_is_wrong(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        stranger = LeanDevice(UserId("nobody@localhost"))
        wrong_key = LeanDevice(alice.user_id, device_id=alice.device_id)
        wrong_user = LeanDevice(UserId("bob@localhost"), key=alice.key, device_id=alice.device_id)
        answers = set()
        for device in (stranger, wrong_key, wrong_user):
            async with home.line(device, authenticated=False) as line:
                with pytest.raises(UnexpectedError) as refused:
                    await device.authenticate(line)
                answers.add(str(refused.value).split("timestamp")[0])
        assert len(answers) == 1


async def test_a_clock_off_by_an_hour_does_not_authenticate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        async with home.line(alice, authenticated=False) as line:
            now = time.time()
            monkeypatch.setattr("bench.lean_device.time.time", lambda: now + 3600)
            with pytest.raises(UnexpectedError, match="error_code=1000"):
                await alice.authenticate(line)


async def test_the_newer_connection_of_a_device_wins(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        async with home.line(alice) as older, home.line(alice) as newer:
            assert (await ended_by(older)).error_code == Code.SESSION_EXPIRED
            await newer.send(m.Ping(timestamp=5))
            assert await newer.expect(m.Pong) == m.Pong(timestamp=5)


async def test_a_revoked_device_is_out_at_once_and_for_good(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        async with home.line(alice) as line:
            talk = await bob_talks(home, bob, alice)
            await line.expect(m.ConversationCreate)
            revocation = convert(
                make_revocation(
                    alice.user_key,
                    user_id=alice.user_id,
                    device_id=alice.device_id,
                    reason="lost",
                    signed_by="user",
                    effective=int(time.time()),
                    revocation_id=new_uuid(secrets.token_bytes),
                    previous=None,
                ),
                m.DeviceRevoke,
            )
            started = trio.current_time()
            await line.send(revocation)
            assert (await ended_by(line)).error_code == Code.DEVICE_REVOKED
            assert trio.current_time() - started < 1
        async with home.line(alice, authenticated=False) as line:
            with pytest.raises(UnexpectedError, match="error_code=1000"):
                await alice.authenticate(line)
        async with home.line(bob) as line:
            message = talk.seal("to a device that is out")
            await line.send(message)
            assert (await ack_of(line, message.message_id, "failed")).error_code == Code.STALE_DEVICES


async def bob_talks(home: House, bob: LeanDevice, alice: LeanDevice) -> Talk:
    async with home.line(bob) as line:
        return await bob.talk_to(line, alice)


async def test_a_revocation_that_the_user_did_not_sign_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, mallory = await home.served.enrolled(["alice", "mallory"])
        forged = make_revocation(
            mallory.user_key,
            user_id=alice.user_id,
            device_id=alice.device_id,
            reason="lost",
            signed_by="user",
            effective=int(time.time()),
            revocation_id=new_uuid(secrets.token_bytes),
            previous=None,
        )
        async with home.line(mallory) as line, home.line(alice) as victim:
            await line.send(convert(forged, m.DeviceRevoke))
            error = await line.expect(m.ErrorMessage)
            assert error.request_id == forged["revocation_id"]
            await victim.send(m.Ping(timestamp=5))
            await victim.expect(m.Pong)


async def test_a_further_device_waits_for_a_device_of_its_user(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [phone] = await home.served.enrolled(["alice"])
        laptop = LeanDevice(phone.user_id, user_key=phone.user_key)
        async with home.line(phone) as old, home.line(laptop, authenticated=False) as new:
            await laptop.ask_to_join(new)
            asked = await old.expect(m.DeviceRegister)
            await old.send(phone.approval(asked))
            assert (await old.expect(m.DeviceRegister)).user_key == phone.user_key.public_key  # taken, says the server
            await new.expect(m.RegistrationSuccess)
            await laptop.authenticate(new)
            assert await phone.devices_of(old, [phone])


async def test_an_approval_that_changes_the_registration_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [phone] = await home.served.enrolled(["alice"])
        laptop = LeanDevice(phone.user_id, user_key=phone.user_key)
        async with home.line(phone) as old, home.line(laptop, authenticated=False) as new:
            await laptop.ask_to_join(new)
            asked = await old.expect(m.DeviceRegister)
            other = SigningKey.generate("ed25519", secrets.token_bytes)
            forged = {name: getattr(asked, name) for name in asked.__struct_fields__} | {"public_key": other.public_key}
            await old.send(phone.approval(m.DeviceRegister(**forged)))
            error = await next_of(old, m.ErrorMessage)
            assert isinstance(error, m.ErrorMessage)
            assert error.error_code == Code.NOT_PERMITTED


async def test_messages_beyond_the_rate_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    slow = LIMITS.replace("messages_per_minute = 100000", "messages_per_minute = 1").replace(
        "messages_burst = 100000", "messages_burst = 4"
    )  # her first bundle and the conversation took one each
    async with house(tmp_path, slow) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await bob_talks(home, alice, bob)
        async with home.line(alice) as line:
            sealed = [talk.seal(str(i)) for i in range(3)]
            await line.send(*sealed)
            error = await next_of(line, m.ErrorMessage)
            assert isinstance(error, m.ErrorMessage)
            assert (error.error_code, error.request_id) == (Code.RATE_MESSAGES, sealed[2].message_id)
            assert error.retry_after is not None
            assert 0 < error.retry_after <= 60


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        secrets.token_bytes(200),
        V2_HEADER.pack(2, 0x10, 2**31, bytes(16), 0, bytes(32)),
        V2_HEADER.pack(1, 0x10, 16, bytes(16), 0, bytes(32)) + bytes(16),
    ],
    ids=["empty", "cut off", "random", "longer than allowed", "version 1"],
)
async def test_a_broken_frame_ends_its_own_connection_alone(tmp_path: Path, frame: bytes) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        async with home.line(alice) as a, home.line(bob) as b:
            await a._socket.send(frame)  # noqa: SLF001 - what no client would send
            await until_closed(a)
            await b.send(m.Ping(timestamp=5))
            await b.expect(m.Pong)


async def test_three_frames_that_do_not_open_end_the_connection_without_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        async with home.line(alice) as line:
            replayed = line._sealed.seal(0x09, encode(m.Ping(timestamp=1)))[0]  # noqa: SLF001 - a replay
            await line._socket.send_many([replayed] * 4)  # noqa: SLF001
            await line.expect(m.Pong)
            assert await until_closed(line) == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (m.Pong(timestamp=1), None),
        (m.RegistrationResponse(challenge=bytes(32), signature=bytes(64)), Code.WRONG_STATE),
        (
            m.PrekeyUpload(one_time=({"one_time_id": 1, "x25519": bytes(32), "signature": bytes(64)},)),
            Code.NOT_PERMITTED,
        ),
    ],
)
async def test_messages_out_of_place(tmp_path: Path, message: m.Pong, code: Code | None) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        async with home.line(alice) as line:
            await line.send(message)
            await line.send(m.Ping(timestamp=7))
            answer = await line.receive()
            assert isinstance(answer, m.Pong) if code is None else (answer.error_code == code)


async def test_tls_1_2_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        context = ssl.create_default_context(cafile=str(home.served.ca))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ConnectError):
            async with LeanDevice(UserId("a@localhost")).connected(home.served.host, home.served.port, context):
                pass


async def test_unauthenticated_connections_of_one_source_are_bounded(tmp_path: Path) -> None:
    async with house(tmp_path, LIMITS + "unauthenticated_per_source = 3\n") as home:
        [alice] = await home.served.enrolled(["alice"])
        idle = [LeanDevice(UserId("x@localhost")) for _ in range(3)]
        async with home.line(alice), home.line(idle[0], authenticated=False):
            async with home.line(idle[1], authenticated=False), home.line(idle[2], authenticated=False):
                with pytest.raises(ConnectError):
                    async with home.line(alice):
                        pass
            async with home.line(alice) as line:
                await line.send(m.Ping(timestamp=5))
                await line.expect(m.Pong)


async def test_whoever_says_nothing_is_shown_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.3)
    async with house(tmp_path) as home, home.line(LeanDevice(UserId("x@localhost")), authenticated=False) as line:
        with pytest.raises(ClosedError):
            await line.receive()
