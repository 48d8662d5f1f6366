"""The pure parts of one open profile, put together (the composition root of the client's rules).

Everything here works on transactions; clock and randomness are passed in, so a test can run two devices against each
other without a loop, a socket or a server.
"""

import time
from dataclasses import dataclass

from norc_actors.client.conversations import Conversations
from norc_actors.client.directory import Directory
from norc_actors.client.keyring import SUITES, Keyring, server_pin
from norc_actors.client.outbox import Outbox
from norc_actors.client.receiving import Receiving
from norc_actors.client.records import Self
from norc_actors.client.sending import Sending
from norc_actors.client.transaction import Transaction
from norc_actors.ids import Clock, Random
from norc_actors.protocol.devices import OwnDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The rules over one profile."""

    own: OwnDevice
    keyring: Keyring
    directory: Directory
    conversations: Conversations
    sending: Sending
    receiving: Receiving
    outbox: Outbox
    random: Random
    clock: Clock

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock())

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return int(self.clock() * 1_000_000)


def make_engine(tx: Transaction, identity: Self, *, random: Random, clock: Clock = time.time) -> Engine:
    """The rules for the device of this profile."""
    keyring = Keyring(identity)
    own = OwnDevice(user_id=identity.user_id, device_id=identity.device_id, key=keyring.device_key, e2e_suites=SUITES)
    pin = server_pin(tx)
    directory = Directory(identity.user_id, (pin.key, *pin.former_keys) if pin.key else ())
    conversations = Conversations(
        user_id=identity.user_id, device_id=identity.device_id, directory=directory, signer=keyring.device_key
    )
    sending = Sending(own=own, directory=directory, conversations=conversations, random=random)
    receiving = Receiving(own=own, keyring=keyring, directory=directory, conversations=conversations, sending=sending)
    outbox = Outbox(own=own, directory=directory, conversations=conversations, sending=sending)
    return Engine(
        own=own,
        keyring=keyring,
        directory=directory,
        conversations=conversations,
        sending=sending,
        receiving=receiving,
        outbox=outbox,
        random=random,
        clock=clock,
    )
