"""The control process with everything it is configured with: models, credentials, master key, console."""

import functools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sekisho.access.identity_provider import OidcSettings
from sekisho.app.control_plane import Console, ControlPlaneSettings, run_control_plane
from sekisho.app.sign_in_settings import DIRECT, SignInSettings, Way
from sekisho.app.simulated import simulated_models, simulator_credentials
from sekisho.clock import Clock, SystemClock
from sekisho.config.configuration import Configuration, load_config
from sekisho.errors import SekishoError
from sekisho.ledger.catalog import load_catalog
from sekisho.record.content import ContentSettings
from sekisho.settings import Settings, SettingsError, resolve_database_url, resolve_pepper, resolve_secret
from sekisho.upstream.bedrock.default_chain import BEARER_VARIABLE
from sekisho.upstream.http1 import tls_context
from sekisho.upstream.proxy import Proxy
from sekisho.values import Credential, CredentialSource

if TYPE_CHECKING:
    from fastapi import APIRouter

    from sekisho.upstream.bedrock.credentials import AwsCredentials
    from sekisho.web.admin.services import Counting, Services

log = logging.getLogger(__name__)
DEFAULT_CREDENTIAL = "default"


async def run_control_process(settings: Settings, config_path: str, simulator_url: str, command: str) -> None:
    """Be the control process until told to stop."""
    clock = SystemClock()
    catalog = load_catalog()
    configuration = load_config(Path(config_path), os.environ, catalog) if config_path else Configuration()
    models, sources = configuration.models, configuration.credential_sources
    if simulator_url and not models:
        models = simulated_models(catalog, simulator_url)
    elif not models:
        models = catalog.bedrock_models(
            settings.aws_region,
            settings.bedrock_endpoint or None,
            DEFAULT_CREDENTIAL,
            allow_global=settings.allow_global_profiles,
        )
        sources = {DEFAULT_CREDENTIAL: _default_source(settings)}
    parts = ControlPlaneSettings(
        models=lambda: models,
        simulated=bool(simulator_url),
        time_zone=settings.time_zone,
        master_key=master_key(settings, configuration, os.environ),
        pepper=resolve_pepper(settings.pepper, os.environ) if settings.pepper else None,
        database_url=resolve_database_url(settings.database_url, os.environ) if settings.database_url else "",
        database_pool_size=settings.database_pool_size,
        replicated=settings.replicated,
        confirm_timeout_s=settings.confirm_timeout_s,
        lost_after_s=settings.lost_after_s,
        content=content_settings(settings, is_demo=bool(simulator_url) and not configuration.models),
        credentials=CredentialBook(sources, clock, is_simulated=bool(simulator_url)).current,
        counting=_counting(settings),
        sign_in=SignInSettings(
            public_url=settings.public_url,
            session_idle_s=settings.session_idle_s,
            session_life_s=settings.session_life_s,
            oidc=_oidc(settings),
            way=_way(settings) if settings.oidc_issuer else DIRECT,
        ),
    )
    await run_control_plane(
        Path(settings.home), parts, console=_console(command, settings, is_simulated=bool(simulator_url))
    )


def content_settings(settings: Settings, *, is_demo: bool) -> ContentSettings:
    """What is kept of calls: nothing unless the operator says so, all of it in the demo. Raises SettingsError."""
    return ContentSettings(
        level=settings.content_level or ("full" if is_demo else "none"),
        days=settings.content_days,
        key=_content_key(settings),
        store=settings.content_store,
        sse_kms_key=settings.content_s3_kms_key,
        region=settings.aws_region,
        spool_bytes=settings.content_spool_bytes,
        leads_may_read=settings.leads_read_content,
    )


def _oidc(settings: Settings) -> OidcSettings | None:
    """The identity provider, if one is configured. Raises SettingsError for a secret that cannot be read."""
    if not settings.oidc_issuer:
        return None
    secret = settings.oidc_client_secret
    return OidcSettings(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=resolve_secret(secret, os.environ) if secret else "",
        scopes=settings.oidc_scopes,
        user_claim=settings.oidc_user_claim,
        groups_claim=settings.oidc_groups_claim,
        name=settings.oidc_name,
        trusts_email=settings.oidc_trusts_email,
    )


