"""The value types that rooms share. Frozen, no behaviour beyond arithmetic on themselves.

Money: prices are integer pico-USD per token; costs are integer nano-USD. Times: microseconds since the epoch, UTC.
"""

from typing import Literal

import msgspec

Provider = Literal["bedrock", "anthropic", "openai"]
Wire = Literal["bedrock_invoke", "bedrock_converse", "anthropic_messages", "openai_chat"]
Door = Literal["anthropic_messages", "openai_chat", "openai_responses", "bedrock_converse", "bedrock_invoke"]
StopReason = Literal[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
]
BreakCause = Literal[
    "tools_order",
    "tools_changed",
    "system_volatile",
    "system_changed",
    "history_edited",
    "history_compacted",
    "settings_changed",
    "model_changed",
    "stepped_down",
    "rerouted",
    "expired",
    "mark_missing",
    "mark_too_far",
    "unmarked",
    "below_minimum",
    "unknown",
]
"""Why a provider's prompt cache did not serve what it could have. "stepped_down" and "rerouted" are our own doing."""
CallStatus = Literal["ok", "refused", "failed", "interrupted"]
ContentLevel = Literal["none", "masked", "full"]  # how much of what calls say is kept


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Token counts of one answer. Disjoint classes, except `reasoning_tokens`, which is a part of `output_tokens`."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


class TokenPrices(msgspec.Struct, frozen=True, array_like=True):
    """Pico-USD per token of each class."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int


class PriceStep(msgspec.Struct, frozen=True, array_like=True):
    """The prices of the whole call once its prompt has more than `above_tokens` tokens."""

    above_tokens: int
    prices: TokenPrices


class Price(msgspec.Struct, frozen=True, array_like=True):
    """What a deployment charges. `steps` rise by `above_tokens`."""

    version: str
    scope: str
    base: TokenPrices
    steps: tuple[PriceStep, ...] = ()


class Quirks(msgspec.Struct, frozen=True):
    """How a model family deviates on the wire; data of the catalog, read by codecs and the simulator.

    `thinking`: the accepted forms. `sampling`: whether temperature, top_p, top_k are taken.
    `cache_min_tokens` 0 means no explicit prompt caching.
    """

    thinking: tuple[Literal["enabled", "adaptive", "disabled"], ...] = ()
    thinking_always_on: bool = False
    effort: bool = False
    sampling: bool = True
    prefill: bool = True
    forced_tool_choice: bool = True
    tools: bool = True
    system: bool = True
    images: bool = False
    documents: bool = False
    json_schema: bool = False
    cache_min_tokens: int = 0
    cache_ttl_1h: bool = False


class Deployment(msgspec.Struct, frozen=True):
    """One model at one provider endpoint. `credential` names how to authenticate; it is a reference, never a secret."""

    id: str
    provider: Provider
    wire: Wire
    endpoint: str
    upstream_model: str
    region: str = ""
    account: str = ""
    credential: str = ""
    price: Price | None = None


class Model(msgspec.Struct, frozen=True):
    """A public model name and the deployments that can serve it, in order of preference."""

    name: str
    family: str
    context_tokens: int
    max_output_tokens: int
    quirks: Quirks
    deployments: tuple[Deployment, ...]
    aliases: tuple[str, ...] = ()


class VirtualKey(msgspec.Struct, frozen=True):
    """What the call plane knows of a key. `digest`: HMAC-SHA-256 of the key under the pepper; empty `models`: all.

    `previous_digest`: that of the raw key before a rotation, good until `previous_until`. `content_level`: its team's.
    `cut_streams`: whether streams under way are cut when it is revoked; None: as the call process is set.
    """

    id: str
    org_id: str
    digest: bytes
    alias: str = ""
    user_id: str = ""
    team_id: str = ""
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    expires_at: int | None = None
    blocked: bool = False
    is_master: bool = False
    previous_digest: bytes = b""
    previous_until: int = 0
    content_level: ContentLevel = "none"
    cut_streams: bool | None = None


Language = Literal["en", "ja"]
ScopeKind = Literal["org", "team", "member", "user", "key", "tag"]
WindowKind = Literal["day", "week", "month", "period", "fixed"]
BudgetAction = Literal["slow_down", "step_down", "refuse"]
END_OF_TIME = 253_402_300_799_000_000  # the last second of the year 9999


class Scope(msgspec.Struct, frozen=True, array_like=True):
    """Whose money or rate it is. `id` of a member is "team/user"."""

    kind: ScopeKind
    id: str


class Window(msgspec.Struct, frozen=True):
    """How a budget's time is cut.

    "day", "week" (from Monday) and "month" follow the calendar of `time_zone`. "period" is `period_s` seconds long,
    again and again from `starts_at`. "fixed" is one window from `starts_at` to `ends_at`. Microseconds.
    """

    kind: WindowKind
    time_zone: str = "UTC"
    period_s: int = 0
    starts_at: int = 0
    ends_at: int = END_OF_TIME


class BudgetStep(msgspec.Struct, frozen=True, array_like=True):
    """What happens to calls once `at_percent` of a budget is spent. `model`: the one that a step-down goes to."""

    at_percent: int
    action: BudgetAction
    model: str = ""


class Budget(msgspec.Struct, frozen=True):
    """How much a scope may spend in a window, on one model or (empty `model`) on all.

    A hard budget refuses what might not fit, a soft one never does. `thresholds`: per cent of the amount at which an
    event is due; `steps`: at which something happens to calls. `increase_nanousd` is on top of the amount until
    `increase_until`. `credit_nanousd` is given back in the window that began at `credit_from` (a manual reset or
    credit). Per cent are those of the amount with its increase, and what was given back is not spent.
    """

    id: str
    scope: Scope
    amount_nanousd: int
    window: Window
    model: str = ""
    is_hard: bool = True
    thresholds: tuple[int, ...] = ()
    increase_nanousd: int = 0
    increase_until: int = 0
    credit_nanousd: int = 0
    credit_from: int = 0
    steps: tuple[BudgetStep, ...] = ()


class RateLimit(msgspec.Struct, frozen=True):
    """How fast a scope may call, on one model or (empty `model`) on all. None: no limit of that sort.

    `nanousd_per_task`, `calls_per_task`: how far each single task may go that makes such a call."""

    id: str
    scope: Scope
    model: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None
    nanousd_per_task: int | None = None
    calls_per_task: int | None = None


class Hours(msgspec.Struct, frozen=True, array_like=True):
    """A part of each week: on `days` (0: Monday), from `from_minute` to before `until_minute`, in `time_zone`.

    One that ends at or before its begin goes on over midnight and belongs to the day on which it began."""

    days: tuple[int, ...]
    from_minute: int
    until_minute: int
    time_zone: str = "UTC"


class Policy(msgspec.Struct, frozen=True):
    """What a scope may use. Each field lists what is allowed, empty: everything; policies of several scopes all hold.

    Names may have `*` and `?`. `models`: public names. `families`: of the catalog ("claude", "nova"), whatever name the
    operator gave a model. `geographies`: where Bedrock may answer: "in-region", or the prefix of a geographic or the
    global inference profile ("jp", "apac", "us", "global"). `agents`: what a client says it is. Times outside all
    `hours` are forbidden, and so are `holidays`: dates ("2026-12-29") or first and last ones ("2026-12-29/2027-01-03")
    in the time zones of the hours. `prefers`: which deployments come first ("region:ap-northeast-1", "account:prod").
    `max_output_tokens`: no answer is longer."""

    id: str
    scope: Scope
    name: str = ""
    models: tuple[str, ...] = ()
    providers: tuple[Provider, ...] = ()
    regions: tuple[str, ...] = ()
    geographies: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()
    families: tuple[str, ...] = ()
    holidays: tuple[str, ...] = ()
    prefers: tuple[str, ...] = ()
    max_output_tokens: int | None = None


class AwsCredential(msgspec.Struct, frozen=True, tag="aws"):
    """Keys to sign with. `expires_at` in microseconds, None for keys that do not expire."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    expires_at: int | None = None

    def __repr__(self) -> str:
        return f"AwsCredential({self.access_key_id[:4]}…, ***)"


