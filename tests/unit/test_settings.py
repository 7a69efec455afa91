"""Settings: who wins, what stops the start, and that secrets stay secrets."""

import re
from pathlib import Path

import msgspec
import pytest

from sekisho.settings import (
    FIELDS,
    SecretRef,
    Settings,
    SettingsError,
    load_settings,
    parse_endpoint,
    parse_secret,
    resolve_secret,
)

DOCS = Path(__file__).parents[2] / "docs"


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings({"HOME": "/home/alice", "PATH": "/bin"})
    assert (settings.host, settings.port, settings.aws_region) == ("127.0.0.1", 4000, "us-east-1")
    assert settings.home == Path("~/.sekisho").expanduser()
    assert (settings.simulator, settings.journal_durability, settings.call_timeout_s) == ("auto", "process", 3600.0)


def test_the_environment_wins_over_the_file_and_the_file_over_the_default() -> None:
    settings = load_settings({"SEKISHO_PORT": "5000"}, {"port": 6000, "keepalive_s": 5})
    assert (settings.port, settings.keepalive_s, settings.host) == (5000, 5.0, "127.0.0.1")


def test_every_kind_of_value_is_read_from_text() -> None:
    settings = load_settings(
        {
            "SEKISHO_HOME": "/var/lib/sekisho",
            "SEKISHO_CONFIG_FILE": "/etc/sekisho/config.yaml",
            "SEKISHO_CONNECT_TIMEOUT_S": "2.5",
            "SEKISHO_ALLOW_GLOBAL_PROFILES": "false",
            "SEKISHO_SIMULATOR": "off",
        }
    )
    assert settings.home == Path("/var/lib/sekisho")
    assert settings.config_file == Path("/etc/sekisho/config.yaml")
    assert settings.connect_timeout_s == 2.5
    assert settings.allow_global_profiles is False
    assert settings.simulator == "off"


