"""Whether AWS's default chain is likely to find credentials, judged without botocore, which is slow to import."""

import configparser
from collections.abc import Mapping
from pathlib import Path

BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
_CREDENTIAL_OPTIONS = (
    "aws_access_key_id",
    "role_arn",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "login_session",
)


def has_default_credentials(env: Mapping[str, str]) -> bool:
    """Whether the default chain is likely to find something, judged in no time and without the network.

    An EC2 instance role alone does not show here: an operator who relies on one says so in the settings."""
    if env.get(BEARER_VARIABLE) or env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE"):
        return True
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        return True
    if env.get("AWS_WEB_IDENTITY_TOKEN_FILE") and env.get("AWS_ROLE_ARN"):
        return True
    if env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return True
    home = Path(env.get("HOME") or Path.home())
    keys = env.get("AWS_SHARED_CREDENTIALS_FILE") or str(home / ".aws" / "credentials")
    config = env.get("AWS_CONFIG_FILE") or str(home / ".aws" / "config")
    return any(_names_a_default_credential(path, home) for path in (keys, config))


def _names_a_default_credential(path: str, home: Path) -> bool:
    parser = configparser.RawConfigParser(strict=False, default_section="")
    try:
        parser.read(home / path[2:] if path.startswith("~/") else path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):  # the AWS tools would not read it either
        return False
    sections = [name for name in ("default", "profile default") if parser.has_section(name)]
    return any(parser.has_option(section, option) for section in sections for option in _CREDENTIAL_OPTIONS)