class BearerCredential(msgspec.Struct, frozen=True, tag="bearer"):
    """A secret sent as it is: a Bedrock API key, an Anthropic or OpenAI key."""

    token: str

    def __repr__(self) -> str:
        return "BearerCredential(***)"


class CredentialSource(msgspec.Struct, frozen=True):
    """Where a named credential comes from; read by the control plane only.

    `default`: the AWS chain (environment, shared files, web identity, container, instance). `profile`: one of the
    shared files. `static`: `access_key_id`, `secret_access_key`, `session_token`. `assume_role`: `role_arn` by way of
    `base`, else of the keys or profile given beside it, else of the default chain, through STS in `region` or at
    `sts_endpoint`. `bearer`: `token`, a Bedrock API key or another provider's key. Secrets are references (`env:NAME`,
    `file:PATH`) or the secret itself."""

    kind: Literal["default", "profile", "static", "assume_role", "bearer"]
    profile: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    token: str = ""
    role_arn: str = ""
    session_name: str = "sekisho"
    external_id: str = ""
    session_s: int = 3600
    region: str = ""
    sts_endpoint: str = ""
    base: "CredentialSource | None" = None

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in ("secret_access_key", "session_token", "token", "external_id"):
            if not str(shown[name]).startswith(("env:", "file:")):
                shown[name] = "***" if shown[name] else ""
        return f"CredentialSource({', '.join(f'{name}={value!r}' for name, value in shown.items() if value)})"


class Snapshot(msgspec.Struct, frozen=True):
    """All that the call plane needs to decide, as of `epoch`. Made by the control plane, replaced whole.

    `leads`: by team, the names of those who may be asked for more. `languages`: by user, the one the user is spoken to
    in. `content_generation`: it grows when content is deleted that calls under way may build on."""

    epoch: int
    org_id: str
    keys: tuple[VirtualKey, ...]
    models: tuple[Model, ...]
    simulated: bool = False
    budgets: tuple[Budget, ...] = ()
    limits: tuple[RateLimit, ...] = ()
    leads: dict[str, tuple[str, ...]] = {}
    policies: tuple[Policy, ...] = ()
    languages: dict[str, Language] = {}
    content_generation: int = 0


Credential = AwsCredential | BearerCredential


class Delivery(msgspec.Struct, frozen=True):
    """What a call process receives: the snapshot and the secrets its deployments name. Never written to disk."""

    snapshot: Snapshot
    credentials: dict[str, Credential] = {}
