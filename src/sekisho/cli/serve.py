"""`sekisho serve`: start everything, say what to do next."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sekisho import __version__
from sekisho.app.serve import ServeError, Supervisor
from sekisho.cli.messages import say
from sekisho.cli.operator import OperatorError, request
from sekisho.settings import Settings, SettingsError, load_settings, resolve_secret
from sekisho.upstream.bedrock.default_chain import has_default_credentials

# Variables that begin with SEKISHO_ and are read elsewhere.
OTHER_NAMES = frozenset({"SEKISHO_LANG", "SEKISHO_KEY", "SEKISHO_URL", "SEKISHO_PROCESS"})
DEMO_ALIAS = "demo"
_FAVOURITES = ("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-5-5", "nova-pro")

ConfigOption = Annotated[Path | None, typer.Option(help="LiteLLM's config.yaml, also with a `sekisho:` section.")]
HomeOption = Annotated[Path | None, typer.Option(help="Where all state is kept (SEKISHO_HOME; ~/.sekisho).")]
HostOption = Annotated[str | None, typer.Option(help="The address to listen on (SEKISHO_HOST; 127.0.0.1).")]
PortOption = Annotated[int | None, typer.Option(help="The port to listen on, 0 for a free one (SEKISHO_PORT; 4000).")]


def serve(
    config: ConfigOption = None, home: HomeOption = None, host: HostOption = None, port: PortOption = None
) -> None:
    """Start Sekisho. Without configuration and AWS credentials it answers from its Bedrock simulator."""
    try:
        settings = _settings(config, {"HOME": home, "HOST": host, "PORT": port})
        is_simulated = _is_simulated(settings)
        supervisor = Supervisor(settings, str(settings.config_file or ""), is_simulated)
        signal.signal(signal.SIGINT, supervisor.request_stop)
        signal.signal(signal.SIGTERM, supervisor.request_stop)
    except SettingsError as error:
        typer.echo(f"sekisho: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        supervisor.start()
        if ready := supervisor.wait_ready():
            _greet(supervisor, is_simulated, ready)
            supervisor.watch()
    except ServeError as error:
        typer.echo(f"sekisho: {error}", err=True)
        raise typer.Exit(1) from None
    finally:
        supervisor.stop()
    typer.echo(say("Sekisho has stopped.", "関所を閉じました。"))


def _settings(config: Path | None, options: Mapping[str, object]) -> Settings:
    """The effective settings: options win over the environment, that over the file. Raises SettingsError."""
    environment = dict(os.environ)
    environment.update({f"SEKISHO_{name}": str(value) for name, value in options.items() if value is not None})
    if config is not None:
        environment["SEKISHO_CONFIG_FILE"] = str(config.resolve())
    path = environment.get("SEKISHO_CONFIG_FILE")
    settings = load_settings(environment, _file_section(Path(path), environment) if path else None, OTHER_NAMES)
    if settings.master_key:
        resolve_secret(settings.master_key, environment)  # one that is not there must stop the start here
    return settings


def _file_section(path: Path, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """The settings of the configuration file; read whole, so that a mistake in it stops the start here."""
    from sekisho.config.configuration import load_config  # noqa: PLC0415  YAML and catalog only when there is a file
    from sekisho.ledger.catalog import load_catalog  # noqa: PLC0415

    return load_config(path, environment, load_catalog()).settings


def _is_simulated(settings: Settings) -> bool:
    if settings.simulator == "auto":
        return settings.config_file is None and not has_default_credentials(os.environ)
    return settings.simulator == "on"


def _greet(supervisor: Supervisor, is_simulated: bool, ready: Mapping[str, object]) -> None:
    """Say where it is, with which key it opens, and what to paste where."""
    url = f"http://{supervisor.local_host}:{supervisor.port}"
    home = supervisor.settings.home
    typer.echo(say(f"Sekisho {__version__} is open at {url}", f"関所 {__version__} を開きました: {url}"))
    if is_simulated:
        typer.echo(
            say(
                "Bedrock simulator: no configuration and no AWS credentials were found. "
                "Answers are scripted; nothing is billed.",
                "Bedrock シミュレーターで動いています（設定も AWS 認証情報も見つかりません）。"
                "応答は台本どおりで、課金はありません。",
            )
        )
    try:
        supervisor.wait_control()
        key = _create_first_key(home) if is_simulated else None
        link = url + request(home, "POST", "/internal/console-codes")["path"]
        model = _favourite_model(home)
    except OperatorError as error:
        typer.echo(f"sekisho: {error}", err=True)
        return
    typer.echo("")
    if key:
        typer.echo(say(f"Virtual key   {key}   (shown only now)", f"仮想キー      {key}   （表示は今回だけです）"))
    elif ready.get("keys"):
        typer.echo(
            say(
                "Virtual key   as created before; a new one: sekisho key create",
                "仮想キー      作成済みのもの。新しく作る: sekisho key create",
            )
        )
    else:
        typer.echo(
            say("Virtual key   none yet: sekisho key create", "仮想キー      まだありません: sekisho key create")
        )
    typer.echo(say(f"Console       {link}   (opens once)", f"コンソール    {link}   （一度だけ開きます）"))
    _say_how_to_use(url, key or "$SEKISHO_KEY", model)


def _create_first_key(home: Path) -> str | None:
    """A new key if there is none at all yet: the raw key, which nobody will see again."""
    if request(home, "GET", "/admin/v1/keys?limit=1")["keys"]:
        return None
    return str(request(home, "POST", "/admin/v1/keys", {"alias": DEMO_ALIAS})["key"])


def _favourite_model(home: Path) -> str:
    """The model to suggest: one that agents work well with, else the first on offer."""
    offered: list[str] = request(home, "GET", "/internal/models")["models"]
    return next((name for name in _FAVOURITES if name in offered), offered[0] if offered else "MODEL")


def _say_how_to_use(url: str, key: str, model: str) -> None:
    typer.echo("")
    typer.echo(
        say(
            f"Cline         API Provider: LiteLLM · Base URL: {url} · API Key: the key above · Model: {model}",
            f"Cline         API Provider: LiteLLM ・ Base URL: {url} ・ API Key: 上のキー ・ Model: {model}",
        )
    )
    typer.echo(f"Claude Code   ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={key} ANTHROPIC_MODEL={model} claude")
    typer.echo(
        say(
            "Any agent     sekisho setup cline|claude|codex|opencode|kilo|continue|aider",
            "設定の書込み  sekisho setup cline|claude|codex|opencode|kilo|continue|aider",
        )
    )
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}'
    typer.echo("")
    typer.echo(
        f"curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\"
    )
    typer.echo(f"  -d '{body}'")
    typer.echo("")
    typer.echo(say("Ctrl-C stops.", "Ctrl-C で終了します。"))
