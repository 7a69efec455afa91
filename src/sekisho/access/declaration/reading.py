"""From the text of a document to a declaration: everything it states, as things under addresses."""

from dataclasses import dataclass, field
from typing import get_args

from sekisho.access.declaration.fields import Fields, Problems
from sekisho.access.declaration.rules import RuleReader
from sekisho.access.declaration.things import (
    Address,
    Thing,
    key_address,
    member_address,
    stated,
    tag_address,
    team_address,
    template_address,
    user_address,
)
from sekisho.access.declaration.tree import parse_tree
from sekisho.access.declaration.words import render_time
from sekisho.access.grants import ORG_ROLES, TEAM_ROLES
from sekisho.access.organisation import DESCRIPTION_CHARACTERS, EMAIL_CHARACTERS, MOST_CONTENT_DAYS
from sekisho.values import ContentLevel

ORGANISATION: Address = ("organisation",)
FORMAT = "1"
_IN_TEAMS = tuple(role for role in TEAM_ROLES if role != "team_lead")  # who leads is said by `leads`


@dataclass(slots=True)
class Declaration:
    """What a document states. `time_zone`: that of calendar windows and of dates that name none."""

    time_zone: str
    things: dict[Address, Thing] = field(default_factory=dict)


def read_declaration(text: str, time_zone: str) -> Declaration:
    """Everything in the document, whose time zone is this unless it says another. Raises BadDocument."""
    return _Reader(time_zone).read(text)


