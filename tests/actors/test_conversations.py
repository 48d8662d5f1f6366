"""Signed states at the server: who may bring which, and who may see which (section 6; rows B94–B96, B98)."""

import secrets
from pathlib import Path

from bench.lean_device import LeanDevice, Line
from norc_actors.ids import new_uuid
from norc_actors.protocol import messages as m
from norc_actors.protocol.conversations import State, direct_state, first_state, sign_state, with_member, without_member
from norc_actors.protocol.errors import Code
from tests.support.house import House, house, next_of


def group_of(owner: LeanDevice, *others: LeanDevice) -> State:
    members = {owner.user_id: ("owner", owner.user_key.public_key)}
    members |= {other.user_id: ("member", other.user_key.public_key) for other in others}
    return first_state(new_uuid(secrets.token_bytes), "group", members)


def carried(state: State, signer: LeanDevice) -> m.ConversationCreate | m.ConversationUpdate:
    """The message that brings a state: a create for epoch 1, else an update."""
    signed = {
        "conversation_id": state.conversation_id,
        "state": state.map,
        "signer_user": signer.user_id,
        "signer_device": signer.device_id,
        "signature": sign_state(signer.key, state),
    }
    if state.epoch == 1:
        return m.ConversationCreate(conversation_type=state.type, **signed)
    return m.ConversationUpdate(**signed)


async def put(line: Line, state: State, signer: LeanDevice) -> m.ConversationState:
    await line.send(carried(state, signer))
    answer = await next_of(line, m.ConversationState)
    assert isinstance(answer, m.ConversationState)
    return answer


async def refused(line: Line, state: State, signer: LeanDevice) -> Code:
    await line.send(carried(state, signer))
    error = await next_of(line, m.ErrorMessage)
    assert isinstance(error, m.ErrorMessage)
    assert error.request_id == state.conversation_id
    return Code(error.error_code)


async def everyone(home: House) -> tuple[LeanDevice, LeanDevice, LeanDevice]:
    alice, bob, carol = await home.served.enrolled(["alice", "bob", "carol"])
    return alice, bob, carol


async def test_members_are_shown_each_state_and_can_ask_for_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, carol = await everyone(home)
        first = group_of(alice, bob)
        second = with_member(
            first, alice.user_id, carol.user_id, carol.user_key.public_key, "member", alice.key.public_key
        )
        async with home.line(alice) as a, home.line(bob) as b, home.line(carol) as c:
            assert (await put(a, first, alice)).state == first.map
            assert (await b.expect(m.ConversationCreate)).state == first.map
            await put(a, second, alice)
            assert (await b.expect(m.ConversationUpdate)).state == second.map
            assert (await c.expect(m.ConversationUpdate)).state == second.map
            for epoch, state in ((1, first), (2, second), (None, second)):
                await c.send(m.ConversationStateRequest(conversation_id=first.conversation_id, epoch=epoch))
                assert (await c.expect(m.ConversationState)).state == state.map


async def test_a_member_may_not_sign_a_state_and_a_stranger_learns_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, carol = await everyone(home)
        first = group_of(alice, bob)
        async with home.line(alice) as a, home.line(bob) as b, home.line(carol) as c:
            await put(a, first, alice)
            rest = with_member(
                first, alice.user_id, carol.user_id, carol.user_key.public_key, "member", bob.key.public_key
            )
            assert await refused(b, rest, bob) is Code.NOT_PERMITTED
            assert await refused(c, rest, carol) is Code.CONVERSATION_NOT_FOUND
            await c.send(m.ConversationStateRequest(conversation_id=first.conversation_id))
            assert (await c.expect(m.ErrorMessage)).error_code == Code.CONVERSATION_NOT_FOUND
            await c.send(m.ConversationStateRequest(conversation_id=new_uuid(secrets.token_bytes)))
            assert (await c.expect(m.ErrorMessage)).error_code == Code.CONVERSATION_NOT_FOUND


async def test_a_removed_member_sees_the_epochs_it_was_in_and_no_later_one(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, _ = await everyone(home)
        first = group_of(alice, bob)
        second = without_member(first, alice.user_id, bob.user_id, alice.key.public_key)
        async with home.line(alice) as a, home.line(bob) as b:
            await put(a, first, alice)
            await put(a, second, alice)
            await b.expect(m.ConversationCreate)
            await b.send(m.ConversationStateRequest(conversation_id=first.conversation_id, epoch=1))
            assert (await next_of(b, m.ConversationState)).state == first.map
            await b.send(m.ConversationStateRequest(conversation_id=first.conversation_id))
            assert (await next_of(b, m.ErrorMessage)).error_code == Code.CONVERSATION_NOT_FOUND


async def test_a_state_that_skips_an_epoch_or_forks_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, carol = await everyone(home)
        key = alice.key.public_key
        first = group_of(alice, bob)
        second = without_member(first, alice.user_id, bob.user_id, key)
        fork = with_member(first, alice.user_id, carol.user_id, carol.user_key.public_key, "member", key)
        third = with_member(second, alice.user_id, carol.user_id, carol.user_key.public_key, "member", key)
        async with home.line(alice) as a:
            await put(a, first, alice)
            assert await refused(a, third, alice) is Code.NOT_PERMITTED
            await put(a, second, alice)
            assert await refused(a, fork, alice) is Code.NOT_PERMITTED
            assert await refused(a, first, alice) is Code.NOT_PERMITTED
            await put(a, third, alice)


async def test_a_member_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, _ = await everyone(home)
        for ghost, code in (
            ("ghost@localhost", Code.INVALID_RECIPIENT),
            ("bob@elsewhere.example", Code.SERVER_NOT_TRUSTED),
        ):
            bob.user_id = ghost  # type: ignore[assignment]
            async with home.line(alice) as a:
                assert await refused(a, group_of(alice, bob), alice) is code


async def test_a_second_direct_conversation_is_answered_with_the_first(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, _ = await everyone(home)
        async with home.line(alice) as a, home.line(bob) as b:
            first = (await alice.talk_to(a, bob)).state
            second = direct_state(
                new_uuid(secrets.token_bytes),
                alice.user_id,
                alice.user_key.public_key,
                bob.user_id,
                bob.user_key.public_key,
            )
            assert (await put(b, second, bob)).state == first.map
