"""What a call asks of budgets and limits, and what its caller is told when there is no room.

The words name the budget, when it resets and whom to ask. Amounts are told only of what is the caller's own: a key, a
person, a membership. They avoid every word that agents read as an overflow of their context.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from sekisho.errors import BudgetExceeded, RateLimited, SekishoError, StoreUnavailable
from sekisho.ledger.counters import NoRoom, NotLoaded, TooFast
from sekisho.values import Budget, Language, Scope, ScopeKind, VirtualKey

_OWN: tuple[ScopeKind, ...] = ("key", "user", "member")
_EN_SCOPES: dict[ScopeKind, str] = {
    "org": "the organisation's budget",
    "team": "your team's budget",
    "member": "your own budget in this team",
    "user": "your own budget",
    "key": "this key's budget",
    "tag": "the budget of the tag '{id}'",
}
_JA_SCOPES: dict[ScopeKind, str] = {
    "org": "組織の予算",
    "team": "チームの予算",
    "member": "このチームでのあなたの予算",
    "user": "あなたの予算",
    "key": "このキーの予算",
    "tag": "タグ「{id}」の予算",
}
_EN_ASK: dict[ScopeKind, str] = {
    "org": "the administrator",
    "team": "your team lead",
    "member": "your team lead",
    "user": "the administrator",
    "key": "your team lead",
    "tag": "the administrator",
}
_JA_ASK: dict[ScopeKind, str] = {
    "org": "管理者",
    "team": "チームの責任者",
    "member": "チームの責任者",
    "user": "管理者",
    "key": "チームの責任者",
    "tag": "管理者",
}
_EN_LIMITS = {"requests": "calls per minute", "tokens": "volume per minute", "parallel": "calls at the same time"}
_JA_LIMITS = {"requests": "毎分のコール数", "tokens": "毎分の処理量", "parallel": "同時コール数"}


def scopes_of(key: VirtualKey) -> tuple[Scope, ...]:
    """Everything whose money and rate a call with this key uses."""
    scopes = [Scope("org", key.org_id), Scope("key", key.id)]
    if key.user_id:
        scopes.append(Scope("user", key.user_id))
    if key.team_id:
        scopes.append(Scope("team", key.team_id))
    if key.team_id and key.user_id:
        scopes.append(Scope("member", f"{key.team_id}/{key.user_id}"))
    scopes.extend(Scope("tag", tag) for tag in key.tags)
    return tuple(scopes)


def refusal(verdict: NoRoom | TooFast | NotLoaded, language: Language) -> SekishoError:
    """The error a refused call ends with."""
    match verdict:
        case NoRoom():
            return BudgetExceeded(_no_room(verdict, language))
        case TooFast():
            return RateLimited(_too_fast(verdict, language), retry_after_s=verdict.retry_after_s)
        case NotLoaded():
            return StoreUnavailable(
                "Sekisho is reading what has been spent so far. Try again."
                if language == "en"
                else "これまでの使用額を読み込んでいます。もう一度お試しください。"
            )


def _no_room(verdict: NoRoom, language: Language) -> str:
    budget = verdict.budget
    own = _own_figures(verdict, language) if budget.scope.kind in _OWN else ""
    when = _local(budget, verdict.resets_at) if verdict.resets_at is not None else ""
    if language == "ja":
        scope = _JA_SCOPES[budget.scope.kind].format(id=budget.scope.id)
        model = f"（モデル {budget.model}）" if budget.model else ""
        reset = f"{when} に戻ります。" if when else "自動では戻りません。"
        ask = f"増額は{_JA_ASK[budget.scope.kind]}に頼んでください。"
        return f"{scope}{model}に、このコールの分の残りがありません。{own}{reset}{ask}"
    scope = _EN_SCOPES[budget.scope.kind].format(id=budget.scope.id)
    model = f" for the model {budget.model}" if budget.model else ""
    reset = f"It resets at {when}." if when else "It does not reset by itself."
    return f"No room for this call in {scope}{model}. {own}{reset} To raise it, ask {_EN_ASK[budget.scope.kind]}."


def _own_figures(verdict: NoRoom, language: Language) -> str:
    room, amount = _usd(max(verdict.room_nanousd, 0)), _usd(verdict.budget.amount_nanousd)
    if language == "ja":
        return f"残りは {amount} のうち {room} です。"
    return f"{room} of {amount} is left. "


def _too_fast(verdict: TooFast, language: Language) -> str:
    kind = verdict.limit.scope.kind
    if language == "ja":
        scope = _JA_SCOPES[kind].format(id=verdict.limit.scope.id).replace("予算", "制限")
        return (
            f"{scope}（{_JA_LIMITS[verdict.kind]}）に達しました。{verdict.retry_after_s} 秒後にもう一度お試しください。"
        )
    scope = _EN_SCOPES[kind].format(id=verdict.limit.scope.id).replace("budget", "rate limit")
    return f"Rate limit: {scope} ({_EN_LIMITS[verdict.kind]}) is reached. Try again in {verdict.retry_after_s} s."


def _local(budget: Budget, at_us: int) -> str:
    local = datetime.fromtimestamp(at_us // 1_000_000, ZoneInfo(budget.window.time_zone))
    return f"{local:%Y-%m-%d %H:%M} {budget.window.time_zone}"


def _usd(nanousd: int) -> str:
    """Cents, rounded down: what is left is never overstated."""
    return f"${nanousd // 10_000_000 / 100:,.2f}"
