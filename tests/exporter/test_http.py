"""HTTP and HTTPS: addresses, clients that say nothing, certificates."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from cachetune.errors import InputError, ListenError
from cachetune.exporter.collector import registry_of
from cachetune.exporter.http import Address, Tls, listening
from cachetune.exporter.model import Seen
from cachetune.exporter.samples import samples_of
from tests import waiting
from tests.exporter.scrape import get

LOCAL = Address("127.0.0.1", 0)


@pytest.fixture
def registry() -> CollectorRegistry:
    return registry_of(lambda: samples_of(Seen()))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates for 127.0.0.1 in host.pem and its key in host.key, and the same for other.pem."""
    directory = tmp_path_factory.mktemp("tls")
    for name in ("host", "other"):
        key = (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            directory / f"{name}.key",
        )
        subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1")
        command = ("openssl", "req", "-x509", *key, *subject, "-out", directory / f"{name}.pem")
        waiting.run(command, capture_output=True, check=True)
    return directory


def trusting(directory: Path, own: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=directory / "host.pem")
    if own:
        context.load_cert_chain(directory / f"{own}.pem", directory / f"{own}.key")
    return context


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:9751", Address("127.0.0.1", 9751), "127.0.0.1:9751"),
        ("[::1]:0", Address("::1", 0), "[::1]:0"),
        ("node7.example:80", Address("node7.example", 80), "node7.example:80"),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address, shown: str) -> None:
    assert (Address.parse(text), str(address)) == (address, shown)


@pytest.mark.parametrize("text", ["", "9751", ":9751", "::1:9751", "a:b", "a:65536", "a b:1", "a:1\n", "[]:1", "h:-1"])
def test_any_other_text_is_refused_with_the_form_to_use(text: str) -> None:
    with pytest.raises(InputError) as refused:
        Address.parse(text)
    assert refused.value.hint == "use HOST:PORT, such as 127.0.0.1:9751"


def test_a_port_in_use_and_an_address_of_another_host_are_one_clear_line(registry: CollectorRegistry) -> None:
    with (
        listening(LOCAL, None, registry) as used,
        pytest.raises(ListenError) as refused,
        listening(used, None, registry),
    ):
        pass
    assert str(refused.value) == f"cannot listen on {used}: Address already in use"
    for host in ("192.0.2.1", "no-such-host.invalid", "x" * 300):
        with pytest.raises(ListenError, match="cannot listen on"), listening(Address(host, 0), None, registry):
            pass


def test_the_metrics_are_served_in_the_format_that_the_client_accepts(registry: CollectorRegistry) -> None:
    with listening(LOCAL, None, registry) as address:
        kind, text = get(f"http://{address}/metrics")
        assert (kind.partition(";")[0], "cachetune_up 0.0\n" in text) == ("text/plain", True)
        kind, text = get(f"http://{address}/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert (kind.partition(";")[0], text.endswith("# EOF\n")) == ("application/openmetrics-text", True)
        _, text = get(f"http://{address}/metrics?name[]=cachetune_up")
        assert [line for line in text.splitlines() if not line.startswith("#")] == ["cachetune_up 0.0"]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6_is_served(registry: CollectorRegistry) -> None:
    with listening(Address("::1", 0), None, registry) as address:
        assert "cachetune_up" in get(f"http://{address}/metrics")[1]


def test_the_port_is_free_again_afterwards(registry: CollectorRegistry) -> None:
    with listening(LOCAL, None, registry) as address:
        get(f"http://{address}/")
    with listening(address, None, registry) as again:
        assert again == address


@pytest.fixture
def silent() -> Iterator[list[socket.socket]]:
    clients: list[socket.socket] = []
    yield clients
    for client in clients:
        client.close()


def test_silent_clients_and_garbage_hold_up_no_other(
    registry: CollectorRegistry, authority: Path, silent: list[socket.socket], capfd: pytest.CaptureFixture[str]
) -> None:
    with listening(LOCAL, Tls(authority / "host.pem", authority / "host.key"), registry) as address:
        silent += [socket.create_connection((address.host, address.port)) for _ in range(3)]
        silent[-1].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")  # no TLS
        assert "cachetune_up" in get(f"https://{address}/metrics", trusting(authority))[1]
    with listening(LOCAL, None, registry) as address:
        silent += [socket.create_connection((address.host, address.port)) for _ in range(3)]
        silent[-1].sendall(b"\x00\xff\r\n\r\n")
        assert "cachetune_up" in get(f"http://{address}/metrics")[1]
    assert capfd.readouterr() == ("", "")


def test_only_clients_with_a_certificate_of_the_authority_are_served(
    registry: CollectorRegistry, authority: Path
) -> None:
    tls = Tls(authority / "host.pem", authority / "host.key", authority / "other.pem")
    with listening(LOCAL, tls, registry) as address:
        assert "cachetune_up" in get(f"https://{address}/metrics", trusting(authority, "other"))[1]
        for own in (None, "host"):
            with pytest.raises(OSError):  # noqa: PT011 - whether the handshake or the request fails depends on timing
                get(f"https://{address}/metrics", trusting(authority, own))


def test_unusable_certificates_are_refused_by_name(
    registry: CollectorRegistry, authority: Path, tmp_path: Path
) -> None:
    empty, missing = tmp_path / "empty.pem", tmp_path / "missing.pem"
    empty.touch()
    cert, key = authority / "host.pem", authority / "host.key"
    for tls, path in (
        (Tls(missing, key), missing),
        (Tls(cert, authority / "other.key"), cert),
        (Tls(empty, key), empty),
        (Tls(cert, key, missing), missing),
        (Tls(cert, key, empty), empty),
    ):
        with pytest.raises(InputError, match=str(path)) as refused, listening(LOCAL, tls, registry):
            pass
        assert "PEM" in refused.value.hint
