"""Turns the authentication fields of entries into named credential sources, one per distinct way to authenticate."""

import re
from collections.abc import Mapping

from sekisho.config.document import Section
from sekisho.settings import SettingsError
from sekisho.values import CredentialSource

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+")


class CredentialSources:
    """The sources found so far. A name says which one it is and holds no secret."""

    def __init__(self, variables: Mapping[str, str], stated_variables: Mapping[str, str], region: str) -> None:
        self._variables = variables
        self._stated = stated_variables
        self._region = region
        self.by_name: dict[str, CredentialSource] = {}

    def aws(self, params: Section) -> tuple[str, str]:
        """The name of the entry's AWS source, and the account of the role it takes on, empty if it takes on none.

        A Bedrock API key wins; then the entry's own role, keys or profile; then AWS's default chain. Raises
        SettingsError."""
        if params.raw("aws_web_identity_token") is not None:
            raise SettingsError(
                [
                    f"{params.path}.aws_web_identity_token is not supported: set AWS_WEB_IDENTITY_TOKEN_FILE and "
                    "AWS_ROLE_ARN for the process, and AWS's default chain will use them."
                ]
            )
        access_key_id = params.take_text("aws_access_key_id")
        secret_access_key = params.take_secret("aws_secret_access_key")
        session_token = params.take_secret("aws_session_token")
        profile = params.take_text("aws_profile_name")
        role_arn = params.take_text("aws_role_name")
        session_name = params.take_text("aws_session_name") or "sekisho"
        external_id = params.take_text("aws_external_id")
        sts_endpoint = params.take_endpoint("aws_sts_endpoint")
        api_key = params.take_secret("api_key")
        if bool(access_key_id) != bool(secret_access_key):
            raise SettingsError([f"{params.path} has one half of an AWS key pair."])
        if not (access_key_id or profile or role_arn):
            api_key = api_key or self._variables.get("AWS_BEARER_TOKEN_BEDROCK", "")
        if api_key:  # as in AWS's own tools, a Bedrock API key wins over signing keys
            return self._add("bedrock-key", CredentialSource("bearer", token=api_key)), ""
        if not access_key_id and not profile:
            # The file's own environment_variables never reach AWS's default chain, so they are handed on here.
            access_key_id = self._stated.get("AWS_ACCESS_KEY_ID", "")
            secret_access_key = self._stated.get("AWS_SECRET_ACCESS_KEY", "")
            session_token = self._stated.get("AWS_SESSION_TOKEN", "")
        if role_arn:
            return self._assumed(
                params,
                CredentialSource(
                    "assume_role",
                    access_key_id=access_key_id,
                    secret_access_key=secret_access_key,
                    session_token=session_token,
                    profile=profile,
                    role_arn=role_arn,
                    session_name=session_name,
                    external_id=external_id,
                    sts_endpoint=sts_endpoint,
                    region=self._region,
                ),
            )
        if access_key_id:
            source = CredentialSource(
                "static",
                access_key_id=access_key_id,
                secret_access_key=secret_access_key,
                session_token=session_token,
            )
            return self._add(f"aws-key-{access_key_id[-4:]}", source), ""
        if profile:
            return self._add(f"aws-profile-{profile}", CredentialSource("profile", profile=profile)), ""
        return self._add("aws", CredentialSource("default")), ""

    def bearer(self, name: str, token: str) -> str:
        """The name of a source that is one secret, sent as it is."""
        return self._add(name, CredentialSource("bearer", token=token))

    def _assumed(self, params: Section, source: CredentialSource) -> tuple[str, str]:
        role = _ROLE.fullmatch(source.role_arn)
        if role is None:
            raise SettingsError([f"{params.path}.aws_role_name must be the ARN of an IAM role."])
        return self._add(f"aws-role-{role[1]}-{source.role_arn.rpartition('/')[2]}", source), role[1]

    def _add(self, name: str, source: CredentialSource) -> str:
        free, number = name, 1
        while self.by_name.get(free, source) != source:
            number += 1
            free = f"{name}-{number}"
        self.by_name[free] = source
        return free
