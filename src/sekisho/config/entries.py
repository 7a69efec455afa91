"""Turns the entries of LiteLLM's `model_list` into models: which provider, which deployment, which price.

An entry that cannot be served here is left out and named in a warning. Only what would weaken security or money stops
the start: see `configuration`.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec
from msgspec.structs import replace

from sekisho.config.credentials import CredentialSources
from sekisho.config.document import Section
from sekisho.config.prices import stated_price
from sekisho.ledger.catalog import (
    ANTHROPIC_API,
    ANTHROPIC_ENDPOINT,
    Catalog,
    Found,
    bedrock_endpoint,
    offered_scopes,
)
from sekisho.settings import Settings, SettingsError, is_region, parse_region
from sekisho.values import Deployment, Model, Quirks, Wire

OPENAI_ENDPOINT = "https://api.openai.com/v1"
# Limits of a model that neither the catalog nor the entry describes.
ASSUMED_CONTEXT_TOKENS = 128_000
ASSUMED_MAX_OUTPUT_TOKENS = 16_384

# LiteLLM's prefixes for servers that speak OpenAI's API at an address of their own.
_OPENAI_COMPATIBLE = frozenset(
    "hosted_vllm vllm ollama ollama_chat lm_studio llamafile openai_like custom_openai litellm_proxy".split()
)
_PROVIDERS = frozenset({"bedrock", "anthropic", "openai", *_OPENAI_COMPATIBLE})
_MODES = ("", "chat", "completion", "responses", "anthropic_messages")
_WIRES: dict[str, Wire] = {"converse": "bedrock_converse", "invoke": "bedrock_invoke"}
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]+):\d*:[a-z-]+/(.+)")
_FEATURES = {
    "supports_vision": "images",
    "supports_function_calling": "tools",
    "supports_response_schema": "json_schema",
    "supports_pdf_input": "documents",
    "supports_system_messages": "system",
}


class Served(msgspec.Struct, frozen=True):
    """One entry as a model with one deployment. `order`: LiteLLM's rank among deployments of one name."""

    model: Model
    order: int


class Target(msgspec.Struct, frozen=True):
    """What `litellm_params.model` names. `path`: what stood between the provider and the id."""

    text: str
    provider: str
    path: tuple[str, ...]
    id: str


