"""TLS over a TCP socket, for one reader and many writers.

Why not `trio.SSLStream`: for every send it takes two fair locks and lets the scheduler run three times, and a sealed
message of half a kilobyte is sent faster than that (docs/decisions/031). This stream keeps what matters:

- *Order*: data is encrypted when `send_all` is called, before its first await, so the order of the calls is the order
  on the wire.
- *One writer at the socket*: who finds nobody flushing flushes all that is encrypted, also what others add meanwhile;
  the others wait until their bytes are gone. So messages that come while the socket is busy leave in one system call.
- *Back-pressure*: `send_all` returns when its bytes are in the kernel's hands.
- *Cancellation*: every call is a cancellation point at its start. A sender cancelled while the socket is full leaves
  its bytes to the next flusher or to `aclose`: records cannot be taken back, so a stream whose sender was cancelled
  is still whole.
- A send that need not wait does not yield to the scheduler. Loops that only send must receive, sleep or checkpoint
  elsewhere.

What `trio.SSLStream` has not: the protocol selected by ALPN, the peer's leaf; a server that refuses a client without
a common protocol by TLS's alert (`client_hello`); handshakes that do not tell the peer why its certificate is refused.

Failures are trio's: `BrokenResourceError` (network or TLS failure; an end without close_notify too, which could be a
cut), `ClosedResourceError` (closed here). The end of the peer's data with close_notify is b"".
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from norc_actors.net.client_hello import NO_APPLICATION_PROTOCOL, offered_protocols
from norc_actors.net.errors import NoProtocolError

_READ_BYTES = 64 * 1024
_WRITE_BYTES = 64 * 1024
_NOTHING = memoryview(b"")
_Wait = Callable[[socket.socket], Awaitable[None]]


class TLSStream(trio.abc.Stream):
    """See the module. Takes the socket out of `stream`."""

    __slots__ = (
        "_alpn",
        "_closed",
        "_emptied",
        "_encrypted",
        "_error",
        "_flushing",
        "_incoming",
        "_outgoing",
        "_silent",
        "_socket",
        "_tls",
        "_unsent",
        "_waiting",
        "on_end",
    )

    def __init__(
        self,
        stream: trio.SocketStream,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        alpn: Sequence[str] = (),
        silent: bool = False,
    ) -> None:
        """A server's side, or with `server_hostname` a client's, which then checks that name.

        With `alpn` a protocol must be agreed: a server prefers the first, and answers a client that offers none of
        them with the alert. The names become the context's; connections that share one have their own all the same,
        as far as they are a client's, or the servers' are the same. `silent`: a peer whose certificate is refused sees
        the connection end, and no alert that says why (row B107).
        """
        self._socket = socket.socket(fileno=stream.socket.detach())
        self._socket.setblocking(False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = server_hostname is None
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=side, server_hostname=server_hostname)
        self._alpn = [name.encode() for name in alpn] if side else []
        self._silent = silent
        self._encrypted = b""
        self._unsent = _NOTHING
        self._flushing = False
        self._waiting: trio.lowlevel.ParkingLot | None = None
        self._error: BaseException | None = None
        self._closed = False
        self._emptied = False
        self.on_end: Callable[[], object] | None = None
        """Called (at least once) when nothing more will be received: the peer's end, a failure, or closed here."""

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on."""
        return self._tls.selected_alpn_protocol()

    @property
    def version(self) -> str | None:
        """The version of TLS, once it is agreed."""
        return self._tls.version()

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's leaf (DER) after the handshake, if it showed one."""
        return self._tls.getpeercert(binary_form=True)

    async def do_handshake(self) -> None:
        """The TLS handshake. Raises `BrokenResourceError` from the `ssl.SSLError` or `NoProtocolError`."""
        self._check()
        if self._alpn:
            await self._require_protocol()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError as error:
                alert = self._outgoing.read()
                if not (self._silent and isinstance(error, ssl.SSLCertVerificationError)):
                    await self._tell_alert(alert)
                raise trio.BrokenResourceError("TLS handshake failed") from error
            else:
                await self._flush()
                return

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next decrypted bytes; b"" at the peer's orderly end."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check()
        if not (self._incoming.pending or self._tls.pending() or self._incoming.eof):
            await self._fill()  # nothing to decrypt: do not pay for an exception to be told so
        while True:
            try:
                return self._tls.read(max_bytes or _READ_BYTES)
            except ssl.SSLWantReadError:
                if self._outgoing.pending:  # a key update is answered
                    await self._flush()
                await self._fill()
            except ssl.SSLZeroReturnError:
                self._ended()
                return b""
            except ssl.SSLError as error:
                self._ended()
                raise trio.BrokenResourceError("TLS failed, or the connection was cut") from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        self._check()
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._error is not None:
            raise trio.BrokenResourceError from self._error
        try:
            self._encrypt(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("TLS failed") from error
        await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """Until the socket takes more."""
        self._check()
        await self._wait(trio.lowlevel.wait_writable)

    async def aclose(self) -> None:
        """Send a close_notify if that is possible without waiting, and close the socket."""
        if not self._closed:
            self._closed = True
            if self._error is None and not self._flushing:
                self._say_goodbye()
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._ended()
        await trio.lowlevel.checkpoint()

    def _encrypt(self, data: bytes | bytearray | memoryview) -> None:
        """Into the queue of what is to be sent: OpenSSL's buffer, which never shrinks, for what is short, ours for
        the rest."""
        if len(data) <= _WRITE_BYTES:
            if data:
                self._tls.write(data)
            return
        view = memoryview(data)
        parts = [self._encrypted]
        for at in range(0, len(view), _WRITE_BYTES):
            self._tls.write(view[at : at + _WRITE_BYTES])
            parts.append(self._outgoing.read())
        self._encrypted = b"".join(parts)

    def _take_encrypted(self) -> bytes:
        encrypted, self._encrypted = self._encrypted, b""
        return encrypted + self._outgoing.read() if encrypted else self._outgoing.read()

    def _ended(self) -> None:
        if self.on_end is not None:
            self.on_end()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this connection is closed")

    def _say_goodbye(self) -> None:
        with suppress(ssl.SSLError):  # it wants to read the peer's close_notify, which nobody waits for
            self._tls.unwrap()
        with suppress(OSError):  # full or broken: the peer learns by the socket's end
            self._socket.send(bytes(self._unsent) + self._take_encrypted())

    async def _require_protocol(self) -> None:
        """Look at the ClientHello before OpenSSL gets it."""
        data = bytearray()
        offered: tuple[bytes, ...] | None = None
        try:
            while offered is None and (more := await self._receive()):
                data += more
                offered = offered_protocols(data)
        except ValueError:
            offered = None  # OpenSSL will say what is wrong with it
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        if offered is not None and not set(offered) & set(self._alpn):
            await self._tell_alert(NO_APPLICATION_PROTOCOL)
            names = ", ".join(name.decode("ascii", "replace") for name in offered) or "none"
            raise trio.BrokenResourceError("TLS handshake failed") from NoProtocolError(
                f"no common protocol: it offers {names}"
            )

    async def _tell_alert(self, alert: bytes) -> None:
        """Let the peer know why (best effort), as TLS wants it."""
        try:
            self._socket.send(alert)
        except OSError as error:
            self._error = error
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _fill(self) -> None:
        """Read once from the socket, into OpenSSL's hands."""
        if data := await self._receive():
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _receive(self) -> bytes:
        """Read once from the socket; if the last reading emptied it, wait first rather than try in vain."""
        if self._emptied:
            await self._wait(trio.lowlevel.wait_readable)
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                await self._wait(trio.lowlevel.wait_readable)
            except OSError as error:
                self._error = error
                self._ended()
                self._check()
                raise trio.BrokenResourceError("the connection broke") from error
            else:
                self._emptied = len(data) < _READ_BYTES
                return data

    async def _flush(self) -> None:
        """Return when all that is encrypted is in the kernel."""
        if self._flushing:
            await self._wait_for_flusher()
            return
        self._flushing = True
        try:
            while self._unsent or self._encrypted or self._outgoing.pending:
                if not self._unsent:
                    self._unsent = memoryview(self._take_encrypted())
                try:
                    sent = self._socket.send(self._unsent)
                    self._unsent = self._unsent[sent:] if sent < len(self._unsent) else _NOTHING  # lets the bytes go
                except BlockingIOError:
                    await self._wait(trio.lowlevel.wait_writable)
        except OSError as error:
            self._error = error
            self._ended()
            self._check()
            raise trio.BrokenResourceError("the connection broke") from error
        finally:
            self._flushing = False
            if self._waiting is not None:
                self._waiting.unpark_all()

    async def _wait_for_flusher(self) -> None:
        """Somebody else flushes: until that has sent ours too. If it was cancelled, the first that waits takes over."""
        if self._waiting is None:
            self._waiting = trio.lowlevel.ParkingLot()
        await self._waiting.park()
        self._check()
        if self._error is not None:
            raise trio.BrokenResourceError("the connection broke") from self._error
        await self._flush()

    async def _wait(self, wait: _Wait) -> None:
        try:
            await wait(self._socket)
        except trio.ClosedResourceError:
            raise trio.ClosedResourceError("this connection is closed") from None
