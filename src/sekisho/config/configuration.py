"""The configuration file as a whole: its models, credentials and key, and everything in it that has no effect here.

Nothing is dropped in silence. What Sekisho does not use is named in `unused`; what it uses otherwise, in `warnings`.
A control that the file asks for and Sekisho does not enforce stops the start, unless the operator lists it in
`sekisho.accept_not_enforced`: a gateway that looks guarded and is not is worse than none.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from sekisho.config.credentials import CredentialSources
from sekisho.config.document import Section, read_document
from sekisho.config.entries import Entries, Served
from sekisho.ledger.catalog import Catalog
from sekisho.settings import FIELDS, PREFIX, SecretRef, SettingsError, load_settings, parse_secret
from sekisho.values import CredentialSource, Model, Quirks

# Controls of LiteLLM that guard access or money. Ignoring one of them would open what the operator closed.
CONTROLS = frozenset(
    {
        "guardrails",
        "general_settings.admin_only_routes",
        "general_settings.allowed_ips",
        "general_settings.allowed_routes",
        "general_settings.custom_auth",
        "general_settings.enable_jwt_auth",
        "general_settings.enable_oauth2_auth",
        "general_settings.enable_oauth2_proxy_auth",
        "general_settings.global_max_parallel_requests",
        "general_settings.litellm_jwtauth",
        "general_settings.max_parallel_requests",
        "general_settings.role_permissions",
        "litellm_settings.budget_duration",
        "litellm_settings.guardrails",
        "litellm_settings.max_budget",
        "litellm_settings.max_end_user_budget",
        "litellm_settings.max_internal_user_budget",
        "litellm_settings.max_user_budget",
        "litellm_settings.upperbound_key_generate_params",
        "router_settings.provider_budget_config",
    }
)
_ENTRY_CONTROLS = ("litellm_params.guardrails", "litellm_params.max_budget", "model_info.team_id")
_REGION_VARIABLES = ("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
# Variables that are read without a reference to them in the file.
_READ_VARIABLES = frozenset(
    {
        *_REGION_VARIABLES,
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_BEARER_TOKEN_BEDROCK",
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
    }
)
_ACCEPTED = "accept_not_enforced"


class Configuration(msgspec.Struct, frozen=True):
    """What the file says. `settings`: for `load_settings`. `unused`: dotted paths of what has no effect.

    `warnings`: sentences for the operator about what has an effect other than in LiteLLM, or none yet."""

    models: tuple[Model, ...] = ()
    credential_sources: dict[str, CredentialSource] = {}
    master_key: SecretRef | None = None
    settings: dict[str, Any] = {}
    unused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_config(path: Path, env: Mapping[str, str], catalog: Catalog) -> Configuration:
    """Read LiteLLM's config.yaml with our optional `sekisho:` section. Raises SettingsError with all its problems."""
    document = read_document(path)
    stated = _stated_variables(document)
    variables = {**env, **stated}
    root = Section("", document, variables)
    root.raw("environment_variables")
    general, litellm = root.section("general_settings"), root.section("litellm_settings")
    router, own = root.section("router_settings"), root.section("sekisho")
    accepted = own.raw(_ACCEPTED) or []
    settings = _settings(own, general, litellm, router, stated)
    # Names that are not settings are for the caller to refuse, who knows the names of other parts.
    effective = load_settings({name: text for name, text in env.items() if _is_known(name)}, settings)
    sources = CredentialSources(variables, stated, effective.aws_region)
    version = f"config-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    entries = Entries(catalog, effective, sources, variables, version)
    problems: list[str] = []
    sections, unused_credentials = _entry_sections(root, variables)
    for section in sections:
        try:
            entries.read(section)
        except SettingsError as error:
            problems += error.problems
    master_key = _master_key(general, stated, variables, problems)
    models = _joined(entries)
    models = _with_group_aliases(models, router.section("model_group_alias"), entries.warnings)
    unused = [
        *root.unused(),
        *(path for section in sections for path in section.unused()),
        *unused_credentials,
        *_unused_variables(document, stated),
    ]
    problems += _not_enforced(unused, accepted)
    if problems:
        raise SettingsError(problems)
    if master_key and master_key.kind == "literal":
        entries.warnings.append("general_settings.master_key is written in the file: refer to os.environ/NAME instead.")
    return Configuration(
        models=models,
        credential_sources=sources.by_name,
        master_key=master_key,
        settings=settings,
        unused=tuple(unused),
        warnings=tuple(entries.warnings),
    )


def _stated_variables(document: dict[str, Any]) -> dict[str, str]:
    """The file's `environment_variables`. As in LiteLLM they win over the process's own."""
    stated = document.get("environment_variables") or {}
    if not isinstance(stated, dict) or any(isinstance(value, (dict, list)) for value in stated.values()):
        raise SettingsError(["environment_variables must be a mapping of names to texts."])
    return {str(name): str(value) for name, value in stated.items() if value is not None}


def _is_known(name: str) -> bool:
    return not name.startswith(PREFIX) or name.removeprefix(PREFIX).lower() in FIELDS


