"""Opening a connection: the deadline, and what went wrong in words."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from norc_actors import limits
from norc_actors.net.errors import CertificateError, ConnectError
from norc_actors.net.tls_stream import TLSStream


@contextmanager
def opening(peer: str, stream: TLSStream | None = None) -> Iterator[None]:
    """A deadline, and our errors, for the opening of a connection.

    The library goes on waiting when `stream` ends; this does not.
    """
    try:
        with trio.fail_after(limits.HANDSHAKE_SECONDS), trio.CancelScope() as ended:
            if stream is not None:
                stream.on_end = ended.cancel
            yield
        if stream is not None:
            stream.on_end = None
        if ended.cancelled_caught:
            raise ConnectError(f"{peer}: closed the connection while opening it")
    except trio.TooSlowError as error:
        raise ConnectError(f"{peer}: no answer within {limits.HANDSHAKE_SECONDS:g} s") from error
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateError(f"{peer}: its TLS certificate is not trusted: {cause.verify_message}") from error
        raise ConnectError(f"{peer}: {getattr(cause, 'reason', None) or error}") from error
    except socket.gaierror as error:
        raise ConnectError(f"{peer}: no such host") from error
    except OSError as error:
        raise ConnectError(f"{peer}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """Why, in words: trio has tried all addresses of a name and put what it met into a group."""
    cause = error.__cause__
    inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else error
    return getattr(inner, "strerror", None) or str(inner)
