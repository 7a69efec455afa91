"""The contrast of text and of chart marks, worked out from tokens.css for both themes (WCAG 2.2)."""

import re
from pathlib import Path

import pytest

TOKENS = (Path(__file__).parents[2] / "src/sekisho/web/console/static/tokens.css").read_text(encoding="utf-8")
GROUNDS = ("surface", "surface-2", "page", "overlay")
TEXTS = ("ink", "ink-2", "ink-3", "accent", "stop", "care", "fine")
MARKS = ("edge", "focus", "accent-fill", "stop-fill", "c1", "c2", "c3", "c4", "c5", "c6", "post")


def colours() -> dict[str, tuple[str, str]]:
    """Hexadecimal colours by token: light, dark."""
    text = re.sub(r"/\*.*?\*/", "", TOKENS, flags=re.S)
    plain = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\s*;", text))
    found = {name: (value, value) for name, value in plain.items()}
    for name, light, dark in re.findall(r"--([\w-]+):\s*light-dark\(([^,()]+(?:\([^)]*\))?),\s*([^)]+?)\)\s*;", text):
        sides = [plain.get(side.strip()[6:-1].strip(), side.strip()) for side in (light, dark + ")" * ("(" in dark))]
        if all(re.fullmatch(r"#[0-9a-f]{6}", side) for side in sides):
            found[name] = (sides[0], sides[1])
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


COLOURS = colours()


def test_the_measure_is_that_of_the_standard() -> None:
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48  # the example of many textbooks: just not enough


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_readable_on_every_ground(text: str, ground: str, theme: int) -> None:
    assert contrast(COLOURS[text][theme], COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("accent", "accent-soft"), ("accent", "accent-wash"), ("stop", "stop-soft"), ("stop", "stop-wash"),
     ("care", "care-soft"), ("fine", "fine-soft"), ("on-lintel", "lintel"), ("on-lintel-2", "lintel")],
)  # fmt: skip
def test_text_is_readable_on_its_own_ground(text: str, ground: str, theme: int) -> None:
    assert contrast(COLOURS[text][theme], COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("mark", MARKS)
def test_edges_and_marks_stand_out_from_a_panel(mark: str, theme: int) -> None:
    assert contrast(COLOURS[mark][theme], COLOURS["surface"][theme]) >= 3
