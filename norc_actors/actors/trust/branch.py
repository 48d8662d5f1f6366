"""The trust branch of the tree (section 9; row B165).

```
trust                      rest_for_one   a later one leans on the earlier ones
├── certificate_store      the trust tables
├── trust_manager          exchanges, approvals, certificates, relations, revocations
├── trust_validator        validators and DNS: one that hangs delays nobody else
├── crl_manager            lists of revocations: the own one, everybody's; pushes
└── trust_monitor          deadlines
```
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.trust.certificate_store import CertificateStore, InThread
from norc_actors.actors.trust.crl_manager import CrlManager
from norc_actors.actors.trust.ledger import TrustSettings
from norc_actors.actors.trust.trust_manager import TrustManager
from norc_actors.actors.trust.trust_monitor import TrustMonitor
from norc_actors.actors.trust.trust_validator import ChallengeRecords, TrustValidator
from norc_actors.ids import Clock, Random
from norc_actors.store.trust import TrustStore
from norc_actors.trust.validators import Validator
from supervision import ChildSpec, GenServer, Mailbox, Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustParts:
    """What the composition root brings. `validators`: those that are configured, the direct exchange among them."""

    settings: TrustSettings
    open_store: Callable[[], TrustStore]
    validators: Sequence[Validator]
    look_up: ChallengeRecords
    clock: Clock
    random: Random
    in_thread: InThread = trio.to_thread.run_sync


def trust(parts: TrustParts) -> ChildSpec:
    """The branch."""
    clock, random = parts.clock, parts.random
    children = [
        _worker(
            names.CERTIFICATE_STORE,
            lambda: CertificateStore(open_store=parts.open_store, clock=clock, in_thread=parts.in_thread),
        ),
        _worker(names.TRUST_MANAGER, lambda: TrustManager(settings=parts.settings, clock=clock, random=random)),
        _worker(
            names.TRUST_VALIDATOR,
            lambda: TrustValidator(
                validators=parts.validators, look_up=parts.look_up, clock=clock, in_thread=parts.in_thread
            ),
        ),
        _worker(names.CRL_MANAGER, lambda: CrlManager(profile=parts.settings.profile, clock=clock, random=random)),
        _worker(names.TRUST_MONITOR, lambda: TrustMonitor(clock=clock)),
    ]
    return ChildSpec(
        id="trust",
        name="trust",
        start=lambda: Supervisor(
            children,
            strategy="rest_for_one",
            intensity=limits.RESTART_INTENSITY,
            period=limits.RESTART_PERIOD_SECONDS,
        ),
        type="supervisor",
        shutdown="infinity",
    )


def _worker(name: str, start: Callable[[], GenServer]) -> ChildSpec:
    return ChildSpec(
        id=name,
        name=name,
        start=start,
        shutdown=limits.ACTOR_SHUTDOWN_SECONDS,
        mailbox=Mailbox(capacity=limits.ACTOR_MAILBOX, overflow="block"),
    )
