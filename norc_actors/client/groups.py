"""What an application does with groups: made, changed, named, left. Each is a signed state, asked of the server."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from norc_actors.client.core import Core
from norc_actors.client.errors import (
    ClientError,
    ClientUsageError,
    NotPermittedError,
    RequestRefusedError,
    UnknownConversationError,
    UnknownUserError,
)
from norc_actors.client.events import Event
from norc_actors.client.model import Group
from norc_actors.client.needs import FinalError, Need
from norc_actors.client.records import PINS, Draft
from norc_actors.client.resolver import Resolver
from norc_actors.client.transaction import Transaction
from norc_actors.ids import InvalidIdError, is_uuid, new_uuid, parse_user_id
from norc_actors.protocol.conversations import NotAllowedError, State, StateRefusedError, with_member, without_member
from norc_actors.protocol.messages import Role

R = TypeVar("R")

MAX_NAME = 256


def find(core: Core, tx: Transaction, name_or_id: str) -> Group:
    """The group of this id, or the only one of this name."""
    conversations = core.engine.conversations
    if is_uuid(name_or_id):
        group = conversations.group(tx, name_or_id)
        if group is None:
            raise UnknownConversationError(f"There is no group {name_or_id} here.")
        return group
    named = [group for group in conversations.groups(tx) if group.name == name_or_id and not group.left]
    if len(named) > 1:
        ids = ", ".join(group.conversation_id for group in named)
        raise UnknownConversationError(f"Several groups are named {name_or_id!r}: {ids}.", "Give the id.")
    if not named:
        raise UnknownConversationError(f"There is no group named {name_or_id!r} here.")
    return named[0]


def listed(core: Core, tx: Transaction) -> list[Group]:
    """All groups, by name."""
    return core.engine.conversations.groups(tx)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME:
        raise ClientUsageError(f"A group's name has 1 to {MAX_NAME} characters.")
    if is_uuid(name) or "@" in name:
        raise ClientUsageError("A group's name must not look like a user or an id.")


def user(text: str) -> str:
    """A user id, or `ClientUsageError`."""
    try:
        return parse_user_id(text)
    except InvalidIdError as error:
        raise ClientUsageError(f"{error}.") from error


async def create(core: Core, resolver: Resolver, name: str, members: Sequence[str]) -> Group:
    """Make a group and tell its name."""
    _check_name(name)
    users = sorted({user(member) for member in members} - {core.engine.own.user_id})
    await _pinned(core, resolver, (*users, core.engine.own.user_id))
    conversation_id = new_uuid(core.engine.random)
    request = await _final(core.do(lambda tx: core.engine.conversations.make_group(tx, conversation_id, users)))
    state = await _final(resolver.conversation(request, conversation_id))
    await _final(resolver.take(state))
    return await tell_name(core, conversation_id, name)


async def add(core: Core, resolver: Resolver, group: str, user_id: str, role: str) -> Group:
    """Add a member, and tell all the name again, so that the new one has it."""
    member = user(user_id)
    await _pinned(core, resolver, (member,))

    def change(tx: Transaction, state: State) -> State:
        pin = tx.get(PINS, member)
        if pin is None:
            raise UnknownUserError(f"The server knows no {member}.")
        key = core.engine.own.key.public_key
        known_role: Role = role  # type: ignore[assignment]  # checked by the state's own rules
        return with_member(state, core.engine.own.user_id, member, pin.user_key, known_role, key)

    changed = await _change(core, resolver, group, change)
    return await tell_name(core, changed.conversation_id, changed.name) if changed.name else changed


async def remove(core: Core, resolver: Resolver, group: str, user_id: str) -> Group:
    """Remove a member."""
    member = user(user_id)

    def change(tx: Transaction, state: State) -> State:
        return without_member(state, core.engine.own.user_id, member, core.engine.own.key.public_key)

    return await _change(core, resolver, group, change)


async def leave(core: Core, resolver: Resolver, group: str) -> None:
    """Stop sending at once; an owner or admin also signs the state without itself."""
    found = await core.do(lambda tx: find(core, tx, group))
    own = core.engine.own.user_id
    role = next((member.role for member in found.members if member.user_id == own), "")
    others = [member for member in found.members if member.user_id != own and member.role in ("owner", "admin")]
    if role in ("owner", "admin"):
        if not others:
            raise NotPermittedError(
                "You are the only owner of this group.", "Make somebody else an owner or admin, then leave."
            )
        await remove(core, resolver, group, own)
    await core.do(lambda tx: core.engine.conversations.set_left(tx, found.conversation_id))


async def tell_name(core: Core, conversation_id: str, name: str) -> Group:
    """Tell a group's name to all members, end to end."""
    _check_name(name)
    engine = core.engine

    def operation(tx: Transaction) -> tuple[int, str, bool, list[Event]]:
        now_us = engine.now_us()
        events = engine.conversations.rename(tx, conversation_id, name, engine.own.user_id, now_us)
        draft = Draft(message_type="system", body={"name": name}, lane=conversation_id)
        message_id = new_uuid(engine.random)
        sequence, ready = engine.sending.submit(tx, message_id, draft, now_us, events)
        return sequence, message_id, ready, events

    def after(result: tuple[int, str, bool, list[Event]]) -> None:
        sequence, message_id, ready, events = result
        core.submitted(sequence, message_id, ready=ready)
        core.publish(events)

    await core.do(operation, after)
    return await core.do(lambda tx: find(core, tx, conversation_id))


async def _change(core: Core, resolver: Resolver, group: str, change: Callable[[Transaction, State], State]) -> Group:
    """Sign and submit the state after the latest one."""
    conversation_id = (await core.do(lambda tx: find(core, tx, group))).conversation_id
    await _final(resolver.satisfy(Need(conversation=conversation_id)))
    conversations = core.engine.conversations

    def operation(tx: Transaction) -> State:
        latest = conversations.latest(tx, conversation_id)
        if latest is None:
            raise UnknownConversationError("There is no such group here.")
        return change(tx, latest)

    try:
        state = await core.do(operation)
    except NotAllowedError as error:
        raise NotPermittedError(f"This is not permitted: {error}.") from error
    except StateRefusedError as error:
        raise ClientUsageError(f"The group cannot be changed like this: {error}.") from error
    answer = await _final(resolver.conversation(conversations.make_update(state), conversation_id))
    await _final(resolver.take(answer))
    return await core.do(partial(_found, core, conversation_id=conversation_id))


def _found(core: Core, tx: Transaction, conversation_id: str) -> Group:
    return find(core, tx, conversation_id)


async def _pinned(core: Core, resolver: Resolver, users: Sequence[str]) -> None:
    """Have the keys of these users pinned."""
    missing = await core.do(lambda tx: tuple(name for name in users if tx.get(PINS, name) is None))
    if not missing:
        return
    try:
        await resolver.users(missing)
    except FinalError as error:
        raise UnknownUserError(error.what) from error
    left = await core.do(lambda tx: [name for name in users if tx.get(PINS, name) is None])
    if left:
        raise UnknownUserError(f"No key of {', '.join(left)} can be trusted.", "Look at the security events.")


async def _final(doing: Awaitable[R]) -> R:
    try:
        return await doing
    except FinalError as error:
        raise typed(error) from error


def typed(error: FinalError) -> ClientError:
    """A final decision as the application's error."""
    if error.cause == "unknown_conversation":
        return UnknownConversationError(error.what)
    if error.cause == "unknown_user":
        return UnknownUserError(error.what)
    return RequestRefusedError(error.what, 0, error.advice or None)
