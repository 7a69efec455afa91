"""A call as the console draws it: seal, passage strip, token bar, timeline, note. Pure."""

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from sekisho.ledger.catalog import load_catalog
from sekisho.web.console.language import Words
from sekisho.web.console.views import CallState, CallTotals, CallView

Mark = Literal["pass", "stop", "cut", "off"]

_SEALS: dict[CallState, tuple[str, str]] = {
    "running": ("run", "進"),
    "ok": ("pass", "通"),
    "refused": ("deny", "止"),
    "failed": ("err", "障"),
    "interrupted": ("cut", "断"),
}
_AGENTS = {
    "cline": "Cline",
    "claude-code": "Claude Code",
    "codex": "Codex",
    "kilo": "Kilo",
    "continue": "Continue",
    "openai-sdk": "OpenAI SDK",
    "anthropic-sdk": "Anthropic SDK",
}
_PROVIDERS = {"bedrock": "Bedrock", "anthropic": "Anthropic"}
_STRIP_FIRST, _STRIP_LAST = 5, 82
_BAR_WIDTH = 64.0
_BAR_LEAST = 1.2  # a class that is there at all is visible
_LINE_WIDTH = 1000
_TREND_WIDTH, _TREND_HEIGHT, _TREND_TOP = 150, 30, 3


@dataclass(frozen=True, slots=True)
class Seal:
    """The verdict as a stamp. `kanji` is drawn in Japanese, a sign named `css` in English."""

    css: str
    kanji: str
    word: Markup


@dataclass(frozen=True, slots=True)
class Gate:
    """One stage of one call. `x`: its place on the strip; `own_us` None where no time was measured."""

    name: Markup
    mark: Mark
    x: float
    own_us: int | None
    fact: Markup | str


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of a bar."""

    css: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Row:
    """A call with everything the templates need beside it."""

    call: CallView
    seal: Seal
    gates: tuple[Gate, ...]
    strip: Markup
    tokens: tuple[Slice, ...]
    note: Markup | str
    note_css: str

    @property
    def agent(self) -> str:
        """The agent's name as its makers write it."""
        return agent_name(self.call.agent)

    @property
    def place(self) -> str:
        """The deployment in short: who serves it and where. The model's own id is in the details."""
        provider, _, rest = self.call.deployment.partition("/")
        if provider == "bedrock" and "/" in rest:
            return f"Bedrock · {rest.partition('/')[0]}"
        return _PROVIDERS.get(provider, provider)

    @property
    def prices_reviewed(self) -> str:
        """The day on which the catalog's prices of this call were compared with the list; empty for other prices."""
        kind, _, day = self.call.price_version.partition("-")
        return day if kind == "catalog" else ""

    @property
    def prices_at(self) -> str:
        """The public address of that list; empty where the catalog knows none."""
        found = load_catalog().find(self.call.deployment.rpartition("/")[2]) or load_catalog().find(self.call.model)
        known = self.prices_reviewed and found
        return load_catalog().published_at(found.listed, self.call.price_scope) if known and found else ""

    @property
    def reached_x(self) -> float:
        """How far the road was walked on the strip."""
        return max((gate.x for gate in self.gates if gate.mark != "off"), default=1)

    @property
    def own_us(self) -> int:
        """Time that was not spent upstream."""
        return max(0, self.call.duration_us - self.call.upstream_us)

    @property
    def first_us(self) -> int:
        """Upstream time up to the first token, the whole of it when no token came."""
        if not self.call.first_byte_us:
            return self.call.upstream_us
        return max(0, min(self.call.upstream_us, self.call.first_byte_us - sum(self.call.stages_us)))

    @property
    def writing_us(self) -> int:
        return self.call.upstream_us - self.first_us

    @property
    def timeline(self) -> tuple[Slice, ...]:
        """Upstream until the first token, upstream writing, Sekisho; on a common width of 1000."""
        total = max(self.call.duration_us, 1)
        first = _LINE_WIDTH * self.first_us / total
        writing = _LINE_WIDTH * self.writing_us / total
        own = max(3.0, _LINE_WIDTH * self.own_us / total)
        return (
            Slice("f-5", round(min(own, _LINE_WIDTH), 1), round(max(0.0, first), 1)),
            Slice("f-1", round(min(own + first, _LINE_WIDTH), 1), round(max(0.0, writing), 1)),
        )


def agent_name(agent: str) -> str:
    """An agent's name as its makers write it; others as they name themselves."""
    return _AGENTS.get(agent, agent)


def seal_of(status: CallState, words: Words) -> Seal:
    """The stamp of a state."""
    css, kanji = _SEALS[status]
    return Seal(css, kanji, words(f"seal.{status}"))