def _way(settings: Settings) -> Way:
    """How the identity provider is reached. Raises SettingsError for a proxy or certificates that are of no use."""
    url = resolve_secret(settings.https_proxy, os.environ) if settings.https_proxy else ""
    url = f"http://{url}" if url and "://" not in url else url
    ca_file = str(settings.ca_file or "")
    problems = []
    try:
        if url:
            Proxy(url, settings.no_proxy)
    except ValueError:
        problems.append("https_proxy (HTTPS_PROXY) must look like http://HOST:PORT or http://USER:PASSWORD@HOST:PORT.")
    try:
        if ca_file:
            tls_context().load_verify_locations(ca_file)
    except OSError as error:  # also for a file without certificates
        problems.append(f"ca_file: {ca_file} gives no certificates in PEM form: {error}.")
    if problems:
        raise SettingsError(problems)
    return Way(url, settings.no_proxy, ca_file)


def _content_key(settings: Settings) -> bytes:
    """The secret, or the reference to a key of KMS. Raises SettingsError."""
    reference = settings.content_key
    if reference is None:
        return b""
    text = resolve_secret(reference, os.environ) if reference.kind != "file" else ""
    return text.encode() if text.startswith("kms:") else resolve_pepper(reference, os.environ, "content_key")


class CredentialBook:
    """The credentials that deployments name, as they are now. A source that fails keeps what it last gave."""

    def __init__(self, sources: Mapping[str, CredentialSource], clock: Clock, *, is_simulated: bool) -> None:
        self._sources = sources
        self._clock = clock
        self._found: dict[str, Credential] = simulator_credentials() if is_simulated else {}
        self._failed: set[str] = set()
        self._resolver: AwsCredentials | None = None

    async def current(self) -> Mapping[str, Credential]:
        """Every credential that can be had. A missing one shows in /health/ready and in the log, once."""
        if not self._sources:
            return self._found
        from sekisho.upstream.bedrock.credentials import AwsCredentials  # noqa: PLC0415  botocore is slow to import

        if self._resolver is None:
            self._resolver = AwsCredentials(self._clock)
        for name, source in self._sources.items():
            try:
                self._found[name] = await self._resolver.resolve(source)
                self._failed.discard(name)
            except SekishoError as error:
                if name not in self._failed:
                    log.error("the credential '%s' cannot be had: %s", name, error.upstream_message or error.message)
                self._failed.add(name)
        return dict(self._found)


def _counting(settings: Settings) -> "Callable[[], Awaitable[Counting]] | None":
    if settings.valkey_url is None:
        return None
    from sekisho.app.counters_health import look_at_counters  # noqa: PLC0415  the web is imported after the snapshot

    return functools.partial(look_at_counters, settings)


def _default_source(settings: Settings) -> CredentialSource:
    """A Bedrock API key in the environment wins over AWS's default chain, as in the AWS tools."""
    if os.environ.get(BEARER_VARIABLE):
        return CredentialSource("bearer", token=f"env:{BEARER_VARIABLE}")
    return CredentialSource("default", region=settings.aws_region)


def master_key(settings: Settings, configuration: Configuration, env: Mapping[str, str]) -> str:
    """The administrator's key: the setting's, else that of the configuration file, else none. Raises SettingsError."""
    reference = settings.master_key or configuration.master_key
    return resolve_secret(reference, env) if reference else ""


def _console(command: str, settings: Settings, *, is_simulated: bool) -> Console:
    def make(services: "Services") -> "APIRouter":
        from sekisho.app.console import create_console  # noqa: PLC0415  the web is imported after the snapshot

        return create_console(services, is_simulated=is_simulated, command=command, settings=shown_settings(settings))

    return make


def _shown(value: object) -> str:
    """A setting as its operator would write it; a secret prints as stars."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list | frozenset):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def shown_settings(settings: Settings) -> tuple[tuple[str, str, bool], ...]:
    """Every setting by name, as text without what is secret, and whether it is the usual value."""
    usual = Settings()
    return tuple(
        (name, _shown(value), value == getattr(usual, name))
        for name in Settings.__struct_fields__
        for value in (getattr(settings, name),)
    )
