"""The words of refusals: whom they name, whom they tell to ask, and what no agent may read in them."""

import itertools
import re

import pytest

from sekisho.calls.budgeting import Audience, ending_words, refusal, step_refusal
from sekisho.ledger.counters import NoRoom, NotLoaded, Passed, TooFast
from sekisho.values import Budget, BudgetStep, Language, RateLimit, Scope, ScopeKind, Window

KINDS: tuple[ScopeKind, ...] = ("org", "team", "member", "user", "key", "tag")
LANGUAGES: tuple[Language, ...] = ("en", "ja")
TOKYO = Window("month", "Asia/Tokyo")
RESET = 1_764_514_800_000_000  # the first of December 2025 in Tokyo
# What the recorded agents take for an overflow of the context, and then compact their history and ask again.
OVERFLOW = re.compile(
    r"token|prompt|context|too (long|many|large)|maximum|exceed|overflow|length"
    r"|トークン|コンテキスト|プロンプト|長すぎ",
    re.IGNORECASE,
)


def budget(kind: ScopeKind, model: str = "", *steps: BudgetStep) -> Budget:
    return Budget("b", Scope(kind, "x"), 1_000_000_000, TOKYO, model, steps=steps)


def all_words(kind: ScopeKind, model: str, resets_at: int | None, to: Audience) -> list[str]:
    step = BudgetStep(90, "refuse")
    one = budget(kind, model, step)
    no_room = NoRoom(one, 5_000_000, resets_at)
    limit = RateLimit("l", Scope(kind, "x"), model, 1, 1, 1)
    return [
        refusal(no_room, to).message,
        refusal(NotLoaded(one), to).message,
        *(refusal(TooFast(limit, sort, 7), to).message for sort in ("requests", "tokens", "parallel")),
        step_refusal(Passed(one, 1, 1, resets_at), step, to).message,
        ending_words(no_room, to),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_words_are_those_of_an_overflow(kind: ScopeKind, language: Language) -> None:
    for model, resets_at, leads in itertools.product(("", "nova-pro"), (None, RESET), ((), ("Alice", "Bob"))):
        for words in all_words(kind, model, resets_at, Audience(language, leads)):
            assert not OVERFLOW.search(words), words


@pytest.mark.parametrize("kind", KINDS)
def test_the_leads_are_named_where_they_can_help_and_only_there(kind: ScopeKind) -> None:
    no_room = NoRoom(budget(kind), 0, RESET)
    named = "Alice, Bob" in refusal(no_room, Audience("en", ("Alice", "Bob"))).message
    assert named == (kind in ("team", "member", "key"))
    assert ("Alice、Bob" in ending_words(no_room, Audience("ja", ("Alice", "Bob")))) == named


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_amounts_are_told_only_of_what_is_the_callers_own(kind: ScopeKind, language: Language) -> None:
    words = " ".join(all_words(kind, "", RESET, Audience(language)))
    assert ("$" in words) == (kind in ("member", "user", "key"))


def test_the_whole_words_in_both_languages() -> None:
    no_room = NoRoom(budget("team", "nova-pro"), 0, RESET)
    assert refusal(no_room, Audience("en", ("Alice",))).message == (
        "No room for this call in your team's budget for the model nova-pro. "
        "It resets at 2025-12-01 00:00 Asia/Tokyo. To raise it, ask your team lead (Alice)."
    )
    assert refusal(no_room, Audience("ja", ("Alice",))).message == (
        "チームの予算（モデル nova-pro）に、このコールの分の残りがありません。"
        "2025-12-01 00:00 Asia/Tokyo に戻ります。増額はチームの責任者（Alice）に頼んでください。"
    )


def test_who_is_in_no_team_is_sent_to_the_administrator() -> None:
    no_room = NoRoom(budget("key"), 0, RESET)
    assert "the administrator" in refusal(no_room, Audience("en", has_team=False)).message
    assert "管理者" in refusal(no_room, Audience("ja", has_team=False)).message
    assert "your team lead" in refusal(no_room, Audience("en")).message
