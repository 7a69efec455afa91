"""How calls, money and times are drawn and worded, in both languages."""

import re
import string
from decimal import Decimal
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho import errors
from sekisho.values import Usage
from sekisho.web.console.language import CATALOGUES, Language, Words
from sekisho.web.console.rows import make_row
from sekisho.web.console.texts import PAGES, en, ja
from tests.console.fakes import FAILED, LEFT, NOW_US, REFUSED, RUNNING, STAGES, UNKNOWN_KEY, make_call

EN = Words("en", ZoneInfo("Asia/Tokyo"))
JA = Words("ja", ZoneInfo("Asia/Tokyo"))


def every_error() -> list[type[errors.SekishoError]]:
    found, todo = [], [errors.SekishoError]
    while todo:
        known = todo.pop()
        found.append(known)
        todo += known.__subclasses__()
    return found


class TestTexts:
    def test_no_name_stands_in_two_files(self) -> None:
        for language in ("JA", "EN"):
            names = [name for page in PAGES for name in getattr(page, language)]
            names += ja.TEXTS if language == "JA" else en.TEXTS
            assert sorted(names) == sorted(set(names))

    def test_both_languages_say_the_same_things_with_the_same_values(self) -> None:
        fields = {
            language: {
                name: {field for _, field, _, _ in string.Formatter().parse(text) if field}
                for name, text in texts.items()
            }
            for language, texts in CATALOGUES.items()
        }
        assert fields["ja"] == fields["en"]

    def test_every_text_that_a_template_names_exists(self) -> None:
        folder = Path(__file__).parents[2] / "src/sekisho/web/console/templates"
        named = {
            f"{name}.one" if counted else name
            for file in folder.iterdir()
            for counted, name in re.findall(r'\bt(\.counted)?\("([a-z0-9_.]+)"[,)]', file.read_text(encoding="utf-8"))
        }
        assert named <= set(CATALOGUES["en"])
        assert len(named) > 50

    @pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
    def test_every_error_code_has_words(self, error: type[errors.SekishoError]) -> None:
        assert f"error.{error.code}" in CATALOGUES["en"]

    def test_values_in_texts_are_escaped(self) -> None:
        assert EN("detail.title", id="<b>") == "Call &lt;b&gt;"

    def test_plurals_follow_the_number(self) -> None:
        assert EN.counted("calls.arrived", 1) == "1 new call."
        assert EN.counted("calls.arrived", 1200) == "1,200 new calls."


class TestNumbers:
    @pytest.mark.parametrize(
        ("nanousd", "text"),
        [
            (0, "$0.0000"),
            (1, "<$0.0001"),
            (49_999, "<$0.0001"),
            (50_000, "$0.0001"),
            (17_025_000, "$0.0170"),
            (17_050_000, "$0.0171"),
            (1_234_567_890_123, "$1,234.5679"),
        ],
    )
    def test_a_call_has_four_digits_half_up(self, nanousd: int, text: str) -> None:
        assert EN.call_cost(nanousd) == JA.call_cost(nanousd) == text

    @pytest.mark.parametrize(
        ("nanousd", "text"),
        [(0, "$0.00"), (1, "<$0.01"), (5_000_000, "$0.01"), (3_901_300_000_000, "$3,901.30"), (15_000_000, "$0.02")],
    )
    def test_a_sum_has_two(self, nanousd: int, text: str) -> None:
        assert EN.sum_cost(nanousd) == text

    @given(st.integers(50_000, 10**18))
    def test_a_shown_cost_is_never_more_than_half_a_digit_off(self, nanousd: int) -> None:
        shown = Decimal(EN.call_cost(nanousd).replace("$", "").replace(",", ""))
        assert abs(shown - Decimal(nanousd) / 10**9) <= Decimal("0.00005")

    @pytest.mark.parametrize(
        ("us", "english", "japanese"),
        [
            (310, "0.31 ms", "0.31 ms"),
            (1_600, "1.6 ms", "1.6 ms"),
            (99_999, "100.0 ms", "100.0 ms"),
            (200_000, "0.2 s", "0.2 秒"),
            (6_842_300, "6.8 s", "6.8 秒"),
            (59_949_999, "59.9 s", "59.9 秒"),
            (59_950_000, "1 min 00 s", "1 分 00 秒"),
            (65_000_000, "1 min 05 s", "1 分 05 秒"),
        ],
    )
    def test_durations(self, us: int, english: str, japanese: str) -> None:
        assert (EN.duration(us), JA.duration(us)) == (english, japanese)

    @pytest.mark.parametrize(
        ("count", "text"), [(0, "0"), (999, "999"), (5_350, "5.4k"), (999_949, "999.9k"), (999_950, "1.0M")]
    )
    def test_token_counts_stay_short(self, count: int, text: str) -> None:
        assert EN.tokens(count) == text

    def test_times_are_in_the_zone_of_the_installation(self) -> None:
        us = 1_795_157_011_250_999
        assert EN.full_time(us) == "20 Nov 2026, 15:43:31.250"
        assert JA.full_time(us) == "2026 年 11 月 20 日 15:43:31.250"
        assert EN.iso_time(us) == "2026-11-20T15:43:31.250+09:00"


