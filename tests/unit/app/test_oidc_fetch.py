"""The identity provider beyond a company's proxy, with the company's own certificates."""

import ssl
from pathlib import Path

import pytest

from sekisho.access.oidc import Fetched
from sekisho.app.control_process import _way
from sekisho.app.oidc_fetch import Fetcher
from sekisho.app.sign_in_settings import Way
from sekisho.errors import StoreUnavailable
from sekisho.settings import SettingsError, load_settings
from tests.unit.upstream.servers import Wire, answer, serving
from tests.unit.upstream.test_http1_tls import certificate, server_tls, tunnelling_to

__all__ = ["certificate", "server_tls"]  # fixtures


async def echo(wire: Wire) -> None:
    while True:
        await wire.say(answer((await wire.request()).body or b"{}"))


async def test_every_question_goes_through_the_proxy_to_a_provider_with_a_private_certificate(
    certificate: Path, server_tls: ssl.SSLContext
) -> None:
    heads: list[bytes] = []
    async with serving(echo, tls=server_tls) as server, serving(tunnelling_to(server.origin.port, heads)) as proxy:
        way = Way(f"http://alice:pw@{proxy.origin.authority}", "", str(certificate / "ca.pem"))
        ask = Fetcher(way)
        assert await ask("GET", "https://bedrock.test/jwks") == Fetched(200, b"{}")
        assert await ask("POST", "https://bedrock.test/token", {}, b"code=1") == Fetched(200, b"code=1")
        with pytest.raises(StoreUnavailable, match=r"https_proxy") as raised:
            await Fetcher(Way(way.proxy_url))("GET", "https://bedrock.test/jwks")  # nobody vouches for it
        assert isinstance(raised.value.__cause__.__cause__, ssl.SSLCertVerificationError)
    head = b"CONNECT bedrock.test:443 HTTP/1.1\r\nHost: bedrock.test:443\r\nProxy-Authorization: Basic YWxpY2U6cHc="
    assert heads == [head + b"\r\n\r\n"] * 3
    assert "pw" not in repr(way)


async def test_who_is_excepted_is_asked_straight(certificate: Path, server_tls: ssl.SSLContext) -> None:
    async with serving(echo, tls=server_tls) as server:
        ask = Fetcher(Way("http://127.0.0.1:9", "127.0.0.1", str(certificate / "ca.pem")))
        assert await ask("GET", f"https://127.0.0.1:{server.origin.port}/") == Fetched(200, b"{}")


def way(monkeypatch: pytest.MonkeyPatch, **env: str) -> Way:
    monkeypatch.setenv("HTTPS_PROXY", env.get("HTTPS_PROXY", ""))
    return _way(load_settings(env))


def test_the_environment_of_other_tools_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = way(monkeypatch, HTTPS_PROXY="proxy.example.com:8080", NO_PROXY=".example.com,10.0.0.0/8")
    assert found == Way("http://proxy.example.com:8080", ".example.com,10.0.0.0/8")
    settings = load_settings({"HTTPS_PROXY": "http://alice:hush@proxy.example.com:8080"})
    assert "hush" not in repr(settings)


def test_a_proxy_and_certificates_of_no_use_stop_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        way(monkeypatch, HTTPS_PROXY="socks5://alice:hush@proxy.example.com", SEKISHO_CA_FILE=str(tmp_path / "none"))
    assert [problem.partition(" ")[0] for problem in raised.value.problems] == ["https_proxy", "ca_file:"]
    assert "hush" not in str(raised.value)
