"""At which levels the content of calls is kept, as far as somebody may see calls: what every page of the shell says."""

from sekisho.access.roles import Principal
from sekisho.record.content import in_order
from sekisho.record.content_store import ContentService
from sekisho.values import ContentLevel


def levels_of(content: ContentService, who: Principal) -> tuple[ContentLevel, ...]:
    """The levels in force, the least first."""
    sight = who.sight("spend:read")
    if sight.is_all:
        return in_order(content.in_force.of_all)
    return content.in_force.among(sight.team_ids, sight.user_id)
