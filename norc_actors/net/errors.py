"""What can go wrong with a connection, as types: callers decide by the class, a person reads the text."""


class NetError(Exception):
    """Something about a socket, TLS or WebSocket failed."""


class ClosedError(NetError):
    """The connection is closed, by either side or by the network (`code` 1006). `code` and `reason` are WebSocket's."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"connection closed ({code}{': ' + reason if reason else ''})")
        self.code = code
        self.reason = reason


class ConnectError(NetError):
    """No connection: the text says to whom and why. Worth another try later, unless a subclass says otherwise."""


class CertificateError(ConnectError):
    """The server's TLS certificate is not the expected one. Trying again will not help."""


class RefusedError(ConnectError):
    """The server answered, but refused the WebSocket with an HTTP `status`."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class ListenError(NetError):
    """The address cannot be listened on: the text says why and what to do."""


class TLSConfigurationError(NetError):
    """A certificate or key file is missing, unreadable or does not fit: the text names it."""
