"""Draws pages: templates with the visit, its words and what the page is about. It asks nobody anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from sekisho.access.roles import Principal
from sekisho.clock import id_text
from sekisho.values import ContentLevel
from sekisho.web.console.assets import Asset, load_assets
from sekisho.web.console.edge import THEMES, Visit
from sekisho.web.console.nav import NAV, ROOT, TABS, places_of
from sekisho.web.console.readable import readable
from sekisho.web.console.views import ConsoleInfo


@dataclass
class Drawing:
    """The templates and the files beside them. `assets`: by the address under which they are served.

    `levels`: at which content is kept of the calls that a principal may see; every page of the shell says it."""

    info: ConsoleInfo
    levels: Callable[[Principal], Sequence[ContentLevel]] = lambda _: ()
    assets: dict[str, Asset] = field(init=False)

    def __post_init__(self) -> None:
        files = load_assets()
        self.assets = {asset.address: asset for asset in files.values()}
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=readable,
        )
        self._templates.globals.update(
            root=ROOT,
            info=self.info,
            asset={name: f"{ROOT}/assets/{asset.address}" for name, asset in files.items()},
            themes=(*THEMES, "system"),
            nav=NAV,
            tabs=TABS,
            places_of=places_of,
            id_text=id_text,
            levels_of=self.levels,
        )

    def page(self, visit: Visit, template: str, *, status: int = 200, **about: Any) -> Response:
        """A whole page, or a fragment for htmx. Templates extend base.html, or bare.html outside the shell."""
        return Response(self.text(visit, template, status=status, **about), status, media_type="text/html")

    def text(self, visit: Visit, template: str, **about: Any) -> str:
        """The same as text."""
        return self._templates.get_template(template).render(visit=visit, t=visit.words, here=visit.place, **about)

    def failed(self, visit: Visit, status: int, reference: str) -> Response:
        """The page for a failure. It asks nobody, so that it can always be made."""
        known = status if status in (403, 404, 503) else 500
        return self.page(visit, "error.html", status=status, known=known, reference=reference)
