"""From what a person gives (a link, a name, a path) to an enrolment: profile made or opened, applicant put together."""

import os
import time
from collections.abc import Awaitable, Callable

import trio

from norc_actors.client.enrolment import Applicant, Enrolment
from norc_actors.client.errors import LinkError, ProfileMissingError
from norc_actors.client.model import Enrolled
from norc_actors.client.opening import StrPath, create_at, open_at, where
from norc_actors.client.options import ClientOptions
from norc_actors.client.vault import Unlock
from norc_actors.ids import UserId, server_of
from norc_actors.protocol.enrolment import BadLinkError, EnrolmentLink, parse_link


def read_link(link: str, user_id: str) -> EnrolmentLink:
    """The link, if it is of the user's own server; `LinkError` otherwise."""
    try:
        parsed = parse_link(link)
    except BadLinkError as error:
        raise LinkError(f"This is no enrolment link: {error}.") from error
    home = server_of(UserId(user_id))
    if parsed.server_id != home:
        raise LinkError(f"The link is of {parsed.server_id}, but {user_id} is a user of {home}.")
    return parsed


def make_applicant(
    user_id: str, name: str, link: EnrolmentLink | None, options: ClientOptions, *, first: bool
) -> Applicant:
    """Who wants to be enrolled where; a further device uses a link for the server's key alone."""
    host = options.address.host if options.address else None
    port = options.address.port if options.address else None
    return Applicant(
        user_id=user_id,
        first=first,
        name=name,
        where=where(server_of(UserId(user_id)), host, port, options.ca_file),
        token=link.token if link is not None and first else None,
        key_hashes=link.key_hashes if link is not None else (),
    )


async def enrol(
    path: StrPath,
    unlock: Unlock,
    applicant: Applicant,
    options: ClientOptions,
    on_code: Callable[[str], Awaitable[None]] | None = None,
    within: float = 0.0,
) -> Enrolled:
    """Make the profile, or go on with one that was begun; enrol; close it."""
    try:
        profile = await open_at(path, unlock)
    except ProfileMissingError:
        profile = await create_at(path, unlock, options.passphrase_cost)
    try:
        enrolment = Enrolment(
            profile, random=os.urandom, clock=time.time, on_code=on_code, within=within, tap=options.tap
        )
        return await enrolment.run(applicant)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(profile.close)