class _Reader:
    def __init__(self, time_zone: str) -> None:
        self._problems = Problems()
        self._declaration = Declaration(time_zone)
        self._rules = RuleReader(self._declaration.things, self._problems, time_zone)

    def read(self, text: str) -> Declaration:
        top = Fields(self._problems, parse_tree(text), "")
        if top.text("format") not in ("", FORMAT):
            top.bad(
                "format", f"this version reads format {FORMAT}.", f"このバージョンが読めるのは format {FORMAT} です。"
            )
        self._organisation(top.fields("organisation"))
        for name, fields in top.named("budget_templates"):
            self._rules.template(template_address(name), fields)
        for name, fields in top.named("users"):
            self._user(name, fields, "person")
        for name, fields in top.named("service_accounts"):
            self._user(name, fields, "service")
        for name, fields in top.named("tags"):
            self._tag(name, fields)
        for name, fields in top.named("teams"):
            self._team(name, fields)
        for name, fields in top.named("keys"):
            self._key(name, fields)
        top.finish()
        self._problems.judge()
        return self._declaration

    def _organisation(self, fields: Fields) -> None:
        self._declaration.time_zone = fields.zone("time_zone", self._declaration.time_zone)
        self._rules.time_zone = self._declaration.time_zone
        self._rules.owned_by(ORGANISATION, fields)
        fields.finish()

    def _user(self, name: str, fields: Fields, kind: str) -> None:
        address = user_address(name)
        if address in self._declaration.things:
            fields.problems.add(
                fields.line,
                f"'{name}' is both a user and a service account.",
                f"「{name}」が利用者とサービスアカウントの両方にあります。",
            )
        self._add(
            address,
            fields,
            alias=fields.text("alias"),
            email=fields.text("email", EMAIL_CHARACTERS),
            kind="service" if kind == "service" else "",
            metadata=fields.metadata("metadata"),
            budget_template=fields.text("budget_template"),
        )
        if fields.has("roles"):
            self._declaration.things[address].fields["roles"] = self._roles(fields)
        self._rules.owned_by(address, fields)
        fields.finish()

    def _roles(self, fields: Fields) -> list[str]:
        for text in fields.texts("roles"):
            if text not in ORG_ROLES and text.partition(" in ")[0] not in _IN_TEAMS:
                names = ", ".join((*ORG_ROLES, *(f"{role} in TEAM" for role in _IN_TEAMS)))
                fields.bad(
                    "roles", f"'{text[:60]}' is none of {names}.", f"「{text[:60]}」は {names} のどれでもありません。"
                )
        return sorted(fields.texts("roles"))

    def _tag(self, name: str, fields: Fields) -> None:
        address = tag_address(name)
        description = fields.text("description", DESCRIPTION_CHARACTERS)
        self._add(address, fields, description=description, budget_template=fields.text("budget_template"))
        self._rules.owned_by(address, fields)
        fields.finish()

    def _team(self, name: str, fields: Fields) -> None:
        address = team_address(name)
        if "/" in name:
            fields.problems.add(fields.line, "The id of a team has no slash.", "チームの ID にスラッシュは使えません。")
        self._add(
            address,
            fields,
            alias=fields.text("alias"),
            models=list(fields.texts("models")),
            metadata=fields.metadata("metadata"),
            budget_template=fields.text("budget_template"),
            content_level=_content_level(fields),
            content_days=_content_days(fields),
        )
        self._state(address, blocked=fields.flag("blocked"), cut_streams=fields.flag("cut_streams"))
        self._rules.owned_by(address, fields)
        leads = dict.fromkeys(fields.texts("leads", are_ids=True), fields.line_of("leads"))
        for user_id, member in fields.named("members"):
            role = "lead" if leads.pop(user_id, None) else ""
            self._member(name, user_id, role, member)
        for user_id, line in leads.items():
            self._member(name, user_id, "lead", Fields(self._problems, None, f"teams.{name}.leads", line))
        fields.finish()

    def _member(self, team_id: str, user_id: str, role: str, fields: Fields) -> None:
        address = member_address(team_id, user_id)
        self._add(address, fields, role=role, budget_template=fields.text("budget_template"))
        self._rules.owned_by(address, fields)
        fields.finish()
        self._mention(user_id, fields.line)

    def _key(self, name: str, fields: Fields) -> None:
        address = key_address(name)
        self._add(
            address,
            fields,
            user=fields.text("user"),
            team=fields.text("team"),
            models=list(fields.texts("models")),
            tags=list(fields.texts("tags")),
            metadata=fields.metadata("metadata"),
            budget_template=fields.text("budget_template"),
        )
        expires: str | None = None
        if fields.text("expires") == "never":
            expires = "never"
        elif fields.has("expires"):
            at_us = fields.time("expires", self._declaration.time_zone)
            expires = None if at_us is None else render_time(at_us)
        cut_streams = fields.flag("cut_streams")
        self._state(address, blocked=fields.flag("blocked"), expires=expires, cut_streams=cut_streams)
        self._mention(self._declaration.things[address].fields.get("user", ""), fields.line)
        self._rules.owned_by(address, fields)
        fields.finish()

    def _mention(self, user_id: str, line: int) -> None:
        """See to it that this user is there."""
        who = user_address(user_id)
        if user_id and who not in self._declaration.things:
            self._declaration.things[who] = Thing(who, {}, line=line, is_mentioned=True)

    def _add(self, address: Address, fields: Fields, **values: object) -> None:
        self._declaration.things[address] = Thing(address, stated(**values), line=fields.line)

    def _state(self, address: Address, **values: object) -> None:
        """Add fields that count as stated also when they say no."""
        self._declaration.things[address].fields.update({name: one for name, one in values.items() if one is not None})


def _content_level(fields: Fields) -> str:
    """How much of what calls say is kept."""
    level, known = fields.text("content_level"), get_args(ContentLevel)
    if level and level not in known:
        fields.bad("content_level", f"one of {', '.join(known)}.", f"{', '.join(known)} のどれかです。")
        return ""
    return level


def _content_days(fields: Fields) -> int:
    """How many days it is kept."""
    days = fields.count("content_days") or 0
    if days > MOST_CONTENT_DAYS:
        fields.bad("content_days", f"at most {MOST_CONTENT_DAYS:,} days.", f"{MOST_CONTENT_DAYS:,} 日以内です。")
    return days
