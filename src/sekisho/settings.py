"""What the operator may set, read once at start: environment (SEKISHO_*), then configuration file, then default.

Above: `app` and `cli`, which hand single values to the parts. Below: nothing. A name that is not known or a value that
is not valid stops the start and is named; all problems are reported together. Keys, models, budgets and rules are data,
not settings. Each setting has a heading in docs/en/settings.md and docs/ja/settings.md.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import msgspec.inspect

from sekisho.values import ContentLevel

PREFIX = "SEKISHO_"
MAX_SECRET_BYTES = 65_536
PEPPER_BYTES = 32

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_SECRETS = ("master_key", "pepper", "database_url", "valkey_url", "content_key", "oidc_client_secret", "https_proxy")
_DATABASE_URL = re.compile(r"postgres(ql)?://[^\s/]*/[^\s/?#]+(\?\S*)?")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d{1,2}")
# Names that other tools on the same machine already use, tried after our own.
_FALLBACKS = {
    "https_proxy": ("HTTPS_PROXY", "https_proxy"),
    "no_proxy": ("NO_PROXY", "no_proxy"),
    "aws_region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "bedrock_endpoint": ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_BEDROCK_RUNTIME_ENDPOINT"),
}


class SettingsError(Exception):
    """The operator's settings or configuration cannot be used. `problems`: one sentence each, all of them."""

    def __init__(self, problems: Collection[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class SecretRef(msgspec.Struct, frozen=True):
    """Where a secret is. `value` is a variable's name, a path, or, for "literal", the secret itself; never printed."""

    kind: Literal["env", "file", "literal"]
    value: str

    def __repr__(self) -> str:
        return "SecretRef(***)" if self.kind == "literal" else f"SecretRef({self.kind}:{self.value})"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The effective settings. Times in seconds, sizes in bytes."""

    home: Path = Path("~/.sekisho")
    config_file: Path | None = None
    time_zone: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "UTC"
    master_key: SecretRef | None = None
    pepper: SecretRef | None = None
    database_url: SecretRef | None = None
    database_pool_size: Annotated[int, msgspec.Meta(ge=3, le=200)] = 10
    replicated: bool = False
    confirm_timeout_s: Annotated[float, msgspec.Meta(ge=2, le=60)] = 5.0
    lost_after_s: Annotated[float, msgspec.Meta(ge=5, le=3_600)] = 30.0
    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 4000
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    session_idle_s: Seconds = 3600.0
    session_life_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 43_200.0
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretRef | None = None
    oidc_scopes: Annotated[str, msgspec.Meta(min_length=1)] = "openid profile email"
    oidc_user_claim: Annotated[str, msgspec.Meta(min_length=1)] = "preferred_username"
    oidc_groups_claim: Annotated[str, msgspec.Meta(min_length=1)] = "groups"
    oidc_name: Annotated[str, msgspec.Meta(max_length=60)] = ""
    oidc_trusts_email: bool = False
    https_proxy: SecretRef | None = None
    no_proxy: str = ""
    ca_file: Path | None = None
    call_processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    aws_region: str = "us-east-1"
    bedrock_endpoint: str = ""
    allow_global_profiles: bool = True
    simulator: Literal["auto", "on", "off"] = "auto"
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000_000)] = 25_000_000
    connect_timeout_s: Seconds = 10.0
    first_byte_timeout_s: Seconds = 600.0
    idle_timeout_s: Seconds = 300.0
    call_timeout_s: Seconds = 3600.0
    drain_timeout_s: Seconds = 120.0
    client_send_timeout_s: Seconds = 120.0
    keepalive_s: Seconds = 15.0
    cut_revoked_streams: bool = False
    loop_slow_after: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 6
    loop_stop_after: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 12
    shutdown_grace_s: Seconds = 30.0
    valkey_url: SecretRef | None = None
    valkey_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.5
    limits_fail_mode: Literal["closed", "open"] = "closed"
    journal_durability: Literal["process", "power", "cluster"] = "process"
    content_level: ContentLevel | None = None
    content_days: Annotated[int, msgspec.Meta(ge=1, le=3_650)] = 30
    content_key: SecretRef | None = None
    content_store: str = ""
    content_s3_kms_key: str = ""
    content_spool_bytes: Annotated[int, msgspec.Meta(ge=20_000_000, le=1_000_000_000_000)] = 1_000_000_000
    leads_read_content: bool = False
    language: Literal["auto", "en", "ja"] = "auto"  # auto: that of who starts it
    log_level: Literal["debug", "info", "warning", "error"] = "info"


FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


def load_settings(
    env: Mapping[str, str], file: Mapping[str, Any] | None = None, other_names: Collection[str] = ()
) -> Settings:
    """The effective settings. `file`: the `sekisho:` section of the configuration file.

    `other_names`: variables that begin with SEKISHO_ and belong to other parts. Raises SettingsError."""
    values: dict[str, Any] = {}
    problems = [
        *(
            _unknown("environment variable", name, [PREFIX + field.upper() for field in FIELDS])
            for name in env
            if name.startswith(PREFIX) and name not in other_names and name.removeprefix(PREFIX).lower() not in FIELDS
        ),
        *(_unknown("setting", str(name), list(FIELDS)) for name in file or {} if name not in FIELDS),
    ]
    for name in FIELDS:
        found = _find(name, env, file or {})
        if found is None:
            continue
        source, raw = found
        try:
            values[name] = _parse(name, raw, source if raw is env.get(source) else "")
        except msgspec.ValidationError:
            problems.append(f"{source} must be {_wanted(FIELDS[name].type)}, not '{raw}'.")
        except ValueError as error:
            problems.append(f"{source}: {error}.")
    if values.get("call_processes", 1) > 1 and values.get("valkey_url") is None:
        problems.append(
            "call_processes above 1 needs valkey_url (SEKISHO_VALKEY_URL): without a Valkey or Redis each process "
            "counts budgets and limits in its own memory, and would allow the whole amount."
        )
    if problems:
        raise SettingsError(problems)
    settings = Settings(**values)
    if conflicts := _conflicts(settings):
        raise SettingsError(conflicts)
    return msgspec.structs.replace(settings, home=settings.home.expanduser())


def _conflicts(settings: Settings) -> list[str]:
    """Combinations that would lose money or keys, one sentence each."""
    problems = []
    if settings.journal_durability == "cluster" and settings.database_url is None:
        problems.append("journal_durability cluster needs PostgreSQL: set database_url.")
    if settings.replicated:
        if settings.database_url is None:
            problems.append("replicated needs PostgreSQL, which all replicas share: set database_url.")
        if settings.journal_durability != "cluster":
            problems.append(
                "replicated needs journal_durability cluster: with less, the calls of a lost machine are lost too."
            )
        if settings.valkey_url is None:
            problems.append(
                "replicated needs Valkey, in which all replicas count budgets and limits together: set valkey_url."
            )
        if settings.content_level not in (None, "none") and not settings.content_store:
            problems.append(
                "replicated needs content_store in S3: content in one machine's files is not there for others."
            )
        if settings.pepper is None:
            problems.append(
                "replicated needs pepper, the same for all replicas: with one of its own a replica knows no key."
            )
    if settings.oidc_issuer and not (settings.oidc_client_id and settings.public_url):
        problems.append(
            "oidc_issuer needs oidc_client_id, and public_url, to which the identity provider sends people back."
        )
    if settings.lost_after_s < 2 * settings.confirm_timeout_s:
        problems.append(
            "lost_after_s must be at least twice confirm_timeout_s: a replica must have closed before others settle "
            "its calls."
        )
    return problems


def parse_secret(text: str) -> SecretRef:
    """Read `env:NAME`, `os.environ/NAME` or `file:PATH`; anything else is the secret itself."""
    for prefix, kind in (("env:", "env"), ("os.environ/", "env"), ("file:", "file")):
        if text.startswith(prefix):
            return SecretRef("env" if kind == "env" else "file", text.removeprefix(prefix))
    return SecretRef("literal", text)


def resolve_secret(ref: SecretRef, env: Mapping[str, str]) -> str:
    """The secret itself. Raises SettingsError, which names the place and never the secret."""
    if ref.kind == "literal":
        return ref.value
    if ref.kind == "env":
        if not env.get(ref.value):
            raise SettingsError([f"The environment variable {ref.value} is not set or is empty."])
        return env[ref.value]
    try:
        with Path(ref.value).expanduser().open("rb") as file:
            secret = file.read(MAX_SECRET_BYTES + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"The secret file {ref.value} cannot be read: {error}."]) from error
    if not 0 < len(secret) <= MAX_SECRET_BYTES:
        raise SettingsError([f"The secret file {ref.value} is empty or too large."])
    return secret


def resolve_pepper(ref: SecretRef, env: Mapping[str, str], name: str = "pepper") -> bytes:
    """The pepper, or another key: a file of exactly 32 bytes as it is, anything else as text. Raises SettingsError,
    which names the place and never the secret."""
    try:
        if ref.kind == "file" and (path := Path(ref.value).expanduser()).stat().st_size == PEPPER_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise SettingsError([f"The secret file {ref.value} cannot be read: {error}."]) from error
    pepper = resolve_secret(ref, env).encode()
    if len(pepper) < PEPPER_BYTES:
        raise SettingsError([f"{name} must have at least {PEPPER_BYTES} characters, chosen at random."])
    return pepper


def resolve_database_url(ref: SecretRef, env: Mapping[str, str]) -> str:
    """The URL of the database. Raises SettingsError, which never says the URL: it may hold a password."""
    url = resolve_secret(ref, env)
    if not _DATABASE_URL.fullmatch(url):
        raise SettingsError(["database_url must look like postgresql://USER:PASSWORD@HOST:5432/NAME."])
    return url


def is_region(text: str) -> bool:
    """Whether the text has the form of an AWS Region's name."""
    return _REGION.fullmatch(text) is not None


def parse_region(text: str) -> str:
    """An AWS Region's name. It becomes a part of host names, so nothing else may pass. Raises ValueError."""
    if not is_region(text):
        raise ValueError(f"'{text}' is not the name of an AWS Region")
    return text


def parse_time_zone(text: str) -> str:
    """The name of a time zone, such as "Asia/Tokyo". Raises ValueError."""
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"'{text}' is not the name of a time zone") from error


def parse_content_store(text: str) -> str:
    """Where packs of content lie: s3://BUCKET or s3://BUCKET/PREFIX. Raises ValueError."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w./-]*)?", text):
        raise ValueError(f"'{text}' is not an address like s3://BUCKET/PREFIX")
    return text.rstrip("/")


def parse_endpoint(text: str) -> str:
    """The address of an upstream, without a slash at its end. Raises ValueError."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise ValueError(f"'{text}' is not an http or https address without user, query and fragment")
    return text.rstrip("/")


def parse_networks(raw: Any) -> tuple[str, ...]:
    """Addresses and networks in CIDR form, as a list or with commas, in one spelling. Raises ValueError for anything
    else, and for a network of everybody."""
    found: list[str] = []
    for text in raw.split(",") if isinstance(raw, str) else raw if isinstance(raw, list) else [raw]:
        try:
            network = ip_network(str(text).strip())
        except ValueError as error:
            raise ValueError(f"'{text}' is not an address or a network such as 10.0.0.0/24") from error
        if not network.prefixlen:
            raise ValueError(f"'{text}' would trust everybody: name the addresses of the proxies")
        found.append(str(network))
    return tuple(found)


def _find(name: str, env: Mapping[str, str], file: Mapping[str, Any]) -> tuple[str, Any] | None:
    variable = PREFIX + name.upper()
    if env.get(variable):  # set to nothing is not set
        return variable, env[variable]
    if file.get(name) is not None:
        return f"sekisho.{name}", file[name]
    return next(((other, env[other]) for other in _FALLBACKS.get(name, ()) if env.get(other)), None)


def _parse(name: str, raw: Any, variable: str) -> Any:
    """The value of one setting. `variable`: the environment variable that holds `raw`, empty if it is from the file."""
    if name in _SECRETS:
        ref = parse_secret(_text(raw))
        return SecretRef("env", variable) if variable and ref.kind == "literal" else ref
    if name == "aws_region":
        return parse_region(_text(raw))
    if name == "time_zone":
        return parse_time_zone(_text(raw))
    if name == "trusted_proxies":
        return parse_networks(raw)
    if name == "content_store":
        return parse_content_store(_text(raw)) if raw else ""
    if name in ("bedrock_endpoint", "public_url", "oidc_issuer"):
        return parse_endpoint(_text(raw)) if raw else ""
    kind = FIELDS[name].type
    if Path in (kind, *get_args(kind)):
        return Path(_text(raw)).expanduser()
    return msgspec.convert(raw, kind, strict=False)


def _wanted(kind: Any) -> str:
    """In words, what values a setting of this type takes."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case msgspec.inspect.FloatType(gt=above, le=most):
            return f"a number above {above:g} and not above {most:g}"
        case msgspec.inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case _:
            return "a text that is not empty or too long"


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw:
        raise ValueError("a text is expected")
    return raw


def _unknown(what: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"There is no {what} {name}." + (f" Did you mean {close[0]}?" if close else "")
