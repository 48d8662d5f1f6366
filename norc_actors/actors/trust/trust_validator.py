"""trust_validator: runs the validators, and asks DNS (section 9; rows B136–B138, B183).

Each judgement is a task of its own: a hanging DNS server delays the one that asked it, and nobody else. At most
`limits.JUDGEMENTS` at once; the others wait in order, each at most as long as DNS may take.

What happens when it dies: what was being judged is lost, and the trust manager, which is above it in the tree, asks
again when this actor says that it is back (`Ready`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.trust.certificate_store import InThread
from norc_actors.ids import Clock, ServerId
from norc_actors.net.errors import NetError
from norc_actors.trust.validators import DomainAnswer, Evidence, Validator, Verdict
from supervision import GenServer

Case = tuple[str, ServerId, str]
"""What a judgement or a watch is for: (role, the other server, request_id) of an exchange."""

ChallengeRecords: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""The TXT records at `_norc-trust-challenge.DOMAIN`, none is an answer too; raises `NetError` if there was none."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Cast: judge this evidence, after looking for the TXT record `wanted` of the subject's domain, if there is one.
    The answer is a `Judged` with the same tag. `more`: validators of the moment, besides the configured ones."""

    tag: Case
    evidence: Evidence
    wanted: str | None
    more: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Cast to trust_manager."""

    tag: Case
    domain: DomainAnswer | None
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """Cast: look for these TXT records of this domain until all are there, at the latest until `until` (seconds since
    the epoch); then a `Visible` with the same tag. One tag is watched once."""

    tag: Case
    domain: str
    values: tuple[str, ...]
    until: float


@dataclass(frozen=True, slots=True)
class Visible:
    """Cast to trust_manager: the records are there."""

    tag: Case


@dataclass(frozen=True, slots=True)
class Ready:
    """Cast to trust_manager: an earlier life of this actor may have lost what it was asked."""


class TrustValidator(GenServer):
    """See the module. `validators`: those that are configured."""

    def __init__(
        self,
        *,
        validators: Sequence[Validator],
        look_up: ChallengeRecords,
        clock: Clock,
        in_thread: InThread = trio.to_thread.run_sync,
    ) -> None:
        self._validators = tuple(validators)
        self._look_up = look_up
        self._clock = clock
        self._in_thread = in_thread
        self._watched: set[Case] = set()
        self._judged = 0

    async def init(self) -> None:
        self._room = trio.Semaphore(limits.JUDGEMENTS)
        await self.system.ref(names.TRUST_MANAGER).cast(Ready())

    async def handle_cast(self, message: object) -> None:
        match message:
            case Judge():
                self.spawn(self._judge, message)
            case Watch(tag=tag) if tag not in self._watched:
                self._watched.add(tag)
                self.spawn(self._watch, message)
            case Watch():
                return
            case _:
                raise TypeError(f"trust_validator knows no {message!r}")

    def statistics(self) -> Mapping[str, int]:
        """Judgements given, and records that are watched for."""
        return {"judged": self._judged, "watched": len(self._watched)}

    async def _judge(self, request: Judge) -> None:
        async with self._room:
            domain = None
            if request.wanted is not None:
                domain = await self._domain(request.evidence.server, request.wanted)
            evidence = replace(request.evidence, domain=domain)
            now = self._clock()
            validators = (*self._validators, *request.more)
            verdicts = await self._in_thread(_judged_by, validators, evidence, now)
        self._judged += 1
        await self.system.ref(names.TRUST_MANAGER).cast(Judged(request.tag, domain, verdicts))

    async def _domain(self, domain: str, value: str) -> DomainAnswer:
        found, trouble = await self._found(domain)
        return DomainAnswer(expected=value, found=found, looked_up_at=self._clock(), trouble=trouble)

    async def _found(self, domain: str) -> tuple[tuple[str, ...], str]:
        """The records, and what went wrong."""
        try:
            with trio.fail_after(limits.TRUST_DNS_SECONDS):
                return tuple(await self._look_up(domain)), ""
        except trio.TooSlowError:
            return (), f"no answer within {limits.TRUST_DNS_SECONDS:g} s"
        except NetError as error:
            return (), str(error)

    async def _watch(self, request: Watch) -> None:
        pause = limits.DNS_WATCH_SECONDS
        while self._clock() < request.until:
            found, _ = await self._found(request.domain)
            if set(request.values) <= set(found):
                await self.system.ref(names.TRUST_MANAGER).cast(Visible(request.tag))
                break
            await trio.sleep(pause)
            pause = min(2 * pause, limits.DNS_WATCH_MOST_SECONDS)
        self._watched.discard(request.tag)


def _judged_by(validators: Sequence[Validator], evidence: Evidence, now: float) -> tuple[Verdict, ...]:
    return tuple(validator.judge(evidence, now) for validator in validators)