def _settings(
    own: Section, general: Section, litellm: Section, router: Section, stated: Mapping[str, str]
) -> dict[str, Any]:
    """The `sekisho:` section, and LiteLLM's settings that mean one of ours and are not set there."""
    settings = {name: _plain(own.take(name)) for name in own.keys() if name != _ACCEPTED}
    request_timeout_s, timeout_s = litellm.take("request_timeout"), router.take("timeout")
    keepalive_s = litellm.take("sse_keepalive_ping_interval_seconds")
    megabytes = general.take_count("max_request_size_mb")
    for name, value in (
        ("call_timeout_s", request_timeout_s or timeout_s),
        ("keepalive_s", keepalive_s),
        ("max_body_bytes", megabytes and megabytes * 1_000_000),
        ("aws_region", next((stated[name] for name in _REGION_VARIABLES if stated.get(name)), None)),
    ):
        if value is not None:
            settings.setdefault(name, _plain(value))
    return settings


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _entry_sections(root: Section, variables: Mapping[str, str]) -> tuple[list[Section], list[str]]:
    """The entries, each with the values of the credential that it names; and the credentials that no entry names."""
    credentials = {entry.get("credential_name"): entry for entry in _mappings(root, "credential_list")}
    used = set()
    sections = []
    for number, entry in enumerate(_mappings(root, "model_list")):
        params = entry.get("litellm_params")
        if isinstance(params, dict) and (name := params.get("litellm_credential_name")) is not None:
            values = credentials.get(name, {}).get("credential_values")
            if not isinstance(values, dict):
                raise SettingsError([f"model_list[{number}]: there is no credential {name} in credential_list."])
            used.add(name)
            own = {key: value for key, value in params.items() if key != "litellm_credential_name"}
            entry = {**entry, "litellm_params": {**values, **own}}
        sections.append(Section(f"model_list[{number}]", entry, variables))
    return sections, [f"credential_list.{name}" for name in credentials if name not in used]


def _mappings(root: Section, key: str) -> list[dict[str, Any]]:
    entries = root.raw(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError([f"{key} must be a list of mappings."])
    return entries


def _master_key(
    general: Section, stated: Mapping[str, str], variables: Mapping[str, str], problems: list[str]
) -> SecretRef | None:
    """Where the master key is. A variable that the file itself sets is not in the environment: taken as it is."""
    text = general.raw("master_key")
    if text is None:
        return None
    ref = parse_secret(str(text))
    if ref.kind == "env" and not variables.get(ref.value):
        problems.append(f"general_settings.master_key: the environment variable {ref.value} is not set or is empty.")
    return SecretRef("literal", stated[ref.value]) if ref.kind == "env" and ref.value in stated else ref


def _joined(entries: Entries) -> tuple[Model, ...]:
    """One model per name. Entries win over what * stands for; deployment ids become unique."""
    models: dict[str, Model] = {}
    for served in sorted(entries.served, key=_order):
        models[served.model.name] = _join(models.get(served.model.name), served.model, entries.warnings)
    named = set(models)
    for model in entries.expanded:
        if model.name not in named:
            models[model.name] = _join(models.get(model.name), model, entries.warnings)
    seen: dict[str, int] = {}
    return tuple(
        replace(model, deployments=tuple(replace(own, id=_unique(own.id, seen)) for own in model.deployments))
        for model in models.values()
    )


def _order(served: Served) -> int:
    return served.order


def _unique(id: str, seen: dict[str, int]) -> str:
    seen[id] = seen.get(id, 0) + 1
    return id if seen[id] == 1 else f"{id}#{seen[id]}"


def _join(old: Model | None, new: Model, warnings: list[str]) -> Model:
    """Both as one model: all deployments, and only what each of them can do."""
    if old is None:
        return new
    if old.family != new.family or old.quirks != new.quirks:
        warnings.append(
            f"{new.name}: its deployments are different models ({old.deployments[0].upstream_model} and "
            f"{new.deployments[0].upstream_model}); only what all of them can do is offered."
        )
    return Model(
        name=old.name,
        family=old.family if old.family == new.family else "mixed",
        context_tokens=min(old.context_tokens, new.context_tokens),
        max_output_tokens=min(old.max_output_tokens, new.max_output_tokens),
        quirks=_common(old.quirks, new.quirks),
        deployments=old.deployments + new.deployments,
        aliases=tuple(dict.fromkeys(old.aliases + new.aliases)),
    )


def _common(a: Quirks, b: Quirks) -> Quirks:
    both = {
        name: getattr(a, name) and getattr(b, name)
        for name in Quirks.__struct_fields__
        if isinstance(getattr(a, name), bool)
    }
    both_cache = a.cache_min_tokens and b.cache_min_tokens
    return Quirks(
        **{
            **both,
            "thinking": tuple(form for form in a.thinking if form in b.thinking),
            "thinking_always_on": a.thinking_always_on or b.thinking_always_on,
            "cache_min_tokens": max(a.cache_min_tokens, b.cache_min_tokens) if both_cache else 0,
        }
    )


def _with_group_aliases(models: tuple[Model, ...], aliases: Section, warnings: list[str]) -> tuple[Model, ...]:
    """LiteLLM's `model_group_alias`: other public names for a model."""
    by_name = {model.name: model for model in models}
    for alias in aliases.keys():
        value = aliases.take(alias)
        name = value.get("model") if isinstance(value, dict) else value
        if name in by_name:
            model = by_name[name]
            by_name[name] = replace(model, aliases=(*model.aliases, alias))
        else:
            warnings.append(f"router_settings.model_group_alias.{alias}: there is no model {name}.")
    return tuple(by_name.values())


def _unused_variables(document: dict[str, Any], stated: Mapping[str, str]) -> Iterator[str]:
    referenced = set(re.findall(r"os\.environ/(\w+)", str(document)))
    yield from (f"environment_variables.{name}" for name in stated if name not in referenced | _READ_VARIABLES)


def _not_enforced(unused: list[str], accepted: Any) -> list[str]:
    if not isinstance(accepted, list):
        return [f"sekisho.{_ACCEPTED} must be a list of dotted paths."]
    return [
        f"{path} asks for a control that is not enforced here. Remove it, or list it in sekisho.{_ACCEPTED}."
        for path in unused
        if (path in CONTROLS or path.partition("].")[2] in _ENTRY_CONTROLS) and path not in accepted
    ]
