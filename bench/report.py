"""The figures of a run as tables in two languages, and as plots."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from bench.figures import OURS, Figures, Told, short
from bench.goals import GOALS
from bench.loads import median
from bench.peers import PEERS
from bench.plots import Panel, bars
from bench.sessions import UPSTREAM
from bench.words import WORDS, Words

_ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(<!-- bench:begin -->\n).*?(<!-- bench:end -->)", re.DOTALL)
_SIZES = {"100k": "100 KB", "800k": "800 KB"}
_MODES = ("same", "next", "unseen")
_STREAMS = ("burst", "paced_1000", "paced_4000")


def line(session: str, measure: str, told: Told) -> str:
    """One measure on one line."""
    shown = {
        peer: {name: round(value, 2) for name, value in median(found).items()}
        if isinstance(found, list) and found
        else found
        for peer, found in told["peers"].items()
    }
    return f"{session}/{measure} {json.dumps(shown)} load {told['load']}"


def text(told: Told, language: str = "en") -> str:
    """All tables, as Markdown."""
    figures, words = Figures(told), WORDS[language]
    parts = [_machine(told, words), _goals(figures, language)]
    parts += [_calls(figures, words, side) for side in ("openai", "bedrock")]
    parts += [_events(figures, words), _tls(figures, words), _many(figures, words), _rest(figures, words)]
    parts += [_idle(told, words), _ledger(told, words), _who(told, words)]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(told: Told) -> None:
    """The results beside the code, the tables and plots in the docs."""
    (_ROOT / "bench" / "results.json").write_text(json.dumps(told, indent=1) + "\n")
    for language in WORDS:
        page = _ROOT / "docs" / language / "performance.md"
        block = "\n" + text(told, language).replace("\\", "\\\\") + "\n"
        page.write_text(_BLOCK.sub(lambda found, block=block: found[1] + block + found[2], page.read_text()))  # type: ignore[misc]
        for name, svg in _plots(Figures(told), WORDS[language]).items():
            (_ROOT / "docs" / "pictures" / f"{name}-{language}.svg").write_text(svg)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _peers(figures: Figures, session: str, words: Words) -> list[tuple[str, str, str]]:
    """Rows of a table: what is written, whose it is, and which figure of it."""
    rows = []
    for peer in PEERS:
        if any(figures.rounds(session, name, peer.name) for name in figures.told["sessions"].get(session, {})):
            rows.append((peer.name, peer.name, "us"))
            if peer.name == OURS:
                rows.append((f"{OURS}: {words['call']}", OURS, "call_us"))
    return rows


def _cell(value: float | None) -> str:
    return "–" if value is None else short(value)


def _calls(figures: Figures, words: Words, side: str) -> str:
    columns = [(f"{side}_small", name, words[name]) for name in ("small", "small_unseen")]
    columns += [
        (side, f"turn_{size}_{mode}", f"{shown} {words[mode]}") for size, shown in _SIZES.items() for mode in _MODES
    ]
    rows = [
        [shown, *(_cell(figures.median(session, name, peer, part)) for session, name, _ in columns)]
        for shown, peer, part in _peers(figures, side, words)
    ]
    if not rows:
        return ""
    return f"**{words['cpu']}, {words[side]}**\n\n" + _table([words["peer"], *(shown for *_, shown in columns)], rows)


def _events(figures: Figures, words: Words) -> str:
    columns = [(side, name) for side in ("openai", "bedrock") for name in _STREAMS]
    rows = [
        [shown, *(_cell(figures.median(side, name, peer, part)) for side, name in columns)]
        for shown, peer, part in _peers(figures, "openai", words) or _peers(figures, "bedrock", words)
    ]
    if not rows:
        return ""
    head = [
        words["peer"],
        *(f"{'Bedrock' if side == 'bedrock' else 'OpenAI'}: {words[name]}" for side, name in columns),
    ]
    return f"**{words['event']}**\n\n" + _table(head, rows)


def _tls(figures: Figures, words: Words) -> str:
    columns = {"small": words["small"], "turn_800k_next": f"800 KB {words['next']}", "paced_1000": words["event"]}
    ways = {peer.name: peer.tls[words["language"]] for peer in PEERS}
    rows = [
        [f"{shown} ({ways[peer]})", *(_cell(figures.median("tls", name, peer, part)) for name in columns)]
        for shown, peer, part in _peers(figures, "tls", words)
        if part == "us"
    ]
    return f"**{words['cpu']}, {words['tls']}**\n\n" + _table([words["peer"], *columns.values()], rows) if rows else ""


def _many(figures: Figures, words: Words) -> str:
    rows = []
    for side in ("openai", "bedrock"):
        for peer in PEERS:
            if rounds := figures.rounds(side, "many_streams", peer.name):
                found = median(rounds)
                transit = f"{short(found['p50_ms'])} / {short(found['p99_ms'])}"
                streams = f"{found['streams']:,.0f}"
                shown = f"{peer.name}, {'Bedrock' if side == 'bedrock' else 'OpenAI'}"
                rows.append([shown, streams, f"{found['cores'] * 100:.0f} %", transit])
    head = [words["peer"], words["streams"], words["cores"], words["transit"]]
    return f"**{words['many']}**\n\n" + _table(head, rows) if rows else ""


def _rest(figures: Figures, words: Words) -> str:
    memory = figures.told["sessions"].get("openai", {}).get("memory", {})
    alone = figures.rounds("openai_small", "latency", UPSTREAM)
    rows = []
    for peer in PEERS:
        mb = memory.get(peer.name, {})
        cells = [
            _added(figures, peer.name),
            _cell(figures.median("start", "start", peer.name, "s")),
            _cell(mb.get("idle", {}).get("all")),
            _cell(mb.get("loaded", {}).get("all")),
        ]
        if set(cells) != {"–"}:
            rows.append([peer.name, *cells])
    if not rows:
        return ""
    table = _table([words["peer"], *(words[name] for name in ("added", "start", "idle", "loaded"))], rows)
    notes = []
    if alone:
        notes.append(words["alone"].format(p50=_cell(median(alone)["p50_ms"]), p99=_cell(median(alone)["p99_ms"])))
    if own := figures.rounds("start", "own_start", OURS):
        notes.append(words["own"].format_map({name: _cell(value) for name, value in median(own).items()}))
    return "\n\n".join([f"**{words['rest']}**", table, *notes])


def _added(figures: Figures, peer: str) -> str:
    own, alone = (figures.rounds("openai_small", "latency", name) for name in (peer, UPSTREAM))
    if own is None or alone is None:
        return "–"
    return " / ".join(_cell(max(0.001, median(own)[name] - median(alone)[name])) for name in ("p50_ms", "p99_ms"))


def _goals(figures: Figures, language: str) -> str:
    words = WORDS[language]
    rows = [[getattr(goal, language), goal.goal, found] for goal in GOALS if (found := goal.find(figures)) != "–"]
    head = [words["figure"], words["goal"], f"{words['measured']} ({words['call']})"]
    return f"**{words['goals']}**\n\n" + _table(head, rows) if rows else ""


def _idle(told: Told, words: Words) -> str:
    found = told["sessions"].get("openai", {}).get("idle", {})
    shown = ", ".join(f"{name} {one['all'] * 1_000:.3g}" for name, one in found.items() if "all" in one)
    return words["idle_cpu"].format(shown=shown) if shown else ""


def _ledger(told: Told, words: Words) -> str:
    found = [session["ledger"] for session in told["sessions"].values() if session.get("ledger")]
    if not found:
        return ""
    error, usd = (sum((Decimal(one[name]) for one in found), Decimal(0)) for name in ("error_usd", "upstream_usd"))
    return words["error"].format(error=f"{error:f}", usd=f"{usd:f}", calls=sum(one["calls"] for one in found))


def _who(told: Told, words: Words) -> str:
    rows = [
        [peer.name, told["versions"][peer.name], peer.what[words["language"]]]
        for peer in PEERS
        if peer.name in told["versions"]
    ]
    missing = [words["missing"].format(name=name, why=why) for name, why in told["missing"].items()]
    return "\n\n".join(
        [f"**{words['who']}**", _table([words["peer"], words["version"], words["does"]], rows), *missing]
    )


def _machine(told: Told, words: Words) -> str:
    loads = [
        value
        for session in told["sessions"].values()
        for measure in session.values()
        if isinstance(measure, dict)
        for value in measure.get("load", ())
    ]
    return words["machine"].format_map({**told["machine"], "low": min(loads, default=0), "high": max(loads, default=0)})


def _plots(figures: Figures, words: Words) -> dict[str, str]:
    calls = [
        ("openai_small", "small", "openai"),
        ("openai", "turn_100k_next", "openai"),
        ("openai", "turn_800k_next", "openai"),
    ]
    calls += [("openai", "turn_800k_unseen", "openai"), ("bedrock", "turn_800k_next", "bedrock")]
    events = [(side, name, side) for side in ("openai", "bedrock") for name in _STREAMS]
    made = {}
    for name, title, chosen in (
        ("bench-calls", words["plot_cpu"], calls),
        ("bench-events", words["plot_event"], events),
    ):
        panels = [
            panel for session, measure, side in chosen if (panel := _panel(figures, session, measure, side, words)).bars
        ]
        if panels:
            made[name] = bars(title, panels, OURS)
    return made


def _panel(figures: Figures, session: str, measure: str, side: str, words: Words) -> Panel:
    size, _, mode = measure.removeprefix("turn_").partition("_")
    title = f"{_SIZES[size]} {words[mode]}" if size in _SIZES else words[measure]
    found = [
        (shown, figures.median(session, measure, peer, part)) for shown, peer, part in _peers(figures, session, words)
    ]
    return Panel(f"{title}, {words[side]}", "µs", [(shown, value) for shown, value in found if value])
