"""What a call asks of budgets and limits, and what its caller is told when there is no room.

The words name the budget, when it resets and whom to ask. Amounts are told only of what is the caller's own: a key, a
person, a membership. They avoid every word that agents read as an overflow of their context.
"""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.errors import BudgetExceeded, RateLimited, SekishoError, StoreUnavailable
from sekisho.ledger.counters import NoRoom, NotLoaded, Passed, TaskFull, TooFast
from sekisho.values import Budget, BudgetStep, Language, ScopeKind

_OWN: tuple[ScopeKind, ...] = ("key", "user", "member")
_LED: tuple[ScopeKind, ...] = ("team", "member", "key")
_MOST_NAMES = 3
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


class Audience(msgspec.Struct, frozen=True):
    """Who is spoken to. `leads`: the names of those who lead the caller's team; `has_team`: whether there is one."""

    language: Language
    leads: tuple[str, ...] = ()
    has_team: bool = True


def refusal(verdict: NoRoom | TooFast | NotLoaded | TaskFull, to: Audience) -> SekishoError:
    """The error a refused call ends with."""
    match verdict:
        case NoRoom():
            return BudgetExceeded(_no_room(verdict, to))
        case TaskFull():
            return BudgetExceeded(_task_full(verdict, to))
        case TooFast():
            return RateLimited(_too_fast(verdict, to.language), retry_after_s=verdict.retry_after_s)
        case NotLoaded():
            return StoreUnavailable(
                "Sekisho is reading what has been spent so far. Try again."
                if to.language == "en"
                else "これまでの使用額を読み込んでいます。もう一度お試しください。"
            )


def step_refusal(passed: Passed, step: BudgetStep, to: Audience) -> SekishoError:
    """The error for a call that a step of a budget refuses."""
    scope, reset, ask = _about(passed.budget, passed.resets_at, to)
    if to.language == "ja":
        return BudgetExceeded(f"{scope}の {step.at_percent}% を使用したため、このコールは送信されません。{reset}{ask}")
    return BudgetExceeded(f"{step.at_percent}% of {scope} is spent, from where on calls are refused. {reset} {ask}")


def ending_words(verdict: NoRoom | TaskFull, to: Audience) -> str:
    """What an answer says at its end that had to be made shorter than was asked, to fit into a budget."""
    if isinstance(verdict, TaskFull):
        return f"[Sekisho] {_task_full(verdict, to)}"
    scope, reset, ask = _about(verdict.budget, verdict.resets_at, to)
    if to.language == "ja":
        return f"[Sekisho] {scope}の残りを使い切るため、回答をここで終えました。{reset}{ask}"
    return f"[Sekisho] The answer ends here: it has used what was left of {scope}. {reset} {ask}"


def audience_of(gate: Gate, call: Call) -> Audience:
    """Who is spoken to: in the user's language, else the one that the request prefers, else the gateway's."""
    snapshot, key = gate.registry.snapshot, call.known_key
    assert snapshot is not None  # a key is known
    header = call.headers.get(b"accept-language")
    language = snapshot.languages.get(key.user_id) or (_preferred(header) if header else None) or gate.language
    return Audience(language, snapshot.leads.get(key.team_id, ())[:_MOST_NAMES], bool(key.team_id))


@lru_cache(maxsize=256)
def _preferred(header: bytes) -> Language | None:
    """The one of our languages that an Accept-Language header likes best; None if it names neither."""
    best: Language | None = None
    best_weight = 0.0
    for part in header.decode("latin-1").lower().split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        language = tag[:2] if tag[2:3] in ("", "-") else ""
        try:
            likes = float(weight) if weight else 1.0
        except ValueError:
            continue
        if language in ("en", "ja") and likes > best_weight:
            best, best_weight = ("ja" if language == "ja" else "en"), likes
    return best


def _no_room(verdict: NoRoom, to: Audience) -> str:
    budget = verdict.budget
    own = _own_figures(verdict, to.language) if budget.scope.kind in _OWN else ""
    scope, reset, ask = _about(verdict.budget, verdict.resets_at, to)
    if to.language == "ja":
        return f"{scope}に、このコールの分の残りがありません。{own}{reset}{ask}"
    return f"No room for this call in {scope}. {own}{reset} {ask}"


def _task_full(verdict: TaskFull, to: Audience) -> str:
    limit = verdict.limit
    kind = limit.scope.kind if to.has_team else "org"
    if to.language == "ja":
        most = _usd(limit.nanousd_per_task or 0) if verdict.kind == "cost" else f"{limit.calls_per_task} コール"
        whose = _JA_SCOPES[limit.scope.kind].format(id=limit.scope.id).replace("予算", "設定")
        return (
            f"このタスクは、1 タスクあたりの上限 {most}（{whose}）に達しました。"
            f"新しいタスクを始めれば続けられます。引き上げは{_JA_ASK[kind]}に頼んでください。"
        )
    most = _usd(limit.nanousd_per_task or 0) if verdict.kind == "cost" else f"{limit.calls_per_task} calls"
    whose = _EN_SCOPES[limit.scope.kind].format(id=limit.scope.id).replace("budget", "limits")
    return (
        f"This task has reached its cap of {most} per task, set in {whose}. "
        f"Start a new task to go on. To raise the cap, ask {_EN_ASK[kind]}."
    )


def _about(budget: Budget, resets_at: int | None, to: Audience) -> tuple[str, str, str]:
    """Which budget, when it resets, whom to ask."""
    return _scope_of(budget, to.language), _reset_of(budget, resets_at, to.language), _ask(budget, to)


def _scope_of(budget: Budget, language: Language) -> str:
    words = _JA_SCOPES if language == "ja" else _EN_SCOPES
    scope = words[budget.scope.kind].format(id=budget.scope.id)
    if not budget.model:
        return scope
    return f"{scope}（モデル {budget.model}）" if language == "ja" else f"{scope} for the model {budget.model}"


def _reset_of(budget: Budget, resets_at: int | None, language: Language) -> str:
    when = _local(budget, resets_at) if resets_at is not None else ""
    if language == "ja":
        return f"{when} に戻ります。" if when else "自動では戻りません。"
    return f"It resets at {when}." if when else "It does not reset by itself."


def _ask(budget: Budget, to: Audience) -> str:
    kind = budget.scope.kind if to.has_team else "org"
    if to.language == "ja":
        names = f"（{'、'.join(to.leads)}）" if to.leads and kind in _LED else ""
        return f"増額は{_JA_ASK[kind]}{names}に頼んでください。"
    names = f" ({', '.join(to.leads)})" if to.leads and kind in _LED else ""
    return f"To raise it, ask {_EN_ASK[kind]}{names}."


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