class Entries:
    """The entries read so far."""

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        sources: CredentialSources,
        variables: Mapping[str, str],
        version: str,
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._sources = sources
        self._variables = variables
        self._version = version
        self.served: list[Served] = []
        self.expanded: list[Model] = []
        self.warnings: list[str] = []

    def read(self, entry: Section) -> None:
        """Add what the entry offers. Raises SettingsError."""
        name = entry.take_text("model_name")
        params, info = entry.section("litellm_params"), entry.section("model_info")
        text = params.take_text("model")
        if not name or not text:
            raise SettingsError([f"{entry.path} needs a model_name and litellm_params.model."])
        target = parse_target(text, params.take_text("custom_llm_provider"), self._catalog)
        mode = info.take_text("mode")
        if target is None:
            self._leave_out(entry, f"its provider ({text}) is not served here")
        elif mode not in _MODES:
            self._leave_out(entry, f"its mode ({mode}) is not served here")
        elif any(part not in _WIRES and not is_region(part) for part in target.path):
            self._leave_out(entry, f"the form {text} is not known")
        elif "*" in target.id:
            self._expand(entry, name, target, params)
        elif "*" in name:
            self._leave_out(entry, f"a name with * needs a model with *, not {text}")
        elif target.provider == "bedrock":
            self._bedrock(entry, name, target, params, info)
        elif target.provider == "anthropic":
            self._anthropic(name, target, params, info)
        else:
            self._openai(entry, name, target, params, info)

    def _bedrock(self, entry: Section, name: str, target: Target, params: Section, info: Section) -> None:
        arn = _ARN.fullmatch(target.id)
        model_id = arn[2] if arn else target.id
        if model_id in self._catalog.mantle_only and self._catalog.find(model_id) is None:
            self._leave_out(entry, f"{model_id} is only on the bedrock-mantle endpoint, which is not called from here")
            return
        region = self._region(params, target, arn[1] if arn else "")
        credential, account = self._sources.aws(params)
        base_model = info.take_text("base_model")
        found = self._find_bedrock(base_model or model_id)
        if found and not found.scope and not base_model:
            scope = next(offered_scopes(found.listed, region, self._settings.allow_global_profiles), "")
            if not scope:
                self._leave_out(entry, f"{target.id} is not offered in {region}")
                return
            found, model_id = Found(found.listed, scope), found.listed.bedrock_id(scope)
        self._check_scope(name, params, model_id, found, region)
        upstream_model = params.take_text("model_id") or (target.id if arn else model_id)
        endpoint = self._bedrock_endpoint(params, region) or bedrock_endpoint(region)
        wire = next((_WIRES[part] for part in target.path if part in _WIRES), None)
        if wire is None or not (found and found.listed.family == "claude"):
            wire = found.listed.wire if found else "bedrock_converse"
        self._serve(
            name,
            target,
            params,
            info,
            found,
            Deployment(
                id="/".join(part for part in ("bedrock", account, region, upstream_model) if part),
                provider="bedrock",
                wire=wire,
                endpoint=endpoint,
                upstream_model=upstream_model,
                region=region,
                account=account,
                credential=credential,
                price=self._catalog.price(found.listed, found.scope) if found else None,
            ),
        )

    def _anthropic(self, name: str, target: Target, params: Section, info: Section) -> None:
        found = self._catalog.find(target.id)
        if found and found.listed.family != "claude":
            found = None
        self._serve(
            name,
            target,
            params,
            info,
            found,
            Deployment(
                id=f"anthropic/{target.id}",
                provider="anthropic",
                wire="anthropic_messages",
                endpoint=self._anthropic_endpoint(params),
                upstream_model=target.id,
                credential=self._anthropic_credential(params),
                price=self._catalog.price(found.listed, ANTHROPIC_API) if found else None,
            ),
        )

    def _openai(self, entry: Section, name: str, target: Target, params: Section, info: Section) -> None:
        endpoint = params.take_endpoint("api_base") or params.take_endpoint("base_url")
        key = params.take_secret("api_key")
        if target.provider == "openai":
            endpoint = endpoint or OPENAI_ENDPOINT
            key = key or self._variables.get("OPENAI_API_KEY", "")
            if not key and endpoint == OPENAI_ENDPOINT:
                raise SettingsError([f"{params.path}.api_key is missing, and OPENAI_API_KEY is not set."])
        elif not endpoint:
            self._leave_out(entry, f"{target.text} needs litellm_params.api_base")
            return
        if target.provider.startswith("ollama") and not endpoint.endswith("/v1"):
            endpoint += "/v1"  # LiteLLM speaks Ollama's own API at the root; its OpenAI API is below /v1
        self._serve(
            name,
            target,
            params,
            info,
            None,
            Deployment(
                id=f"{target.provider}/{target.id}",
                provider="openai",
                wire="openai_chat",
                endpoint=endpoint,
                upstream_model=target.id,
                credential=self._sources.bearer(target.provider, key) if key else "",
            ),
        )

    def _serve(
        self, name: str, target: Target, params: Section, info: Section, found: Found | None, deployment: Deployment
    ) -> None:
        price, _ = stated_price((params, info), deployment.price, self._version)
        context = info.take_count("max_input_tokens")
        max_output_tokens, max_tokens = info.take_count("max_output_tokens"), info.take_count("max_tokens")
        most = max_output_tokens or max_tokens
        if price is None:
            self.warnings.append(
                f"{name}: the price of {deployment.upstream_model} is not known, so calls to it are refused. State "
                "input_cost_per_token and output_cost_per_token in its litellm_params"
                + (", or its base_model in model_info." if deployment.provider == "bedrock" else ".")
            )
        if found is None and not (context and most):
            self.warnings.append(
                f"{name}: the limits of {deployment.upstream_model} are not known. Assumed: {ASSUMED_CONTEXT_TOKENS:,} "
                f"tokens of context, {ASSUMED_MAX_OUTPUT_TOKENS:,} of output. State max_input_tokens and "
                "max_output_tokens in its model_info."
            )
        if found and self._catalog.is_retired(found.listed):
            self.warnings.append(f"{name}: {found.listed.id} reached its end of life on {found.listed.end_of_life}.")
        listed = found.listed if found else None
        aliases = [target.text, target.id]
        if listed and (name == listed.name or name in listed.all_aliases):
            aliases += [listed.name, *listed.all_aliases]
        model = Model(
            name=name,
            family=listed.family if listed else "other",
            context_tokens=context or (listed.context_tokens if listed else ASSUMED_CONTEXT_TOKENS),
            max_output_tokens=most or (listed.max_output_tokens if listed else ASSUMED_MAX_OUTPUT_TOKENS),
            quirks=_quirks(info, listed.quirks if listed else Quirks()),
            deployments=(replace(deployment, id=info.take_text("id") or deployment.id, price=price),),
            aliases=tuple(alias for alias in dict.fromkeys(aliases) if alias != name),
        )
        self.served.append(Served(model, params.take_count("order") or 1_000_000))

    def _expand(self, entry: Section, name: str, target: Target, params: Section) -> None:
        """Add every model of the catalog that a name with * stands for, at its catalog price."""
        if "*" not in name or target.provider not in ("bedrock", "anthropic"):
            self._leave_out(entry, f"what {target.text} stands for is not known")
            return
        if target.provider == "anthropic":
            credential = self._anthropic_credential(params)
            for model in self._catalog.anthropic_models(self._anthropic_endpoint(params), credential):
                upstream_model = model.deployments[0].upstream_model
                names = tuple(dict.fromkeys((f"anthropic/{upstream_model}", f"anthropic/{model.name}")))
                if fnmatchcase(upstream_model, target.id) and any(fnmatchcase(other, name) for other in names):
                    self.expanded.append(replace(model, name=names[-1], aliases=names[:-1]))
            return
        region = self._region(params, target, "")
        credential, account = self._sources.aws(params)
        endpoint = self._bedrock_endpoint(params, region)
        allow_global = self._settings.allow_global_profiles
        for model in self._catalog.bedrock_models(region, endpoint, credential, account, allow_global):
            deployments = tuple(own for own in model.deployments if fnmatchcase(own.upstream_model, target.id))
            if deployments and any(fnmatchcase(other, name) for other in (model.name, *model.aliases)):
                self.expanded.append(replace(model, deployments=deployments))

    def _region(self, params: Section, target: Target, arn_region: str) -> str:
        stated = params.take_text("aws_region_name")
        in_path = next((part for part in target.path if part not in _WIRES), "")
        try:
            return parse_region(stated or in_path or arn_region or self._settings.aws_region)
        except ValueError as error:
            raise SettingsError([f"{params.path}: {error}."]) from error

    def _check_scope(self, name: str, params: Section, model_id: str, found: Found | None, region: str) -> None:
        """Refuse a global profile where they are not allowed; warn of an id that the Region is not known to offer."""
        if model_id.startswith("global.") and not self._settings.allow_global_profiles:
            raise SettingsError([f"{params.path}.model is {model_id}, but allow_global_profiles is false."])
        if found and model_id in found.listed.bedrock_ids and found.scope not in offered_scopes(found.listed, region):
            self.warnings.append(f"{name}: {model_id} is not known to be offered in {region}.")

    def _bedrock_endpoint(self, params: Section, region: str) -> str | None:
        """An address other than AWS's own for this Region. A VPC endpoint set for all is one of the home Region."""
        stated = params.take_endpoint("aws_bedrock_runtime_endpoint") or params.take_endpoint("api_base")
        if not stated and region == self._settings.aws_region:
            stated = self._settings.bedrock_endpoint
        return stated or None

    def _anthropic_endpoint(self, params: Section) -> str:
        return (params.take_endpoint("api_base") or ANTHROPIC_ENDPOINT).removesuffix("/v1")

    def _anthropic_credential(self, params: Section) -> str:
        key = params.take_secret("api_key") or self._variables.get("ANTHROPIC_API_KEY", "")
        if not key:
            raise SettingsError([f"{params.path}.api_key is missing, and ANTHROPIC_API_KEY is not set."])
        return self._sources.bearer("anthropic", key)

    def _find_bedrock(self, text: str) -> Found | None:
        """The row of a Bedrock id, as it is or with LiteLLM's prefixes."""
        target = parse_target(text, "bedrock", self._catalog)
        return self._catalog.find(target.id) if target else None

    def _leave_out(self, entry: Section, reason: str) -> None:
        name = entry.raw("model_name")
        self.warnings.append(f"{entry.path} ({name}) is left out: {reason}.")


