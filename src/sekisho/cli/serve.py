"""`sekisho serve`: start everything, say what to do next."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sekisho import __version__
from sekisho.app.serve import ServeError, Supervisor
from sekisho.cli.messages import language, program, say
from sekisho.cli.operator import OperatorError
from sekisho.settings import (
    Settings,
    SettingsError,
    load_settings,
    resolve_database_url,
    resolve_pepper,
    resolve_secret,
)
from sekisho.upstream.bedrock.default_chain import has_default_credentials

# Variables that begin with SEKISHO_ and are read elsewhere.
OTHER_NAMES = frozenset({"SEKISHO_LANG", "SEKISHO_KEY", "SEKISHO_URL", "SEKISHO_PROCESS"})

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help=say(
            "LiteLLM's config.yaml, also with a `sekisho:` section.",
            "LiteLLM の config.yaml（`sekisho:` の節も書けます）。",
        )
    ),
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        help=say(
            "Where all state is kept (SEKISHO_HOME; ~/.sekisho).",
            "データフォルダー（SEKISHO_HOME、初期値 ~/.sekisho）。",
        )
    ),
]
HostOption = Annotated[
    str | None,
    typer.Option(
        help=say(
            "The address to listen on (SEKISHO_HOST; 127.0.0.1).",
            "待ち受けるアドレス（SEKISHO_HOST、初期値 127.0.0.1）。",
        )
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65_535,
        help=say(
            "The port to listen on, 0 for a free one (SEKISHO_PORT; 4000).",
            "待ち受けるポート。0 なら空きポート（SEKISHO_PORT、初期値 4000）。",
        ),
    ),
]


def serve(
    config: ConfigOption = None, home: HomeOption = None, host: HostOption = None, port: PortOption = None
) -> None:
    try:
        settings = effective_settings(config, {"HOME": home, "HOST": host, "PORT": port})
    except SettingsError as error:
        for problem in error.problems:
            _complain(problem)
        _complain(say("Nothing was started.", "上の設定を直してください。起動していません。"))
        raise typer.Exit(2) from None
    is_simulated = _is_simulated(settings)
    command = program()
    if Path(command).is_absolute():  # shown on a page that anybody may open
        command = "sekisho"
    supervisor = Supervisor(settings, str(settings.config_file or ""), is_simulated, command, _tell)
    signal.signal(signal.SIGINT, supervisor.request_stop)
    signal.signal(signal.SIGTERM, supervisor.request_stop)
    try:
        supervisor.start()

        ready = supervisor.wait_ready()
        supervisor.wait_control()
        if ready and not supervisor.is_stopping:
            typer.echo(
                say(
                    f"Sekisho {__version__} is open at {supervisor.url}",
                    f"関所 {__version__} を開きました： {supervisor.url}",
                )
            )
            _greet(supervisor, ready, is_simulated=is_simulated)
            supervisor.watch()
    except ServeError as error:
        _complain(say(error.en, error.ja))
        raise typer.Exit(1) from None
    finally:
        supervisor.stop()
    typer.echo(say("Sekisho has stopped.", "関所を閉じました。"))


def _tell(en: str, ja: str) -> None:
    _complain(say(en, ja))


def _complain(text: str) -> None:
    typer.echo(f"sekisho: {text}", err=True)


def _greet(supervisor: Supervisor, ready: Mapping[str, object], *, is_simulated: bool) -> None:
    """Calls are served already: a greeting that fails is no reason to stop."""
    from sekisho.cli.greeting import greet  # noqa: PLC0415  slow to import, and nobody waits for it any more

    try:
        greet(supervisor.url, supervisor.settings, ready, is_simulated=is_simulated)
    except OperatorError as error:
        _complain(str(error))


def effective_settings(config: Path | None, options: Mapping[str, object]) -> Settings:
    """The effective settings: options win over the environment, that over the file. Raises SettingsError."""
    environment = dict(os.environ)
    environment.update({f"SEKISHO_{name}": str(value) for name, value in options.items() if value is not None})
    if config is not None:
        environment["SEKISHO_CONFIG_FILE"] = str(config.resolve())
    path = environment.get("SEKISHO_CONFIG_FILE")
    settings = load_settings(environment, _file_section(Path(path), environment) if path else None, OTHER_NAMES)
    # what is not there must stop the start here
    if settings.master_key:
        resolve_secret(settings.master_key, environment)
    if settings.pepper:
        resolve_pepper(settings.pepper, environment)
    if settings.database_url:
        resolve_database_url(settings.database_url, environment)
    if settings.language == "auto":
        settings = msgspec.structs.replace(settings, language=language())
    return settings


def _file_section(path: Path, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """The settings of the configuration file; read whole, so that a mistake in it stops the start here.

    Says on standard error what in the file has another effect than in LiteLLM, or none."""
    from sekisho.config.configuration import load_config  # noqa: PLC0415  YAML and catalog only when there is a file
    from sekisho.ledger.catalog import load_catalog  # noqa: PLC0415

    configuration = load_config(path, environment, load_catalog())
    for warning in configuration.warnings:
        _complain(f"{path.name}: {warning}")
    if configuration.unused:
        names = ", ".join(configuration.unused)
        _complain(say(f"{path.name}: not used by Sekisho: {names}", f"{path.name}: 関所では使わない項目: {names}"))
    return configuration.settings


def _is_simulated(settings: Settings) -> bool:
    if settings.simulator == "auto":
        return settings.config_file is None and not has_default_credentials(os.environ)
    return settings.simulator == "on"
