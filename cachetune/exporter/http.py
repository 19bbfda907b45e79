"""HTTP and HTTPS for the metrics: prometheus-client's application behind the standard library's server.

prometheus-client's own server is not used because one silent client can hold up all others there: it does the TLS
handshake before it accepts the next connection, and waits for a request without a limit.
"""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec

from cachetune.errors import InputError, ListenError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

CLIENT_SECONDS = 10
"""How long a client may be silent."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^:\[\]\s]+):(?P<port>[0-9]{1,5})", re.ASCII)
_LARGEST_PORT = 65535


class Address(msgspec.Struct, frozen=True):
    """Where to listen: a name or an address, and a port, 0 for any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """HOST:PORT, with an IPv6 address in brackets. Raises InputError."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > _LARGEST_PORT:
            raise InputError(f"{text!r} is not an address to listen on", hint="use HOST:PORT, such as 127.0.0.1:9751")
        return cls(match["host"].strip("[]"), int(match["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        return self.host.startswith("127.") or self.host in {"::1", "localhost"}

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Tls(msgspec.Struct, frozen=True):
    """The files for HTTPS, in PEM. With ``client_ca``, only clients with a certificate of that authority are served."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The files, loaded. Raises InputError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            names = f"{self.cert} and {self.key}"
            raise InputError(f"{names}: {_reason(error)}", hint="use a certificate and its key, in PEM") from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as error:
                raise InputError(f"{self.client_ca}: {_reason(error)}", hint="use a certificate in PEM") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Log no requests."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore what goes wrong with one client, such as plain HTTP on a port for HTTPS."""


@contextlib.contextmanager
def listening(address: Address, tls: Tls | None, registry: "CollectorRegistry") -> Iterator[Address]:
    """Serve a registry for the length of a with block; yield its address. Raises ListenError, InputError."""
    from prometheus_client import make_wsgi_app

    context = tls.context() if tls else None
    try:
        server = _bound(address)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        raise ListenError(str(address), _reason(error)) from None
    server.set_app(make_wsgi_app(registry))
    if context is not None:  # the handshake is left to the thread of its client
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _bound(address: Address) -> _Server:
    """A server that is bound to the address. Raises OSError and UnicodeError."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = found[0]

    class Server(_Server):
        address_family = family

    return Server((str(where[0]), int(where[1])), _Handler)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
