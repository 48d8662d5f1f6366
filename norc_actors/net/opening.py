"""Opening a connection: the deadline, and what went wrong in words."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from norc_actors import limits
from norc_actors.net.errors import CertificateCause, CertificateError, ConnectError, NoProtocolError
from norc_actors.net.tls_stream import TLSStream

# OpenSSL's X509_V_ERR codes.
_CAUSES = {
    2: CertificateCause.UNTRUSTED,  # unable to get an issuer
    7: CertificateCause.UNTRUSTED,  # signature failure
    9: CertificateCause.NOT_YET_VALID,
    10: CertificateCause.EXPIRED,
    18: CertificateCause.UNTRUSTED,  # self-signed
    19: CertificateCause.UNTRUSTED,  # self-signed in the chain
    20: CertificateCause.UNTRUSTED,  # issuer not found here
    21: CertificateCause.UNTRUSTED,  # no issuer of the leaf
    23: CertificateCause.REVOKED,
    26: CertificateCause.WRONG_USAGE,
    62: CertificateCause.WRONG_NAME,
    64: CertificateCause.WRONG_NAME,  # IP address
}
_NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
_NO_PROTOCOL = "no application protocol"


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
        raise _explain(peer, error) from error
    except socket.gaierror as error:
        raise ConnectError(f"{peer}: no such host") from error
    except OSError as error:
        raise ConnectError(f"{peer}: {reason_of(error)}") from error


def _explain(peer: str, error: Exception) -> ConnectError:
    cause = error.__cause__
    reason = getattr(cause, "reason", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = _CAUSES.get(cause.verify_code, CertificateCause.OTHER)
        return CertificateError(peer, why, cause.verify_message)
    if reason == _NO_CERTIFICATE:
        return CertificateError(peer, CertificateCause.MISSING)
    if isinstance(cause, NoProtocolError):
        return NoProtocolError(f"{peer}: {cause}")
    if isinstance(cause, ssl.SSLError) and _NO_PROTOCOL in str(cause).lower().replace("_", " "):
        return NoProtocolError(f"{peer}: it speaks none of the protocols offered to it")  # the alert has no constant
    return ConnectError(f"{peer}: {reason or error}")


def reason_of(error: OSError) -> str:
    """Why, in words: trio has tried all addresses of a name and put what it met into a group."""
    cause = error.__cause__
    inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else error
    return getattr(inner, "strerror", None) or str(inner)
