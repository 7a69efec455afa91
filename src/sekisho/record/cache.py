"""What prompt caches did: tokens they served, dollars saved and lost, and why a cached prefix was not served.

Implemented by the store. Times are microseconds since the epoch, days are those of UTC, money is integer nano-USD by
the ledger's prices. What the causes mean and how they are told: docs/why/cache.md
"""

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

import msgspec

from sekisho.record.calls import Part
from sekisho.values import BreakCause, Language

NEVER_CACHED: frozenset[str] = frozenset({"unmarked", "below_minimum"})
"""Causes by which no cached prefix broke: there was none yet."""

CacheDimension = Literal["team", "day", "cause"]


class CacheSum(msgspec.Struct, frozen=True):
    """One sum over calls that have ended. `saved_nanousd`: what they would have cost more without any caching, which is
    below zero where writing to the cache cost more than it gave; `lost_nanousd`: what breaks cost.

    With a `cause` only the calls whose cache was broken by it, and of them only `calls` and `lost_nanousd`."""

    day: int | None = None
    team_id: str = ""
    cause: str = ""
    calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    saved_nanousd: int = 0
    lost_nanousd: int = 0

    @property
    def hit_rate(self) -> float | None:
        """How much of all prompts the caches served; None where there was no prompt."""
        prompt = self.input_tokens + self.cache_read_tokens + self.cache_write_tokens
        return self.cache_read_tokens / prompt if prompt else None


class BrokenCache(msgspec.Struct, frozen=True):
    """A call that was served less from the cache than the turn before had put there. `block`: the first part of the
    prompt that was another one; `before`: the turn before."""

    call_id: bytes
    started_at: int
    task_id: bytes
    team_id: str
    user_id: str
    key_id: str
    agent: str
    model: str
    cause: BreakCause
    block: str
    detail: str
    lost_tokens: int
    lost_nanousd: int
    before: bytes


class CacheFilter(msgspec.Struct, frozen=True):
    """Which calls; an empty field means any. `since` <= start of the call < `until`."""

    team_id: str = ""
    task_id: bytes = b""
    cause: str = ""
    since: int | None = None
    until: int | None = None
    part: Part | None = None


class CacheQueries(Protocol):
    """What may be asked. Everything is within one organisation."""

    async def sums(self, org_id: str, by: tuple[CacheDimension, ...], where: CacheFilter) -> list[CacheSum]:
        """Sums by these dimensions, the dearest losses first; by day the days in their order. Without `by` exactly
        one. By cause only what was lost to causes."""
        ...

    async def of_task(self, org_id: str, task_id: bytes) -> list[CacheSum]:
        """The sum of a task, then those by cause."""
        ...

    async def breaks(
        self, org_id: str, *, limit: int, before: bytes | None = None, where: CacheFilter
    ) -> list[BrokenCache]:
        """Broken caches, newest first, of calls that began before the call `before`."""
        ...

    async def breaks_of(self, org_id: str, call_ids: Collection[bytes]) -> dict[bytes, BrokenCache]:
        """The broken cache of each of these calls; a call whose cache was not broken is left out."""
        ...


