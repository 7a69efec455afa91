"""What a model or a person wrote, as safe HTML: Markdown without any HTML of its own, flow charts as pictures.

Pictures of others are never fetched, links open elsewhere and tell nobody where they came from.
"""

from collections.abc import Callable, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from sekisho.web.console.flowchart import draw

MOST_CHARACTERS = 60_000
MOST_BRACKETS = 1_000  # the reader of Markdown looks for the end of a link from each of them on


class Prose:
    """Writes Markdown as HTML. `of_chart`: the words for a chart's picture, `of_source`: for the source behind it."""

    def __init__(self, of_chart: str, of_source: str) -> None:
        self._of_chart = of_chart
        self._of_source = of_source
        self._markdown = MarkdownIt("js-default", {"html": False, "linkify": False, "typographer": False})
        self._markdown.disable("image")
        rules: dict[str, Callable[..., str]] = {
            "fence": self._fence,
            "code_block": self._fence,
            "link_open": _link,
            "heading_open": _heading_open,
            "heading_close": _heading_close,
        }
        self._markdown.renderer.rules.update(rules)  # type: ignore[attr-defined]  # of the HTML renderer

    def __call__(self, text: str) -> Markup:
        """The text as HTML. What is longer than a page can bear is shown as it stands."""
        if len(text) > MOST_CHARACTERS or text.count("[") > MOST_BRACKETS:
            return Markup('<pre class="code wrap">{}</pre>').format(text)
        return Markup(self._markdown.render(text))

    def _fence(self, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: EnvType) -> str:
        token = tokens[at]
        code = Markup('<pre class="code" tabindex="0">{}</pre>').format(token.content.rstrip("\n"))
        if token.info.strip().split(" ")[0].lower() != "mermaid":
            return code
        picture = draw(token.content, self._of_chart)
        if picture is None:
            return code
        return Markup(
            '<div class="planbox mt3" tabindex="0">{}<details class="sm sub2"><summary>{}</summary>{}</details></div>'
        ).format(picture, self._of_source, code)


def _link(tokens: Sequence[Token], at: int, _options: OptionsDict, _env: EnvType) -> str:
    address = str(tokens[at].attrGet("href") or "")
    if not address.startswith(("https://", "http://")):
        return "<a>"
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow">'


def _heading_open(*_: object) -> str:
    """Headings of a model are no headings of the page."""
    return '<p class="b">'


def _heading_close(*_: object) -> str:
    return "</p>\n"