def parse_target(text: str, provider: str, catalog: Catalog) -> Target | None:
    """Read `provider/path/id`. A bare id belongs to `provider`, else to the maker that its name gives away."""
    head, _, rest = text.partition("/")
    if head in _PROVIDERS and rest:
        provider = head
    else:
        provider, rest = provider or _provider_of(text, catalog), text
    if provider not in _PROVIDERS:
        return None
    if provider != "bedrock":
        return Target(text, provider, (), rest)
    if "arn:" in rest:
        path, arn = rest.split("arn:", 1)
        return Target(text, provider, tuple(part for part in path.split("/") if part), f"arn:{arn}")
    *path_parts, id = rest.split("/")
    return Target(text, provider, tuple(path_parts), id)


def _provider_of(text: str, catalog: Catalog) -> str:
    """The provider that LiteLLM takes for a bare id, empty if the name does not give it away."""
    found = catalog.find(text)
    if found and text in (found.listed.id, *found.listed.bedrock_ids):
        return "bedrock"
    if found and found.listed.family == "claude" and "/" not in text:
        return "anthropic"
    return "openai" if re.match(r"(gpt-|o\d|chatgpt-|codex-)", text) else ""


def _quirks(info: Section, known: Quirks) -> Quirks:
    """The known quirks with what the entry states about the model."""
    stated = {quirk: info.take(key) for key, quirk in _FEATURES.items()}
    return replace(known, **{quirk: value for quirk, value in stated.items() if isinstance(value, bool)})