REMEDIES: Mapping[BreakCause, Mapping[Language, str]] = {
    "tools_order": {
        "en": "The tools came in another order. Have the agent or its MCP servers list them in a fixed order.",
        "ja": "ツールの並び順が変わりました。エージェントや MCP サーバーがツールを常に同じ順で返すようにしてください。",
    },
    "tools_changed": {
        "en": "The tool list was another one. Add and remove tools or MCP servers between tasks, not within one.",
        "ja": "ツールの一覧が変わりました。ツールや MCP サーバーの追加・削除は、"
        "タスクの途中ではなく合間に行ってください。",
    },
    "system_volatile": {
        "en": "The system prompt holds a date, time, number or id that changes. Move it into the newest message, "
        "or take it out.",
        "ja": "システムプロンプトに、変わり続ける日付・時刻・数値・ID が含まれています。"
        "最新のメッセージに移すか、取り除いてください。",
    },
    "system_changed": {
        "en": "The system prompt was another one. Keep rules and mode instructions as they are within a task.",
        "ja": "システムプロンプトが変わりました。タスクの途中では、ルールやモードの指示を変えないでください。",
    },
    "history_edited": {
        "en": "An earlier message was rewritten or removed. Turn off pruning of old results in the agent, or "
        "prune seldom and much at once.",
        "ja": "以前のメッセージが書き換えられたか、取り除かれました。エージェントの古い結果の削除を無効にするか、"
        "まとめて回数を少なくしてください。",
    },
    "history_compacted": {
        "en": "The agent replaced its history by a summary. This is meant; smaller tasks need it less often.",
        "ja": "エージェントが履歴を要約に置き換えました。意図された動作です。タスクを小さくすると回数が減ります。",
    },
    "settings_changed": {
        "en": "Thinking or the choice of tools was set in another way, and the cache of messages hangs on both. "
        "Keep them as they are within a task.",
        "ja": "思考またはツール選択の設定が変わりました。メッセージのキャッシュは両方に依存します。"
        "タスクの途中では変えないでください。",
    },
    "model_changed": {
        "en": "The client asked for another model; each has a cache of its own. Change models between tasks.",
        "ja": "クライアントが別のモデルを指定しました。キャッシュはモデルごとに別です。"
        "モデルの変更はタスクの合間に行ってください。",
    },
    "stepped_down": {
        "en": "A budget sent the call to a cheaper model, whose cache did not know the prompt. Raise the budget, "
        "or set the step later.",
        "ja": "予算により、プロンプトをキャッシュしていない安価なモデルに送られました。予算を増やすか、"
        "切り替えの段階を遅らせてください。",
    },
    "rerouted": {
        "en": "The call went to another deployment than the turn before, such as after a failure of the first. "
        "Look at the attempts of both calls.",
        "ja": "前のターンとは別のデプロイメントに送られました（最初のものの障害などのため）。"
        "両方のコールの試行を確認してください。",
    },
    "expired": {
        "en": "The pause was longer than the cache lives. Ask for an hour's lifetime where people pause often.",
        "ja": "間隔がキャッシュの有効期間を超えました。中断が多い場合は、有効期間 1 時間を指定してください。",
    },
    "mark_missing": {
        "en": "The client no longer marked its prompt for the cache. Look at the agent's setting for prompt caching.",
        "ja": "クライアントがプロンプトにキャッシュの印を付けなくなりました。"
        "エージェントのプロンプトキャッシュ設定を確認してください。",
    },
    "mark_too_far": {
        "en": "More than 20 content blocks stood between the cached part and the next mark, further than a "
        "provider looks back. Set a mark in between, or ask for fewer tool calls at once.",
        "ja": "キャッシュ済みの部分と次の印の間に 20 を超えるコンテンツブロックがあり、"
        "プロバイダーが遡る範囲を超えました。間に印を置くか、一度に行うツール呼び出しを減らしてください。",
    },
    "unmarked": {
        "en": "The client does not mark its prompt, so that nothing is cached. Turn on prompt caching in the "
        "agent, or use the Anthropic door.",
        "ja": "クライアントがプロンプトに印を付けないため、何もキャッシュされません。"
        "エージェントのプロンプトキャッシュを有効にするか、Anthropic 形式の入口を使ってください。",
    },
    "below_minimum": {
        "en": "The prompt was shorter than the model's least to cache. Nothing to do: it is cached once it has grown.",
        "ja": "プロンプトが、モデルがキャッシュする最小の長さに達していませんでした。"
        "長くなればキャッシュされます。対応は不要です。",
    },
    "unknown": {
        "en": "The prompt was the same and in time: the provider did not serve it. Nothing here explains it.",
        "ja": "プロンプトは同じで、有効期間内でした。プロバイダーがキャッシュを使いませんでした。"
        "ここで分かる理由はありません。",
    },
}
"""What to do about each cause."""
