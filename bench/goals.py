"""The figures that the design asks for, and how each is found in a run."""

from collections.abc import Callable
from typing import NamedTuple

from bench.figures import OURS, Figures, short


class Goal(NamedTuple):
    """A figure of the design: how it is found in a run, and what it should be."""

    en: str
    ja: str
    goal: str
    find: Callable[[Figures], str]


def _both(before: str, whole: float | None, call: float | None, after: str) -> str:
    """Of all processes, and in brackets of the call process alone where that was measured."""
    if whole is None:
        return "–"
    alone = "" if call is None else f" ({before}{short(call)}{after})"
    return f"{before}{short(whole)}{after}{alone}"


def _times(session: str, measure: str, peer: str) -> Callable[[Figures], str]:
    def find(figures: Figures) -> str:
        whole = figures.ratio(session, measure, peer, OURS)
        call = figures.ratio(session, measure, peer, OURS, "call_us")
        return _both("1/", whole, call, "")

    return find


def _limit(session: str, measure: str) -> Callable[[Figures], str]:
    def find(figures: Figures) -> str:
        whole = figures.ratio(session, measure, OURS, "nginx")
        call = figures.ratio(session, measure, OURS, "nginx", "call_us")
        return _both("", whole, call, "x")

    return find


def _own(session: str, measure: str, figure: str, unit: str) -> Callable[[Figures], str]:
    """A figure of ours as it is; what is added to the upstream's for latency."""

    def find(figures: Figures) -> str:
        value = figures.median(session, measure, OURS, figure)
        alone = figures.median(session, measure, "upstream alone", figure) if measure == "latency" else 0.0
        return "–" if value is None or alone is None else f"{short(value - alone)} {unit}".rstrip()

    return find


_MORE, _PACED = ("openai", "turn_800k_next"), ("openai", "paced_1000")
GOALS: tuple[Goal, ...] = (
    Goal("1 KB call, of LiteLLM", "1 KB のコール、LiteLLM 比", "1/100", _times("openai_small", "small", "LiteLLM")),
    Goal("1 KB call, of Portkey", "1 KB のコール、Portkey 比", "1/10", _times("openai_small", "small", "Portkey")),
    Goal("1 KB call, over nginx", "1 KB のコール、nginx 比", "4x", _limit("openai_small", "small")),
    Goal("the same, Bedrock", "同上、Bedrock", "4x", _limit("bedrock_small", "small")),
    Goal(
        "800 KB, a turn more, of LiteLLM",
        "800 KB、1 ターン追加、LiteLLM 比",
        "1/75",
        _times(*_MORE, "LiteLLM"),
    ),
    Goal("the same, Bedrock", "同上、Bedrock", "1/75", _times("bedrock", _MORE[1], "LiteLLM")),
    Goal(
        "800 KB, a turn more, of Portkey",
        "800 KB、1 ターン追加、Portkey 比",
        "1/20",
        _times(*_MORE, "Portkey"),
    ),
    Goal("800 KB, a turn more, over nginx", "800 KB、1 ターン追加、nginx 比", "2x", _limit(*_MORE)),
    Goal("the same, Bedrock", "同上、Bedrock", "2x", _limit("bedrock", _MORE[1])),
    Goal("the same, TLS from the client", "同上、クライアントとの間が TLS", "2x", _limit("tls", _MORE[1])),
    Goal("800 KB, never seen, over nginx", "800 KB、初見、nginx 比", "4x", _limit("openai", "turn_800k_unseen")),
    Goal("the same, Bedrock", "同上、Bedrock", "4x", _limit("bedrock", "turn_800k_unseen")),
    Goal("800 KB, a turn more, of ferrogw", "800 KB、1 ターン追加、ferrogw 比", "< 1", _times(*_MORE, "ferrogw")),
    Goal(
        "800 KB, a turn more, of TensorZero",
        "800 KB、1 ターン追加、TensorZero 比",
        "< 1",
        _times(*_MORE, "TensorZero"),
    ),
    Goal(
        "paced event, of LiteLLM",
        "間隔のあるイベント、LiteLLM 比",
        "1/10",
        _times(*_PACED, "LiteLLM"),
    ),
    Goal("the same, Bedrock", "同上、Bedrock", "1/10", _times("bedrock", "paced_1000", "LiteLLM")),
    Goal("event, 1,000 a second", "イベント、毎秒 1,000", "60 µs", _own("openai", "paced_1000", "us", "µs")),
    Goal("the same, Bedrock", "同上、Bedrock", "60 µs", _own("bedrock", "paced_1000", "us", "µs")),
    Goal("event, 4,000 a second", "イベント、毎秒 4,000", "30 µs", _own("openai", "paced_4000", "us", "µs")),
    Goal("the same, Bedrock", "同上、Bedrock", "30 µs", _own("bedrock", "paced_4000", "us", "µs")),
    Goal("added latency, p50", "加わる遅延 p50", "0.3 ms", _own("openai_small", "latency", "p50_ms", "ms")),
    Goal("added latency, p99", "加わる遅延 p99", "2 ms", _own("openai_small", "latency", "p99_ms", "ms")),
    Goal("paced streams on one core", "1 コアのストリーム本数", "1,000", _own("openai", "many_streams", "streams", "")),
    Goal("the same, Bedrock", "同上、Bedrock", "1,000", _own("bedrock", "many_streams", "streams", "")),
    Goal("start, known home", "起動、既存のホーム", "1 s", _own("start", "own_start", "known_s", "s")),
    Goal("start, new home", "起動、新しいホーム", "1 s", _own("start", "own_start", "new_s", "s")),
    Goal("idle, call process", "待機時、コールプロセス", "60 MB", _own("start", "own_start", "call_mb", "MB")),
    Goal("idle, control process", "待機時、管理プロセス", "100 MB", _own("start", "own_start", "control_mb", "MB")),
)
