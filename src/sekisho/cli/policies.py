"""`sekisho policy ...`: what scopes may use, through the running control process."""

from typing import Annotated, Any

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import stop
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, ScopeText, parse_scope, taking
from sekisho.cli.resources import Resource, Thing, add_rule_commands, made, scope_text

app = typer.Typer(
    no_args_is_help=True,
    help=say(
        "Policies: which models, providers, Regions, agents and hours a scope may use.",
        "ポリシー（使用できるモデル・提供元・リージョン・エージェント・時間帯）を管理します。",
    ),
)

_TITLES = {
    "models": say("models", "モデル"),
    "families": say("families", "モデルの系列"),
    "providers": say("providers", "提供元"),
    "regions": say("Regions", "リージョン"),
    "geographies": say("geographies", "処理される地域"),
    "accounts": say("accounts", "アカウント"),
    "agents": say("agents", "エージェント"),
    "hours": say("hours", "時間帯"),
    "holidays": say("holidays", "休日"),
    "prefers": say("preferred", "優先"),
    "max_output_tokens": say("longest answer", "応答の最大トークン数"),
}


def _many(option: str, en: str, ja: str) -> Any:
    return Annotated[list[str] | None, typer.Option(option, help=say(en, ja))]


PolicyId = Annotated[str, typer.Argument(help=say("The policy's id.", "ポリシーの ID。"))]
FIELDS: dict[str, Any] = {
    "name": Annotated[str | None, typer.Option("--name", help=say("Name of the policy.", "ポリシーの名前。"))],
    "models": _many("--model", "Allowed model; * fits anything. Repeatable.", "許可するモデル（* 可、複数可）。"),
    "families": _many(
        "--family", "Allowed model family, such as claude or nova.", "許可するモデルの系列（claude、nova など）。"
    ),
    "providers": _many(
        "--provider",
        "Allowed provider: bedrock, anthropic, openai.",
        "許可する提供元（bedrock、anthropic、openai）。",
    ),
    "regions": _many("--region", "Allowed AWS Region; * fits anything.", "許可するリージョン（* 可）。"),
    "geographies": _many(
        "--geography",
        "Where Bedrock may answer: in-region, jp, apac, us, eu, global ...",
        "Bedrock が処理してよい地域（in-region、jp、apac、us、eu、global など）。",
    ),
    "accounts": _many("--account", "Allowed account.", "許可するアカウント。"),
    "agents": _many(
        "--agent", "Allowed agent, as clients name themselves.", "許可するエージェント（名前は自己申告）。"
    ),
    "hours": _many("--hours", 'Such as "mon-fri 09:00-18:00".', "例: 「mon-fri 09:00-18:00」。"),
    "time_zone": Annotated[
        str | None, typer.Option("--time-zone", help=say("Time zone of the hours.", "時間帯のタイムゾーン。"))
    ],
    "holidays": _many(
        "--holiday",
        "Day without hours: 2026-12-29, or 2026-12-29/2027-01-03.",
        "利用できない休日。2026-12-29 または 2026-12-29/2027-01-03。",
    ),
    "prefers": _many(
        "--prefer",
        "Which deployments come first, such as region:ap-northeast-1.",
        "優先するデプロイ。例: region:ap-northeast-1。",
    ),
    "max_output_tokens": Annotated[
        int | None,
        typer.Option(
            "--max-output-tokens", min=1, help=say("Longest answer, in tokens.", "1 回の応答の最大トークン数。")
        ),
    ],
}
CLEARABLE = {
    "clear": _many("--clear", "Take this away again, such as models.", "この種類の制限をなくします（例: models）。")
}


def _lines(one: Thing) -> Thing:
    return {
        say("id", "ID"): one["id"],
        say("name", "名前"): one["name"] or "-",
        say("scope", "対象"): scope_text(one),
        **{title: values_text(one, name) for name, title in _TITLES.items() if one[name]},
        say("created", "作成"): made(one),
    }


def values_text(one: Thing, name: str) -> str:
    """What a policy says in one of its fields."""
    if name == "max_output_tokens":
        return str(one[name] or "")
    if name == "hours":
        return ", ".join(f"{part['time']} ({part['time_zone']})" for part in one["hours"])
    return ", ".join(one[name])


def allowed_text(one: Thing) -> str:
    """All that a policy says, in a line."""
    return "; ".join(f"{title}: {values_text(one, name)}" for name, title in _TITLES.items() if one[name])


POLICIES = Resource(
    "policies",
    lambda one: (one["id"], scope_text(one), one["name"] or "-", allowed_text(one)),
    _lines,
    say("There are no policies: everything is allowed.", "ポリシーはありません（すべて許可）。"),
    allowed_text,
)


@app.command("create", help=say("Make a policy.", "ポリシーを作成します。"))
@taking(FIELDS)
def create(said: Thing, scope: ScopeText, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Make a policy; in force when the command ends."""
    POLICIES.create(home, said | {"scope": parse_scope(scope)}, as_json)


@app.command("update", help=say("Change a policy.", "ポリシーを変更します。"))
@taking(FIELDS | CLEARABLE)
def update(said: Thing, policy: PolicyId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Put what is given in the place of what was; leave the rest."""
    cleared = said.pop("clear", [])
    unknown = [one for one in cleared if one not in _TITLES]
    if unknown:
        known = ", ".join(_TITLES)
        stop(say(f"--clear takes {known}, not {unknown[0]}.", f"--clear に指定できるのは {known} です: {unknown[0]}"))
    POLICIES.update(home, policy, {one: None if one == "max_output_tokens" else [] for one in cleared} | said, as_json)


add_rule_commands(app, POLICIES, "policy", "ポリシー")
