"""Words that several families of messages share: texts, numbers and atoms of presence, calls, servers and trust."""

import re
from typing import Annotated, Literal, TypeAlias

from norc_actors.limits import (
    FILE_CHUNK_LEAST,
    FILE_CHUNK_MOST,
    MAX_CERTIFICATE_BYTES,
    MAX_CERTIFICATE_CHAIN,
    MIN_MAX_FRAME,
)
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import Bound, Length, Map, Pattern, Plain, Range, SignedMap, Unit

MaxFrame: TypeAlias = Annotated[int, Range(MIN_MAX_FRAME, 2**32 - 1)]
"""What an end is ready to receive in one frame."""

# --- Texts ---
Word: TypeAlias = Annotated[str, Bound(1, 64)]
"""A name of something that no list here closes: a standard, a kind of limit, a condition of a call."""
Name: TypeAlias = Annotated[str, Bound(0, 256)]
Remark: TypeAlias = Annotated[str, Bound(0, 1024)]
Url: TypeAlias = Annotated[str, Bound(0, 2048)]
Remarks: TypeAlias = Annotated[tuple[Remark, ...], Bound(0, 256)]
Address: TypeAlias = Annotated[str, Bound(1, 253)]
"""A host name or an IP address."""
PageToken: TypeAlias = Annotated[str, Bound(1, 1024)]
_DATE = Pattern("date", re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"))
Date: TypeAlias = Annotated[str, Length(10), _DATE]
"""`YYYY-MM-DD` of UTC."""

# --- Numbers ---
Port: TypeAlias = Annotated[int, Range(1, 65535)]
Percent: TypeAlias = Annotated[int, Range(0, 100), Unit("%")]
ChunkSize: TypeAlias = Annotated[int, Range(FILE_CHUNK_LEAST, FILE_CHUNK_MOST), Unit("bytes")]
"""The size of a chunk before its tag."""

# --- Atoms ---
PresenceStatus = Literal["online", "away", "busy", "invisible", "offline"]
TrustLevel = Literal["untrusted", "basic", "verified", "classified", "nato"]
TrustMethod = Literal["direct_exchange", "ca_validation", "web_of_trust", "government_pki", "manual_verification"]
Severity = Literal["low", "medium", "high", "critical"]

# --- Papers ---
Certificates: TypeAlias = Annotated[
    tuple[Annotated[bytes, Bound(1, MAX_CERTIFICATE_BYTES)], ...], Bound(0, MAX_CERTIFICATE_CHAIN)
]
"""X.509 certificates, DER, the leaf first."""
TrustCertificateMap: TypeAlias = Annotated[SignedMap, Plain("TrustCertificate")]


class RateLimits(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How much one server may send to another."""

    messages_per_second: Annotated[int, Range(0, 2**32 - 1), Unit("messages/s")]
    bandwidth_mbps: Annotated[int, Range(0, 2**32 - 1), Unit("Mbit/s")]


class Period(Map, frozen=True, kw_only=True, omit_defaults=True):
    """From a time to a time, both in seconds."""

    start_time: Annotated[int, Range(0, 2**53 - 1), Unit("s")]
    end_time: Annotated[int, Range(0, 2**53 - 1), Unit("s")]

    def _rule(self) -> None:
        """`end_time` is not before `start_time`."""
        check_order("Period", self.start_time, self.end_time)


def check_order(owner: str, start: int, end: int) -> None:
    """Refuse what ends before it begins."""
    if end < start:
        raise malformed(f"{owner} ends before it begins")
