"""What others ask of trust, and what it tells them: plain values, no behaviour."""

from dataclasses import dataclass, field
from typing import Final, Literal

from norc_actors.ids import ServerId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.messages.trust import OrganizationInfo
from norc_actors.protocol.messages.trust_decision import RequestedChange, TrustCondition
from norc_actors.protocol.messages.trust_reports import NatoRecord
from norc_actors.protocol.messages.vocabulary import TrustMethod
from norc_actors.protocol.schema import Message
from norc_actors.protocol.trust_levels import TrustLevel
from norc_actors.trust.certificates import Certificate, Grant
from norc_actors.trust.health import Health
from norc_actors.trust.relations import Standing, State
from norc_actors.trust.requesting import Goal
from norc_actors.trust.revocation import Wish
from supervision import Call

RELATIONS: Final = "relations"
"""The group (`supervision.groups`) that hears every `RelationChanged`: whoever caches a standing joins it."""

# --- What federation asks ---


@dataclass(frozen=True, slots=True)
class StandingOf(Call[Standing]):
    """To trust_manager: how this server stands to another, now."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class TrustFrames(Call[tuple[tuple[int, bytes], ...]]):
    """To trust_manager: messages of NORC-T that came on a link, in order; answered with the frames that go back.

    `remote_key` is the identity key that the link's handshake proved, `trusted` whether it was pinned.
    """

    remote: ServerId
    remote_key: bytes
    trusted: bool
    messages: tuple[Received[Message], ...]


@dataclass(frozen=True, slots=True)
class RelationChanged:
    """Cast by trust_manager to whoever caches what a server is to this one."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class VersionOf(Call[str | None]):
    """To trust_manager: the highest version of a link with this server that was ever completed."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class Completed:
    """Cast to trust_manager: a handshake with this server ended with this version."""

    server: ServerId
    version: str


# --- What an operator asks ---


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeView:
    """One exchange, for an operator. `score`, `level`, `against` and `why` once it was judged; `records`: TXT records
    that this server has to publish; `note`: what went wrong last, or why it ended."""

    request_id: str
    remote: ServerId
    role: Literal["requesting", "granting", "renewing"]
    state: str
    updated_at: int
    requested: TrustLevel
    method: TrustMethod | None = None
    key: str = ""
    organisation: OrganizationInfo | None = None
    score: int | None = None
    level: TrustLevel | None = None
    against: dict[TrustLevel, tuple[str, ...]] = field(default_factory=dict)
    why: tuple[str, ...] = ()
    records: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def waits_for_operator(self) -> bool:
        """Whether `Approve` or `Reject` would decide it."""
        return self.role != "requesting" and self.state in ("responded", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustLine:
    """One server in the list."""

    server: ServerId
    state: State
    level: TrustLevel
    ends_at: int | None
    waits_for_operator: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDetail:
    """All that is known of one server. `keys`: fingerprints of the identity keys that count; `told`: (revocation_id,
    server, what it answered) of this server's revocations of it; `opinions`: what third servers said or did about it;
    `revoked`: certificates that it revoked itself."""

    standing: Standing
    keys: tuple[str, ...]
    issued: Certificate | None
    held: Certificate | None
    exchanges: tuple[ExchangeView, ...]
    health: Health
    told: tuple[tuple[str, ServerId, str], ...]
    opinions: tuple[str, ...]
    revoked: frozenset[str]


class TrustRefused(Exception):  # noqa: N818 - as PeerUnreachable
    """What an operator wanted cannot be done: why, and what to do next."""

    def __init__(self, why: str, following: str) -> None:
        super().__init__(why, following)
        self.why = why
        self.following = following

    def __str__(self) -> str:
        return f"{self.why}: {self.following}"


@dataclass(frozen=True, slots=True)
class RequestTrust(Call[ExchangeView]):
    """To trust_manager: ask `server` for trust, and grant it the same in return. Fails with `TrustRefused`."""

    server: ServerId
    goal: Goal


@dataclass(frozen=True, slots=True)
class Approve(Call[ExchangeView]):
    """To trust_manager: grant what `server` asked for, with these terms. `organisation_checked` and `nato` are the
    operator's word, and count as evidence. Evidence is looked at once more before. Fails with `TrustRefused`, which
    says what is missing."""

    server: ServerId
    grant: Grant | None = None
    organisation_checked: bool = False
    nato: NatoRecord | None = None


@dataclass(frozen=True, slots=True)
class Reject(Call[ExchangeView]):
    """To trust_manager: refuse what `server` asked for. Fails with `TrustRefused`."""

    server: ServerId
    why: str = ""


@dataclass(frozen=True, slots=True)
class Renew(Call[None]):
    """To trust_manager: ask `server` to renew what it granted. Fails with `TrustRefused`."""

    server: ServerId
    level: TrustLevel | None = None
    changes: tuple[RequestedChange, ...] = ()
    scheduled: bool = False


@dataclass(frozen=True, slots=True)
class Reissue(Call[None]):
    """To trust_manager: give `server` a new certificate on these terms (None: the same, without conditions: they were
    met). Never above the level that was proven. Fails with `TrustRefused`."""

    server: ServerId
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class RevokeTrust(Call[tuple[str, ...]]):
    """To trust_manager: end or narrow what this server granted; answered with the ids of the revocations. Fails with
    `TrustRefused`."""

    server: ServerId
    wish: Wish
    by: Literal["operator", "condition"] = "operator"


@dataclass(frozen=True, slots=True)
class Appeal(Call[None]):
    """To trust_manager: tell `server` that its newest revocation is disputed, or appealed against. It binds all the
    same. Fails with `TrustRefused`."""

    server: ServerId
    status: Literal["disputed", "appealing"]


@dataclass(frozen=True, slots=True)
class AskOpinion(Call[None]):
    """To trust_manager: ask `recommender` what it thinks of `subject`. Fails with `TrustRefused`."""

    recommender: ServerId
    subject: ServerId
    level: TrustLevel


@dataclass(frozen=True, slots=True)
class ListTrust(Call[tuple[TrustLine, ...]]):
    """To trust_manager: every server that there is anything about."""


@dataclass(frozen=True, slots=True)
class ShowTrust(Call[TrustDetail]):
    """To trust_manager: one server."""

    server: ServerId


# --- What trust_monitor asks ---


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredRelation:
    """One relation and its deadlines. `conditions` of what this server granted; `monitored_until`: up to when they were
    acted on; `renewal_due`, `renewal_at`: of the certificate that it holds (0: never)."""

    server: ServerId
    conditions: tuple[TrustCondition, ...]
    monitored_until: int
    renewal_due: bool
    renewal_at: int
    health: Health


@dataclass(frozen=True, slots=True)
class MonitoredRelations(Call[tuple[MonitoredRelation, ...]]):
    """To trust_manager: every relation."""


@dataclass(frozen=True, slots=True)
class Monitored(Call[None]):
    """To trust_manager: this server's deadlines were acted on up to `until`."""

    server: ServerId
    until: int
