"""What may differ from the defaults when a client is opened or a device enrolled."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from norc_actors.client.model import Address
from norc_actors.crypto.passphrase import ESCROW_COST, Cost

Tap = Callable[[Literal["sent", "received"], bytes], None]
"""Called with each message as a v1 frame (type, length, MessagePack), whatever it was sealed in; it must not raise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """What may differ from the defaults.

    `address`: where to dial, remembered in the profile at enrolment. `ca_file`: PEM of the CA that signed the server's
    certificate, likewise; without one the system's. `request_timeout`: seconds that a call waits for the server.
    `auto_connect`: False leaves the client offline (looking at what is in the profile). `passphrase_cost`: of a new
    profile. `tap` sees every frame that is sent or received, opened, for looking at the protocol (`norc inspect`).
    """

    address: Address | None = None
    ca_file: Path | None = None
    request_timeout: float = 30.0
    auto_connect: bool = True
    passphrase_cost: Cost = ESCROW_COST
    tap: Tap | None = None


DEFAULT_OPTIONS = ClientOptions()