@pytest.mark.parametrize(
    ("env", "region"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "ap-northeast-1"}, "ap-northeast-1"),
        ({"AWS_REGION": "ap-northeast-1", "SEKISHO_AWS_REGION": "us-west-2"}, "us-west-2"),
        ({"AWS_REGION": ""}, "us-east-1"),
        ({"SEKISHO_AWS_REGION": "", "AWS_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_the_region_falls_back_to_the_one_of_the_aws_tools(env: dict[str, str], region: str) -> None:
    assert load_settings(env).aws_region == region


def test_the_files_region_wins_over_the_one_of_the_aws_tools() -> None:
    assert load_settings({"AWS_REGION": "eu-west-1"}, {"aws_region": "ap-northeast-1"}).aws_region == "ap-northeast-1"


def test_the_bedrock_endpoint_of_the_aws_tools_is_honoured() -> None:
    env = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://vpce-1.bedrock-runtime.example/"}
    assert load_settings(env).bedrock_endpoint == "https://vpce-1.bedrock-runtime.example"


def test_all_problems_are_reported_at_once_and_by_name() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(
            {"SEKISHO_PROT": "1", "SEKISHO_PORT": "seventy", "SEKISHO_AWS_REGION": "evil.example/#"},
            {"max_body_byte": 1, "keepalive_s": -1, "log_level": "loud"},
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 6
    assert "SEKISHO_PROT. Did you mean SEKISHO_PORT?" in text
    assert "setting max_body_byte. Did you mean max_body_bytes?" in text
    for name in ("SEKISHO_AWS_REGION: ", "keepalive_s must be ", "log_level must be "):
        assert name in text
    assert "SEKISHO_PORT must be a whole number from 0 to 65535, not 'seventy'." in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("home", 5),
        ("port", 70_000),
        ("call_processes", 0),
        ("host", ""),
        ("simulator", "maybe"),
    ],
)
def test_a_value_out_of_range_stops_the_start(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({}, {name: value})


def test_variables_of_other_parts_are_left_alone() -> None:
    assert load_settings({"SEKISHO_API_KEY": "x"}, other_names={"SEKISHO_API_KEY"}) == load_settings({})


def test_a_master_key_in_the_environment_stays_there() -> None:
    settings = load_settings({"SEKISHO_MASTER_KEY": "sk-very-secret"})
    assert settings.master_key == SecretRef("env", "SEKISHO_MASTER_KEY")
    assert "very-secret" not in repr(settings)


def test_a_reference_in_the_environment_is_followed() -> None:
    assert load_settings({"SEKISHO_MASTER_KEY": "file:/run/key"}).master_key == SecretRef("file", "/run/key")


def test_a_literal_secret_in_the_file_prints_as_stars() -> None:
    settings = load_settings({}, {"master_key": "sk-very-secret"})
    assert settings.master_key is not None
    assert resolve_secret(settings.master_key, {}) == "sk-very-secret"
    assert "very-secret" not in repr(settings) and "***" in repr(settings)


@pytest.mark.parametrize("text", ["env:THE_KEY", "os.environ/THE_KEY"])
def test_a_secret_in_a_variable_is_resolved(text: str) -> None:
    assert resolve_secret(parse_secret(text), {"THE_KEY": "secret"}) == "secret"


def test_a_secret_in_a_file_is_resolved_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    assert resolve_secret(parse_secret(f"file:{tmp_path}/key"), {}) == "secret"


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "huge").write_text("x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for ref in ("env:THE_KEY", *(f"file:{tmp_path}/{name}" for name in ("empty", "huge", "binary", "missing"))):
        with pytest.raises(SettingsError, match=re.escape(ref.split(":", 1)[1])):
            resolve_secret(parse_secret(ref), {"THE_KEY": ""})


@pytest.mark.parametrize("text", ["ftp://x", "https://user@host", "https://host?x=1", "host:443", "https://"])
def test_an_endpoint_is_a_plain_web_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_endpoint(text)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_setting_has_a_heading_in_the_docs_and_every_heading_a_setting(language: str) -> None:
    text = (DOCS / language / "settings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### `(\w+)`$", text, re.MULTILINE)) == set(FIELDS)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_docs_state_every_default(language: str) -> None:
    text = (DOCS / language / "settings.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    for name, field in FIELDS.items():
        default = field.default
        shown = msgspec.json.encode(default).decode().strip('"') if isinstance(default, (bool, float)) else str(default)
        if isinstance(default, float):
            shown = f"{default:g}"
        if default in (None, "", ()):
            continue
        assert f"`{shown}`" in sections[name], name


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        load_settings({}).port = 1  # type: ignore[misc]
    assert isinstance(load_settings({}), Settings)


def test_more_call_processes_than_count_together_are_refused_naming_what_is_missing() -> None:
    with pytest.raises(SettingsError, match=r"call_processes above 1 needs valkey_url .*allow the whole amount"):
        load_settings({"SEKISHO_CALL_PROCESSES": "2"})


def test_a_valkey_allows_several_call_processes_and_its_password_is_never_shown() -> None:
    settings = load_settings({"SEKISHO_CALL_PROCESSES": "3", "SEKISHO_VALKEY_URL": "redis://:hush@valkey:6379/1"})
    assert settings.call_processes == 3
    assert "hush" not in repr(settings)
    assert settings.valkey_url == SecretRef("env", "SEKISHO_VALKEY_URL")


@pytest.mark.parametrize(
    ("raw", "networks"),
    [("10.0.0.5, 2001:db8::/32", ("10.0.0.5/32", "2001:db8::/32")), (["10.0.0.0/24"], ("10.0.0.0/24",))],
)
def test_trusted_proxies_are_networks_with_commas_or_as_a_list(raw: str | list[str], networks: tuple[str, ...]) -> None:
    assert load_settings({}, {"trusted_proxies": raw}).trusted_proxies == networks


@pytest.mark.parametrize("raw", ["0.0.0.0/0", "::/0", "10.0.0.1/24", "proxy.example.com", "10.0.0.1,,", 7, "*"])
def test_trusted_proxies_that_are_everybody_or_nobody_stop_the_start(raw: object) -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        load_settings({}, {"trusted_proxies": raw})
