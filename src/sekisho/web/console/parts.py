"""What every page file of the console works with."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sekisho.web.admin.services import Services
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import Edge, Visit
from sekisho.web.console.language import Words
from sekisho.web.console.moves import Moves


@dataclass(frozen=True, slots=True)
class Parts:
    """The services, how pages are drawn, the edge that sets cookies, and the figures that move on open pages."""

    services: Services
    drawing: Drawing
    edge: Edge
    moves: Moves

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which days and months of money are counted."""
        return ZoneInfo(self.services.time_zone)

    def words(self, visit: Visit) -> Words:
        """The visit's language in that time zone."""
        return visit.words.in_zone(self.zone)
