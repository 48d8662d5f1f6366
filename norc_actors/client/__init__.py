"""The client library: `async with Client.open(profile, passphrase=…) as client`, then `send`, `messages`, `events`."""

from norc_actors.client.client import Client
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
from norc_actors.client.options import ClientOptions
from norc_actors.client.sent import Sent

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
