"""What can go wrong with a connection, as types: callers decide by the class, a person reads the text."""

from enum import Enum


class NetError(Exception):
    """Something about a socket, TLS, WebSocket or HTTP/2 failed."""


class ClosedError(NetError):
    """The connection is closed, by either side or by the network (`code` 1006). `code` and `reason` are WebSocket's.

    An HTTP/2 connection has WebSocket's codes too: 1000 closed in order, 1002 a rule of HTTP/2 was broken, 1006 cut or
    silent, 1008 it was flooded or stalled.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"connection closed ({code}{': ' + reason if reason else ''})")
        self.code = code
        self.reason = reason


class ConnectError(NetError):
    """No connection: the text says to whom and why. Worth another try later, unless a subclass says otherwise."""


class CertificateCause(Enum):
    """Why a peer's certificate is refused (row B107): each its own text in our log, while the peer is told nothing."""

    UNTRUSTED = "was issued by none of the CAs that are trusted here"
    WRONG_NAME = "is for another name"
    WRONG_USAGE = "is not for this use (key usage or extended key usage)"
    EXPIRED = "has expired"
    NOT_YET_VALID = "is not valid yet: compare the clocks"
    REVOKED = "has been revoked"
    MISSING = "is missing: it showed none"
    OTHER = "is not accepted"


class CertificateError(ConnectError):
    """The peer's TLS certificate is not the expected one. Trying again will not help."""

    def __init__(self, peer: str, cause: CertificateCause, detail: str = "") -> None:
        super().__init__(f"{peer}: its TLS certificate {cause.value}{f' ({detail})' if detail else ''}")
        self.cause = cause


class NoProtocolError(ConnectError):
    """The two sides have no protocol in common (ALPN)."""


class DnsCause(Enum):
    """Why a look-up gave nothing."""

    NO_NAME = "there is no such name"
    NO_RECORD = "the name has no such record"
    NOT_OFFERED = "the name says that the service is not offered"
    TIMEOUT = "no name server answered in time"
    UNREACHABLE = "no name server can be reached"
    SERVER_FAILURE = "the name server could not answer"


class DnsError(ConnectError):
    """A name could not be looked up. `NO_NAME`, `NO_RECORD` and `NOT_OFFERED` are answers, the others no answer."""

    def __init__(self, name: str, cause: DnsCause, detail: str = "") -> None:
        super().__init__(f"{name}: {cause.value}{f' ({detail})' if detail else ''}")
        self.cause = cause

    @property
    def is_answer(self) -> bool:
        """Whether the name servers answered, and the answer is: nothing."""
        return self.cause in (DnsCause.NO_NAME, DnsCause.NO_RECORD, DnsCause.NOT_OFFERED)


class RefusedError(ConnectError):
    """The server answered, but refused the WebSocket or the HTTP/2 request with an HTTP `status`; `body` is what an
    HTTP/2 peer said to it."""

    def __init__(self, text: str, status: int, body: bytes = b"") -> None:
        super().__init__(text)
        self.status = status
        self.body = body


class ListenError(NetError):
    """The address cannot be listened on: the text says why and what to do."""


class TLSConfigurationError(NetError):
    """A certificate or key file is missing, unreadable or does not fit: the text names it."""
