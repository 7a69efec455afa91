"""AWS credentials for the call plane, found and renewed by the control plane.

Above: the control plane, which asks again from time to time and hands the results over. Below: botocore, whose calls
block and therefore run in threads. It is the only module of this room that may import botocore.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.session import Session

from sekisho.clock import Clock
from sekisho.errors import UpstreamAccessDenied, UpstreamUnavailable
from sekisho.upstream.bedrock.default_chain import BEARER_VARIABLE
from sekisho.values import AwsCredential, BearerCredential, Credential, CredentialSource

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_STS = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


class AwsCredentials:
    """Resolves sources, keeps what they gave, and renews sessions before they end.

    `env`: where `env:NAME` references look; the AWS chain itself reads the process's environment."""

    def __init__(self, clock: Clock, env: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._env = env
        self._sessions: dict[str, Session] = {}
        self._roles: dict[CredentialSource, AwsCredential] = {}
        self._locks: dict[CredentialSource, asyncio.Lock] = {}

    async def resolve(self, source: CredentialSource) -> Credential:
        """The credential of a source; a role's is good for another quarter of its session (15 minutes of an hour).

        Cheap when nothing is due: ask often. Concurrent callers cause one STS call. Raises UpstreamAccessDenied when
        there is no such credential or AWS refuses it (`upstream_message` says why), UpstreamUnavailable when STS or
        another source of keys cannot be reached."""
        async with self._locks.setdefault(source, asyncio.Lock()):
            if source.kind == "assume_role":
                return await self._assume_role(source)
            return await asyncio.to_thread(_mapped, self._resolve, source)

    def _resolve(self, source: CredentialSource) -> Credential:
        if source.kind == "bearer":
            return BearerCredential(self._secret(source.token))
        if source.kind == "static":
            return AwsCredential(
                self._secret(source.access_key_id),
                self._secret(source.secret_access_key),
                self._secret(source.session_token) if source.session_token else "",
            )
        if source.kind == "default" and (token := os.environ.get(BEARER_VARIABLE)):
            return BearerCredential(token)  # as in botocore, it goes before everything that signs
        return self._from_chain(source.profile)

    def _from_chain(self, profile: str) -> AwsCredential:
        session = self._sessions.get(profile)
        if session is None:
            session = Session(profile=profile or None)
        found = session.get_credentials()  # kept by the session, which renews them by itself
        if found is None:
            raise UpstreamAccessDenied("There are no AWS credentials in the default chain.")
        self._sessions[profile] = session  # only now: a chain that found nothing is searched anew the next time
        frozen = found.get_frozen_credentials()
        expiry: datetime | None = getattr(found, "_expiry_time", None)  # botocore tells it nowhere else
        return AwsCredential(
            frozen.access_key,
            frozen.secret_key,
            frozen.token or "",
            None if expiry is None else int(expiry.timestamp() * 1_000_000),
        )

    async def _assume_role(self, source: CredentialSource) -> AwsCredential:
        held = self._roles.get(source)
        left_us = 0 if held is None or held.expires_at is None else held.expires_at - self._clock.now_us()
        if held is not None and left_us > source.session_s * 1_000_000 // 4:
            return held
        try:
            base = await self.resolve(_base_of(source))
            if isinstance(base, BearerCredential):
                raise UpstreamAccessDenied(
                    "A bearer token cannot assume a role: its base must be a source of AWS keys."
                )
            made = self._roles[source] = await asyncio.to_thread(_mapped, self._ask_sts, source, base)
        except UpstreamUnavailable:
            if held is None or left_us <= 0:
                raise
            _log.warning("A role's session was not renewed; the present one is still valid.", exc_info=True)
            return held
        return made

    def _ask_sts(self, source: CredentialSource, base: AwsCredential) -> AwsCredential:
        asked = {
            "RoleArn": source.role_arn,
            "RoleSessionName": source.session_name,
            "DurationSeconds": source.session_s,
        }
        if source.external_id:
            asked["ExternalId"] = self._secret(source.external_id)
        client = Session().create_client(
            "sts",
            region_name=source.region or "us-east-1",
            endpoint_url=source.sts_endpoint or None,
            aws_access_key_id=base.access_key_id,
            aws_secret_access_key=base.secret_access_key,
            aws_session_token=base.session_token or None,
            config=_STS,
        )
        try:
            given = client.assume_role(**asked)["Credentials"]
        finally:
            client.close()
        return AwsCredential(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given["SessionToken"],
            int(given["Expiration"].timestamp() * 1_000_000),
        )

    def _secret(self, reference: str) -> str:
        """What `env:NAME` or `file:PATH` refers to, or the text itself; errors name the reference."""
        if reference.startswith("env:"):
            value = self._env.get(reference[4:], "")
        elif reference.startswith("file:"):
            try:
                value = Path(reference[5:]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UpstreamAccessDenied(f"The secret {reference} cannot be read.") from error
        else:
            value = reference
        if not value:
            raise UpstreamAccessDenied(f"The secret {reference or 'of a credential source'} is empty.")
        return value


def _base_of(source: CredentialSource) -> CredentialSource:
    """What an assume_role source asks STS with: its base, else its own keys or profile, else the default chain."""
    if source.base is not None:
        return source.base
    if source.access_key_id:
        return CredentialSource(
            "static",
            access_key_id=source.access_key_id,
            secret_access_key=source.secret_access_key,
            session_token=source.session_token,
        )
    return CredentialSource("profile", profile=source.profile) if source.profile else CredentialSource("default")


def _mapped(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call into botocore with its errors turned into ours."""
    try:
        return function(*args, **kwargs)
    except (ConnectionError, HTTPClientError) as error:
        raise UpstreamUnavailable("AWS could not be reached for credentials.") from error
    except (BotoCoreError, ClientError) as error:
        denied = UpstreamAccessDenied("AWS gave no credentials for a source.")
        denied.upstream_message = str(error)
        raise denied from error
