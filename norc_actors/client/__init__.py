"""The client library: `async with Client.open(profile, passphrase=…) as client`, then `send`, `messages`, `events`."""

from norc_actors.client.client import Client, ClientOptions, Sent
from norc_actors.client.model import (
    Address,
    Cause,
    DeviceInfo,
    Enrolled,
    Group,
    Member,
    Message,
    MessageStatus,
    PendingDevice,
    Received,
    RecipientStatus,
    Role,
    Status,
    Undecryptable,
    UserInfo,
)

__all__ = [
    "Address",
    "Cause",
    "Client",
    "ClientOptions",
    "DeviceInfo",
    "Enrolled",
    "Group",
    "Member",
    "Message",
    "MessageStatus",
    "PendingDevice",
    "Received",
    "RecipientStatus",
    "Role",
    "Sent",
    "Status",
    "Undecryptable",
    "UserInfo",
]
