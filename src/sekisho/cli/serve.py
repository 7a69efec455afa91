"""`sekisho serve`: start everything, say what to do next."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from sekisho.app.serve import ServeError, Supervisor
from sekisho.cli.messages import say
from sekisho.settings import SettingsError, load_settings

_FAVOURITES = ("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-5-5", "nova-pro")


def serve(
    config: Annotated[Path | None, typer.Option(help="A LiteLLM config.yaml, or one of Sekisho's own.")] = None,
    home: Annotated[Path | None, typer.Option(help="Where all state is kept (SEKISHO_HOME).")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on (SEKISHO_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on (SEKISHO_PORT).")] = None,
) -> None:
    """Start Sekisho. Without configuration and AWS credentials it uses its Bedrock simulator."""
    try:
        settings = load_settings(os.environ, config_path=config, home=home, host=host, port=port)
        supervisor = Supervisor(
            settings, str(config.resolve()) if config else "", is_simulated=_simulated(settings, config)
        )
        signal.signal(signal.SIGINT, supervisor.request_stop)
        signal.signal(signal.SIGTERM, supervisor.request_stop)
        supervisor.start()
    except (SettingsError, ServeError) as error:
        typer.echo(f"sekisho: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        ready = supervisor.wait_ready()
        _greet(supervisor, ready)
        supervisor.watch()
    except ServeError as error:
        typer.echo(f"sekisho: {error}", err=True)
        raise typer.Exit(1) from None
    finally:
        supervisor.stop()
    typer.echo(say("Sekisho has stopped.", "関所を閉じました。"))
