import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from sekisho.errors import UpstreamTimeout, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Client, parse_origin, tls_context
from tests.unit.upstream.servers import Wire, answer, serving


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throwaway key and certificate for 127.0.0.1 and bedrock.test, in one file."""
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bedrock.test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:bedrock.test"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "ca.pem")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return directory


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    return context


async def echo(wire: Wire) -> None:
    while True:
        await wire.say(answer((await wire.request()).body))


async def test_https_keeps_its_connection_and_carries_large_bodies(
    certificate: Path, server_tls: ssl.SSLContext
) -> None:
    client = Http1Client(tls=tls_context(str(certificate / "ca.pem")))
    body = bytes(range(256)) * 12_000
    async with serving(echo, tls=server_tls) as server:
        for _ in range(3):
            response = await client.send(server.origin, b"POST", b"/", [], body, first_byte_timeout_s=10)
            assert await response.read(len(body), 10) == body
        assert len(server.wires) == 1
        await client.close()


@pytest.mark.parametrize(("trusted", "host"), [(False, "127.0.0.1"), (True, "localhost")])
async def test_a_certificate_that_is_not_trusted_or_names_another_host_is_refused(
    certificate: Path, server_tls: ssl.SSLContext, trusted: bool, host: str
) -> None:
    client = Http1Client(tls=tls_context(str(certificate / "ca.pem")) if trusted else None)
    async with serving(echo, tls=server_tls) as server:
        with pytest.raises(UpstreamUnavailable) as raised:
            await client.send(server.origin._replace(host=host), b"GET", b"/", [], first_byte_timeout_s=10)
        assert not isinstance(raised.value, UpstreamTimeout)
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        await client.close()


async def test_an_unfinished_https_answer_is_cut_off_when_closed(certificate: Path, server_tls: ssl.SSLContext) -> None:
    client_gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await wire.gone()
        client_gone.set()

    client = Http1Client(tls=tls_context(str(certificate / "ca.pem")))
    async with serving(script, tls=server_tls) as server:
        response = await client.send(server.origin, b"GET", b"/", [], first_byte_timeout_s=10)
        assert await response.next(10) == b"ab"
        response.close()
        await client_gone.wait()
        await client.close()


def tunnelling_to(port: int, heads: list[bytes]):
    """A proxy that leads every CONNECT to the same port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def script(wire: Wire) -> None:
        heads.append(await wire.head())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await wire.say(b"HTTP/1.1 200 Connection established\r\n", b"Via: x\r\n\r\n")
        try:
            await asyncio.gather(pump(wire.reader, writer), pump(reader, wire.writer))
        finally:
            writer.close()

    return script


async def test_https_goes_through_a_proxy_in_a_tunnel(certificate: Path, server_tls: ssl.SSLContext) -> None:
    heads: list[bytes] = []
    async with serving(echo, tls=server_tls) as server:
        async with serving(tunnelling_to(server.origin.port, heads)) as proxy:
            client = Http1Client(
                tls=tls_context(str(certificate / "ca.pem")), proxy_url=f"http://al%40ice:pw@{proxy.origin.authority}"
            )
            for _ in range(2):
                origin = server.origin._replace(host="bedrock.test", port=443)
                response = await client.send(origin, b"POST", b"/", [], b"through", first_byte_timeout_s=10)
                assert await response.read(100, 10) == b"through"
            await client.close()
    assert heads == [
        b"CONNECT bedrock.test:443 HTTP/1.1\r\nHost: bedrock.test:443\r\n"
        b"Proxy-Authorization: Basic YWxAaWNlOnB3\r\n\r\n"
    ]


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b""]
)
async def test_a_proxy_that_opens_no_tunnel_is_an_unavailable_provider(head: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.say(head)

    async with serving(script) as proxy:
        client = Http1Client(proxy_url=proxy.url)
        with pytest.raises(UpstreamUnavailable) as raised:
            await client.send(parse_origin("https://bedrock.test")[0], b"GET", b"/", [], first_byte_timeout_s=10)
        assert not isinstance(raised.value, UpstreamTimeout)
        await client.close()


async def test_tls_that_stalls_behind_the_proxy_is_a_time_out_and_closes_the_tunnel() -> None:
    client_gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        try:
            await wire.head()
            await wire.say(b"HTTP/1.1 200 OK\r\n\r\n")
            await wire.gone()
        finally:
            client_gone.set()

    async with serving(script) as proxy:
        client = Http1Client(proxy_url=proxy.url, connect_timeout_s=0.2)
        with pytest.raises(UpstreamTimeout):
            await client.send(parse_origin("https://bedrock.test")[0], b"GET", b"/", [], first_byte_timeout_s=10)
        await client_gone.wait()
        await client.close()


async def test_plain_http_goes_to_a_proxy_in_absolute_form() -> None:
    seen = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.request())
        await wire.say(answer(b"ok"))

    async with serving(script) as proxy:
        client = Http1Client(proxy_url=f"http://a:b@{proxy.origin.authority}", no_proxy="other.test")
        response = await client.send(
            parse_origin("http://bedrock.test:81")[0], b"GET", b"/x", [], first_byte_timeout_s=10
        )
        assert await response.read(10, 10) == b"ok"
        await client.close()
    assert seen[0].line == b"GET http://bedrock.test:81/x HTTP/1.1"
    assert seen[0].headers == [(b"Host", b"bedrock.test:81"), (b"Proxy-Authorization", b"Basic YTpi")]