def make_row(call: CallView, stages: tuple[str, ...], words: Words) -> Row:
    """A call ready to draw."""
    note, note_css = _note(call, words)
    return Row(
        call=call,
        seal=seal_of(call.status, words),
        gates=_gates(call, stages, words),
        strip=_strip_text(call, words),
        tokens=_token_slices(call),
        note=note,
        note_css=note_css,
    )


def _stopped_at(call: CallView, stages: tuple[str, ...]) -> int:
    """The number of the stage where a call ended; the last one unless an earlier one refused it."""
    return stages.index(call.stage) if call.stage in stages else len(stages) - 1


def _gates(call: CallView, stages: tuple[str, ...], words: Words) -> tuple[Gate, ...]:
    last = _stopped_at(call, stages)
    ending: dict[CallState, Mark] = {"refused": "stop", "failed": "stop", "interrupted": "cut"}
    step = (_STRIP_LAST - _STRIP_FIRST) / max(1, len(stages) - 1)
    gates = []
    for number, name in enumerate(stages):
        mark: Mark = "pass" if number < last else ending.get(call.status, "pass") if number == last else "off"
        own_us = call.stages_us[number] if number < len(call.stages_us) and mark != "off" else None
        fact = "" if mark == "off" else _fact(name, call, words)
        gates.append(
            Gate(words.known(f"stage.{name}", name), mark, round(_STRIP_FIRST + number * step, 1), own_us, fact)
        )
    return tuple(gates)


def _fact(stage: str, call: CallView, words: Words) -> Markup | str:
    """What a stage found out or did, in a word."""
    if stage == call.stage and call.error:
        return words.known(f"error.{call.error}", call.error)
    if stage == "admit" and call.reserved_nanousd:
        return words("detail.reserved.step", cost=words.call_cost(call.reserved_nanousd))
    return {"authenticate": call.key_alias, "resolve": call.model, "place": call.deployment}.get(stage, "")


def _strip_text(call: CallView, words: Words) -> Markup:
    if call.status in ("refused", "failed"):
        return words("strip.stopped", stage=words.known(f"stage.{call.stage or 'send'}", call.stage))
    return words(f"strip.{call.status}")


def _token_slices(call: CallView) -> tuple[Slice, ...]:
    usage = call.usage
    counts = (
        ("f-read", usage.cache_read_tokens),
        ("f-write", usage.cache_write_5m_tokens + usage.cache_write_1h_tokens),
        ("f-fresh", usage.input_tokens),
        ("f-out", usage.output_tokens),
    )
    present = [(css, count) for css, count in counts if count]
    total = sum(count for _, count in present)
    widths = [max(_BAR_LEAST, _BAR_WIDTH * count / total) for _, count in present]
    scale = _BAR_WIDTH / sum(widths) if widths else 1
    slices, x = [], 0.0
    for (css, _), width in zip(present, widths, strict=True):
        slices.append(Slice(css, round(x, 1), round(width * scale, 1)))
        x += width * scale
    return tuple(slices)


def _note(call: CallView, words: Words) -> tuple[Markup | str, str]:
    """The one thing worth noticing about a call, and the colour of its words."""
    if call.error:
        css = "stop" if call.status == "refused" else "sub"
        return words.known(f"error.{call.error}", call.error), css
    if not call.is_metered and call.status != "running":
        return words("note.unmetered"), "care"
    if call.client_left:
        return words("note.client_left"), "sub"
    if call.stop_reason == "max_tokens":
        return words("note.max_tokens"), "sub"
    if call.stop_reason not in (None, "end_turn", "tool_use", "stop_sequence"):
        return words(f"stop.{call.stop_reason}"), "care"
    return "", "sub"


@dataclass(frozen=True, slots=True)
class Trend:
    """A small line over the last hour, as two SVG paths."""

    line: str
    area: str


def trends(totals: CallTotals) -> dict[str, Trend]:
    """The lines of the stat band by name; empty while there is no hour to draw."""
    columns = {
        "passed": [interval.passed for interval in totals.intervals],
        "running": [interval.running for interval in totals.intervals],
        "cost": [interval.cost_nanousd for interval in totals.intervals],
        "own": [interval.own_us for interval in totals.intervals],
        "refused": [interval.refused for interval in totals.intervals],
    }
    return {name: _trend(values) for name, values in columns.items() if len(values) > 1}


def _trend(values: list[int]) -> Trend:
    """From zero at the foot to the highest value at the head."""
    step = _TREND_WIDTH / (len(values) - 1)
    height = _TREND_HEIGHT - 2 * _TREND_TOP
    top = max(values) or 1
    points = [
        f"{number * step:.1f} {_TREND_HEIGHT - _TREND_TOP - height * value / top:.1f}"
        for number, value in enumerate(values)
    ]
    line = "M" + " L".join(points)
    return Trend(line, f"{line} L{_TREND_WIDTH} {_TREND_HEIGHT} L0 {_TREND_HEIGHT}Z")
