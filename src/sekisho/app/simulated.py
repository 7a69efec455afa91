"""The Bedrock simulator as a process of its own, and the models that point at it."""

import socket

from sekisho.clock import SystemClock
from sekisho.ledger.catalog import Catalog, load_catalog
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.values import Credential, Model

CREDENTIAL_NAME = "simulator"
REGION = "us-east-1"
_PACE_S = 0.01


def simulated_models(catalog: Catalog, url: str) -> tuple[Model, ...]:
    """Every model that Bedrock offers in the simulator's Region, served by the simulator at `url`."""
    return catalog.bedrock_models(REGION, url, CREDENTIAL_NAME)


def simulator_credentials() -> dict[str, Credential]:
    """What to sign with. These keys open nothing but the simulator."""
    return {CREDENTIAL_NAME: SIMULATOR_CREDENTIAL}


async def run_simulator(listener: socket.socket) -> None:
    """Serve Bedrock's wire on an open socket until told to stop."""
    import uvicorn  # noqa: PLC0415  for this process alone: the control process uses the rest of this module

    from sekisho.simulator.server import Simulator  # noqa: PLC0415

    models = simulated_models(load_catalog(), "http://127.0.0.1")
    simulator = Simulator(models, clock=SystemClock(), pace_s=_PACE_S)
    config = uvicorn.Config(
        simulator, http="httptools", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    await uvicorn.Server(config).serve(sockets=[listener])