class TestRows:
    def marks(self, **fields: object) -> str:
        row = make_row(make_call(1, NOW_US, **fields), STAGES, EN)
        return "".join({"pass": "+", "stop": "x", "cut": "/", "off": "."}[gate.mark] for gate in row.gates)

    @pytest.mark.parametrize(
        ("deployment", "place"),
        [
            ("bedrock/us-east-1/us.anthropic.claude-sonnet-4-6", "Bedrock · us-east-1"),
            ("anthropic/claude-sonnet-4-6", "Anthropic"),
            ("hosted_vllm/org/model", "hosted_vllm"),
            ("", ""),
        ],
    )
    def test_a_row_names_the_deployment_in_short(self, deployment: str, place: str) -> None:
        assert make_row(make_call(1, NOW_US, deployment=deployment), STAGES, EN).place == place

    def test_a_client_that_left_is_noticed(self) -> None:
        assert make_row(make_call(1, NOW_US, client_left=True), STAGES, EN).note == "The client left before the end"

    def test_the_strip_shows_where_a_call_ended(self) -> None:
        assert self.marks() == "+++++++"
        assert self.marks(**RUNNING) == "+++++++"
        assert self.marks(**REFUSED) == "++++x.."
        assert self.marks(**UNKNOWN_KEY) == "+x....."
        assert self.marks(**FAILED) == "++++++x"
        assert self.marks(**LEFT) == "++++++/"

    def test_a_stage_that_was_not_reached_shows_no_time(self) -> None:
        row = make_row(make_call(1, NOW_US, **UNKNOWN_KEY), STAGES, EN)
        assert [gate.own_us for gate in row.gates] == [18, 4, None, None, None, None, None]

    def test_other_stage_lists_are_drawn_as_they_are(self) -> None:
        row = make_row(make_call(1, NOW_US), ("trace", "weigh", "send"), JA)
        assert [str(gate.name) for gate in row.gates] == ["記録", "weigh", "送信"]
        assert [gate.x for gate in row.gates] == [5, 43.5, 82]

    @given(st.lists(st.integers(0, 10**6), min_size=5, max_size=5))
    def test_the_token_bar_is_full_and_shows_every_class(self, counts: list[int]) -> None:
        row = make_row(make_call(1, NOW_US, usage=Usage(*counts)), STAGES, EN)
        classes = [counts[1], counts[2] + counts[3], counts[0], counts[4]]
        assert len(row.tokens) == sum(count > 0 for count in classes)
        if row.tokens:
            assert sum(part.width for part in row.tokens) == pytest.approx(64, abs=0.3)
            assert all(part.width > 1 for part in row.tokens)

    @given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_the_times_of_a_call_add_up(self, own_us: int, upstream_us: int, first_byte_us: int) -> None:
        call = make_call(
            1, NOW_US, duration_us=own_us + upstream_us, upstream_us=upstream_us, first_byte_us=first_byte_us
        )
        row = make_row(call, STAGES, EN)
        assert row.own_us + row.first_us + row.writing_us == call.duration_us
        assert min(row.own_us, row.first_us, row.writing_us) >= 0


class TestColours:
    """Every pair of text and ground has the contrast that WCAG 2.2 AA asks for, computed from the tokens themselves."""

    PAIRS = (
        *product(
            ("ink", "ink-2", "ink-3", "accent", "stop", "care", "fine"), ("page", "surface", "surface-2", "overlay")
        ),
        ("on-lintel", "lintel"),
        ("on-lintel-2", "lintel"),
        ("on-lintel-2", "lintel-2"),
        ("on-accent", "accent-fill"),
        ("on-stop", "stop-fill"),
        ("stop", "stop-wash"),
        ("care", "care-wash"),
        ("accent", "accent-soft"),
        ("ink-3", "stop-wash"),
        ("ink-3", "accent-wash"),
    )

    @pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
    @pytest.mark.parametrize(("text", "ground"), PAIRS)
    def test_text_is_readable(self, text: str, ground: str, side: int) -> None:
        assert self.contrast(text, ground, side) >= 4.5

    @pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
    def test_edges_are_visible(self, side: int) -> None:
        assert self.contrast("edge", "surface", side) >= 3

    def contrast(self, one: str, other: str, side: int) -> float:
        high, low = sorted((self.luminance(one, side), self.luminance(other, side)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    def luminance(self, token: str, side: int) -> float:
        colour = self.resolve(f"var(--{token})", side).lstrip("#")
        channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def resolve(self, value: str, side: int) -> str:
        css = (Path(__file__).parents[2] / "src/sekisho/web/console/static/tokens.css").read_text(encoding="utf-8")
        while not value.startswith("#"):
            name = re.fullmatch(r"var\(--([\w-]+)\)", value)
            assert name, value
            found = re.search(rf"--{name[1]}:\s*(?:light-dark\(([^,]+),\s*([^)]+\)?)\)|([^;]+));", css)
            assert found, value
            value = (found[3] or found[1 + side]).strip()
        return value


def test_every_language_is_offered() -> None:
    assert set(CATALOGUES) == set(Language.__args__)  # type: ignore[attr-defined]
