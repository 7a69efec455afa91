"""Who there is in the demonstration, and what they may spend. All ids begin with `demo-`, so that it can be removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sekisho.access.demonstration import DEMONSTRATION_TEAMS
from sekisho.values import Language

PREFIX = "demo-"
TEAM_A, TEAM_B, TEAM_INFRA = DEMONSTRATION_TEAMS
TIME_ZONE = "Asia/Tokyo"
RATE_JPY = "156.20"
BAND_USD = ("20", "60")  # what an engineer is expected to cost here: the month is smaller than life

Habit = Literal["", "unmarked", "clock"]


@dataclass(frozen=True)
class Developer:
    """One person with one key. `works`: tasks on an ordinary day; `agent` as in `agents`.

    `habit`: what keeps the prompt cache from serving: no marks, or the time of day in the rules."""

    name: str
    team: str
    agent: str
    model: str
    works: float
    habit: Habit = ""

    @property
    def user_id(self) -> str:
        return PREFIX + self.name

    @property
    def key_alias(self) -> str:
        return f"{PREFIX}{self.name}-key"


DEVELOPERS = (
    Developer("a1", TEAM_A, "claude-code", "claude-fable-5", 0.75),
    Developer("a2", TEAM_A, "cline", "claude-fable-5", 0.8),
    Developer("a3", TEAM_A, "cline", "claude-opus-4-5", 0.6, "unmarked"),
    Developer("a4", TEAM_A, "claude-code", "claude-opus-4-5", 0.7),
    Developer("a5", TEAM_A, "cline", "claude-fable-5", 0.5),
    Developer("a6", TEAM_A, "cline", "claude-opus-4-5", 0.5),
    Developer("b1", TEAM_B, "cline", "claude-opus-4-5", 0.7, "clock"),
    Developer("b2", TEAM_B, "claude-code", "claude-fable-5", 0.8),
    Developer("b3", TEAM_B, "cline", "claude-opus-4-5", 0.5),
    Developer("b4", TEAM_B, "claude-code", "claude-sonnet-5-5", 0.5),
    Developer("infra1", TEAM_INFRA, "claude-code", "claude-opus-4-5", 0.4),
)


@dataclass(frozen=True)
class Allowance:
    """A monthly budget in whole US dollars, with its warning at 80 %."""

    team: str
    amount_usd: int
    user: str = ""


YOU, YOUR_KEY = f"{PREFIX}a2", f"{PREFIX}your-key"  # whom a newcomer's agent works for, with this key

WHOLE_USD, WHOLE_NAME = 400, f"{PREFIX}organisation"  # the budget over all of it, where the organisation has none
ALLOWANCES = (
    Allowance(TEAM_A, 260),
    Allowance(TEAM_B, 110),
    Allowance(TEAM_INFRA, 10),
    Allowance(TEAM_A, 40, "demo-a1"),
    Allowance(TEAM_A, 90, "demo-a3"),
    Allowance(TEAM_A, 4, "demo-a4"),
)

_TEAMS = {
    TEAM_A: ("部門A", "Department A", "1001"),
    TEAM_B: ("部門B", "Department B", "1002"),
    TEAM_INFRA: ("インフラチーム", "Infrastructure team", "1009"),
}
LEADS = {TEAM_A: "demo-lead-a", TEAM_B: "demo-lead-b", TEAM_INFRA: "demo-infra-lead"}
_PEOPLE = {
    "demo-lead-a": ("部門長A", "Lead A", ""),
    "demo-lead-b": ("部門長B", "Lead B", ""),
    "demo-infra-lead": ("基盤担当", "Platform admin", "platform_admin"),
    "demo-cost": ("費用担当", "Cost manager", "cost_manager"),
    "demo-audit": ("監査担当", "Auditor", "auditor"),
}
USER_IDS = (*(one.user_id for one in DEVELOPERS), *_PEOPLE)
TEAM_IDS = tuple(_TEAMS)


def document(language: Language, *, with_budgets: bool) -> str:
    """The organisation as YAML, for an apply. Names of people and departments in this language."""
    ja = language == "ja"
    lines = ["format: 1", "users:"]
    for developer in DEVELOPERS:
        lines.append(f"  {developer.user_id}: {{alias: {_named(developer, ja=ja)}, metadata: {{demo: 'true'}}}}")
    for user_id, (in_ja, in_en, role) in _PEOPLE.items():
        roles = f", roles: [{role}]" if role else ""
        lines.append(f"  {user_id}: {{alias: {in_ja if ja else in_en}, metadata: {{demo: 'true'}}{roles}}}")
    lines.append("teams:")
    for team, (in_ja, in_en, cost_centre) in _TEAMS.items():
        lines += [
            f"  {team}:",
            f"    alias: {in_ja if ja else in_en}",
            f"    leads: [{LEADS[team]}]",
            f"    metadata: {{cost_centre: '{cost_centre}', demo: 'true'}}",
            *(_budget(one, 4) for one in ALLOWANCES if with_budgets and one.team == team and not one.user),
            "    members:",
            *_members(team, with_budgets=with_budgets),
        ]
    lines.append("keys:")
    for one in DEVELOPERS:
        lines.append(f"  {one.key_alias}: {{user: {one.user_id}, team: {one.team}, metadata: {{demo: 'true'}}}}")
    return "\n".join(lines) + "\n"


def _members(team: str, *, with_budgets: bool) -> Sequence[str]:
    lines = []
    for one in DEVELOPERS:
        if one.team != team:
            continue
        own = [budget for budget in ALLOWANCES if with_budgets and budget.user == one.user_id]
        lines += (
            [f"      {one.user_id}:", *(_budget(budget, 8) for budget in own)]
            if own
            else [f"      {one.user_id}: {{}}"]
        )
    return lines


def _budget(one: Allowance, indent: int) -> str:
    what = f"amount: {one.amount_usd} USD, per: month, time_zone: {TIME_ZONE}, alert_at: [80%, 100%]"
    return f"{' ' * indent}budgets: {{monthly: {{{what}}}}}"


def _named(developer: Developer, *, ja: bool) -> str:
    if developer.team == TEAM_INFRA:
        return "基盤開発者1" if ja else "Platform developer 1"
    return ("開発者" if ja else "Developer ") + developer.name.upper()
