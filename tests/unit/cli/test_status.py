"""`sekisho status`: what a key may do and what it cost."""

from typing import Any

import pytest

from sekisho.cli.status import dollars
from tests.unit.cli.conftest import Cli, FakeGateway

STATUS: dict[str, Any] = {
    "key_alias": "cline-a1",
    "key_hint": "K5Bs",
    "user_id": "alice",
    "team_id": "",
    "models": ["claude-sonnet-4-6"],
    "expires_at": None,
    "simulated": True,
    "today": {
        "calls": 12,
        "refused": 1,
        "prompt_tokens": 403_210,
        "output_tokens": 4_021,
        "cost_nanousd": 1_234_567_890,
    },
    "month": {
        "calls": 1_204,
        "refused": 3,
        "prompt_tokens": 40_321_000,
        "output_tokens": 90_000,
        "cost_nanousd": 288_050_000_000,
    },
}


def test_shows_key_use_and_room(cli: Cli, gateway: FakeGateway) -> None:
    gateway.answer("/v1/sekisho/status", STATUS)
    result = cli("status", "--url", gateway.url, SEKISHO_KEY="sk-1")
    assert result.exit_code == 0
    assert gateway.asked == [("/v1/sekisho/status", "Bearer sk-1")]
    for text in ("cline-a1", "sk-...K5Bs", "alice", "claude-sonnet-4-6", "no end", "no budget set"):
        assert text in result.output
    for text in ("$1.23", "$288.05", "403,210", "1,204"):
        assert text in result.output
    assert "Simulator" in result.output
    assert "sk-1" not in result.output


def test_speaks_japanese(cli: Cli, gateway: FakeGateway) -> None:
    gateway.answer("/v1/sekisho/status", {**STATUS, "simulated": False})
    output = cli("status", "--url", gateway.url, SEKISHO_KEY="sk-1", SEKISHO_LANG="ja").output
    assert "予算の設定なし" in output
    assert "シミュレーター" not in output


def test_shows_when_a_key_ends(cli: Cli, gateway: FakeGateway) -> None:
    gateway.answer("/v1/sekisho/status", {**STATUS, "expires_at": "2026-11-20T06:43:31.123456Z"})
    assert "2026-11-20" in cli("status", "--url", gateway.url, SEKISHO_KEY="sk-1", TZ="UTC").output


def test_without_a_key_it_says_so(cli: Cli, gateway: FakeGateway) -> None:
    result = cli("status", "--url", gateway.url, typed="")
    assert (result.exit_code, "SEKISHO_KEY" in result.output) == (1, True)
    assert gateway.asked == []


@pytest.mark.parametrize("body", [{}, {"key": {}}, [], {**STATUS, "today": 1}])
def test_another_server_is_told_apart(cli: Cli, gateway: FakeGateway, body: object) -> None:
    gateway.answer("/v1/sekisho/status", body)
    result = cli("status", "--url", gateway.url, SEKISHO_KEY="sk-1")
    assert result.exit_code == 1
    assert "is not a Sekisho of this version" in result.output


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "$0.00"), (1, "<$0.01"), (5_000_000, "$0.01"), (14_999_999, "$0.01"), (1_234_567_890_000, "$1,234.57")],
)
def test_sums_have_two_digits_half_up(nanousd: int, text: str) -> None:
    assert dollars(nanousd) == text
