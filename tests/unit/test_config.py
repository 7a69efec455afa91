"""LiteLLM's config.yaml as operators write it: what becomes of it, and what is said about the rest."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from sekisho.config.configuration import Configuration, load_config
from sekisho.ledger.catalog import Catalog, load_catalog
from sekisho.settings import SecretRef, SettingsError, load_settings
from sekisho.values import CredentialSource, Model, TokenPrices

Load = Callable[..., Configuration]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def load(tmp_path: Path, catalog: Catalog) -> Load:
    def write_and_load(text: str, **env: str) -> Configuration:
        path = tmp_path / "config.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return load_config(path, env, catalog)

    return write_and_load


def only(configuration: Configuration) -> Model:
    (model,) = configuration.models
    return model


def problems(load: Load, text: str, **env: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, **env)
    return "\n".join(caught.value.problems)


TEAM = """
    model_list:
      - model_name: claude-sonnet
        litellm_params:
          model: bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0
          aws_region_name: us-east-1
          aws_role_name: arn:aws:iam::111122223333:role/llm-gateway-invoke
          aws_session_name: gateway
          aws_external_id: os.environ/EXTERNAL_ID
          rpm: 400
      - model_name: claude-sonnet
        litellm_params:
          model: bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0
          aws_region_name: us-west-2
          aws_role_name: arn:aws:iam::444455556666:role/llm-gateway-invoke
      - model_name: nova-pro
        litellm_params:
          model: bedrock/converse/amazon.nova-pro-v1:0
          aws_access_key_id: os.environ/NOVA_KEY_ID
          aws_secret_access_key: os.environ/NOVA_SECRET
    litellm_settings:
      drop_params: true
      request_timeout: 600
      callbacks: ["langfuse"]
    router_settings:
      routing_strategy: simple-shuffle
      model_group_alias:
        sonnet: claude-sonnet
    general_settings:
      master_key: os.environ/LITELLM_MASTER_KEY
      database_url: os.environ/DATABASE_URL
"""
TEAM_ENV = {
    "EXTERNAL_ID": "ext-1",
    "NOVA_KEY_ID": "AKIAEXAMPLE00000NOVA",
    "NOVA_SECRET": "nova-secret",
    "LITELLM_MASTER_KEY": "sk-master",
}


def test_several_entries_of_one_name_are_deployments_of_one_model(load: Load) -> None:
    models = {model.name: model for model in load(TEAM, **TEAM_ENV).models}
    assert set(models) == {"claude-sonnet", "nova-pro"}
    sonnet = models["claude-sonnet"]
    upstream_model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert [deployment.id for deployment in sonnet.deployments] == [
        f"bedrock/111122223333/us-east-1/{upstream_model}",
        f"bedrock/444455556666/us-west-2/{upstream_model}",
    ]
    assert [deployment.endpoint for deployment in sonnet.deployments] == [
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        "https://bedrock-runtime.us-west-2.amazonaws.com",
    ]
    assert sonnet.family == "claude" and sonnet.quirks.cache_ttl_1h and sonnet.context_tokens == 200_000


def test_a_model_answers_to_what_litellm_shows_as_its_upstream(load: Load) -> None:
    sonnet = load(TEAM, **TEAM_ENV).models[0]
    assert set(sonnet.aliases) == {
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "sonnet",  # router_settings.model_group_alias
    }


def test_deployments_are_priced_by_the_id_they_call(load: Load) -> None:
    models = load(TEAM, **TEAM_ENV).models
    price = models[0].deployments[0].price
    assert price is not None and (price.scope, price.base.input, price.base.output) == ("us", 3_300_000, 16_500_000)
    nova = models[1].deployments[0].price
    assert nova is not None and (nova.scope, nova.base.input) == ("in-region", 800_000)


def test_each_way_to_authenticate_is_one_named_source_without_secrets_in_its_name(load: Load) -> None:
    configuration = load(TEAM, **TEAM_ENV)
    assert configuration.credential_sources == {
        "aws-role-111122223333-llm-gateway-invoke": CredentialSource(
            "assume_role",
            role_arn="arn:aws:iam::111122223333:role/llm-gateway-invoke",
            session_name="gateway",
            external_id="ext-1",
            region="us-east-1",
        ),
        "aws-role-444455556666-llm-gateway-invoke": CredentialSource(
            "assume_role", role_arn="arn:aws:iam::444455556666:role/llm-gateway-invoke", region="us-east-1"
        ),
        "aws-key-NOVA": CredentialSource(
            "static", access_key_id="AKIAEXAMPLE00000NOVA", secret_access_key="nova-secret"
        ),
    }
    used = {deployment.credential for model in configuration.models for deployment in model.deployments}
    assert used == set(configuration.credential_sources)
    assert "nova-secret" not in repr(configuration)


def test_every_key_without_an_effect_is_named(load: Load) -> None:
    assert set(load(TEAM, **TEAM_ENV).unused) == {
        "model_list[0].litellm_params.rpm",
        "litellm_settings.drop_params",
        "litellm_settings.callbacks",
        "router_settings.routing_strategy",
        "general_settings.database_url",
    }


def test_a_variable_that_only_an_unused_key_needs_may_be_unset(load: Load) -> None:
    assert load(TEAM, **TEAM_ENV).master_key == SecretRef("env", "LITELLM_MASTER_KEY")  # DATABASE_URL is not set


def test_litellms_settings_with_a_meaning_here_are_taken_over(load: Load) -> None:
    configuration = load(TEAM, **TEAM_ENV)
    assert load_settings({}, configuration.settings).call_timeout_s == 600.0


def test_unset_variables_are_all_named_with_their_place(load: Load) -> None:
    text = problems(load, TEAM, EXTERNAL_ID="", NOVA_KEY_ID="x")
    assert "model_list[0].litellm_params.aws_external_id: the environment variable EXTERNAL_ID is not set" in text
    assert "model_list[2].litellm_params.aws_secret_access_key: the environment variable NOVA_SECRET" in text
    assert "general_settings.master_key: the environment variable LITELLM_MASTER_KEY" in text


def test_a_wildcard_offers_the_catalog_of_its_region(load: Load, catalog: Catalog) -> None:
    configuration = load(
        """
        model_list:
          - model_name: "bedrock/*"
            litellm_params:
              model: "bedrock/*"
              aws_region_name: ap-northeast-1
        """
    )
    assert configuration.models == catalog.bedrock_models("ap-northeast-1", None, "aws")
    assert configuration.credential_sources == {"aws": CredentialSource("default")}
    assert configuration.unused == () and configuration.warnings == ()


def test_a_wildcard_may_be_narrow_and_yields_to_an_entry_of_the_same_name(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - model_name: claude-sonnet-4-5
            litellm_params: {model: bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0, aws_region_name: us-west-2}
          - model_name: "claude-sonnet-*"
            litellm_params: {model: "bedrock/us.anthropic.*", aws_region_name: us-east-1}
        """
    )
    models = {model.name: [deployment.id for deployment in model.deployments] for model in configuration.models}
    assert models == {
        "claude-sonnet-4-5": ["bedrock/us-west-2/us.anthropic.claude-sonnet-4-5-20250929-v1:0"],
        "claude-sonnet-4-6": ["bedrock/us-east-1/us.anthropic.claude-sonnet-4-6"],
        "claude-sonnet-5": ["bedrock/us-east-1/us.anthropic.claude-sonnet-5"],
        "claude-sonnet-5-5": ["bedrock/us-east-1/us.anthropic.claude-sonnet-5-5"],
    }
    explicit = next(model for model in configuration.models if model.name == "claude-sonnet-4-5")
    assert "claude-sonnet-4-5-20250929" in explicit.aliases  # named as in the catalog, so its other names hold too


def test_wildcards_of_two_regions_join_their_deployments(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: "*", litellm_params: {model: "bedrock/*", aws_region_name: us-east-1}}
          - {model_name: "*", litellm_params: {model: "bedrock/*", aws_region_name: eu-west-1}}
        sekisho: {allow_global_profiles: false}
        """
    )
    opus = next(model for model in configuration.models if model.name == "claude-opus-5-5")
    assert [deployment.region for deployment in opus.deployments] == ["us-east-1", "eu-west-1"]


@pytest.mark.parametrize(
    ("model", "wire", "region", "upstream_model"),
    [
        ("bedrock/us-west-2/anthropic.claude-haiku-5-5", "bedrock_invoke", "us-west-2", "anthropic.claude-haiku-5-5"),
        ("bedrock/converse/us.anthropic.claude-opus-5", "bedrock_converse", "us-east-1", "us.anthropic.claude-opus-5"),
        ("bedrock/invoke/us.anthropic.claude-opus-5", "bedrock_invoke", "us-east-1", "us.anthropic.claude-opus-5"),
        ("bedrock/invoke/us.amazon.nova-pro-v1:0", "bedrock_converse", "us-east-1", "us.amazon.nova-pro-v1:0"),
        ("us.meta.llama3-1-70b-instruct-v1:0", "bedrock_converse", "us-east-1", "us.meta.llama3-1-70b-instruct-v1:0"),
        ("bedrock/claude-3-7-sonnet", "bedrock_invoke", "us-east-1", "us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
    ],
)
def test_litellms_ways_to_write_a_bedrock_model(
    load: Load, model: str, wire: str, region: str, upstream_model: str
) -> None:
    configuration = load(f"model_list: [{{model_name: m, litellm_params: {{model: '{model}'}}}}]")
    deployment = only(configuration).deployments[0]
    assert (deployment.wire, deployment.region, deployment.upstream_model) == (wire, region, upstream_model)
    assert deployment.price is not None and deployment.provider == "bedrock"


def test_an_application_inference_profile_is_priced_by_the_model_behind_it(load: Load) -> None:
    arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123"
    configuration = load(
        f"""
        model_list:
          - model_name: by-model-id
            litellm_params:
              model: bedrock/eu.anthropic.claude-sonnet-5
              model_id: "{arn}"
              aws_region_name: eu-west-1
          - model_name: by-base-model
            litellm_params: {{model: "bedrock/converse/{arn}"}}
            model_info: {{base_model: bedrock/eu.anthropic.claude-sonnet-5}}
          - model_name: unknown
            litellm_params: {{model: "bedrock/{arn}"}}
        """
    )
    by_model_id, by_base_model, unknown = (model.deployments[0] for model in configuration.models)
    for deployment in (by_model_id, by_base_model):
        assert (deployment.upstream_model, deployment.region) == (arn, "eu-west-1")
        assert deployment.price is not None and deployment.price.scope == "eu"
    assert unknown.price is None  # never $0: the path refuses it
    assert any("unknown: the price of arn:" in warning for warning in configuration.warnings)


def test_a_system_profiles_arn_is_its_id(load: Load) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0"
    deployment = only(load(f"model_list: [{{model_name: m, litellm_params: {{model: 'bedrock/{arn}'}}}}]")).deployments[
        0
    ]
    assert deployment.upstream_model == arn
    assert deployment.price is not None and deployment.price.scope == "us"


def test_an_endpoint_profile_and_api_key_of_an_entry_are_used(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - model_name: a
            litellm_params:
              model: bedrock/us.amazon.nova-lite-v1:0
              aws_bedrock_runtime_endpoint: https://vpce-1.bedrock-runtime.us-east-1.vpce.example/
              aws_profile_name: dev
          - model_name: b
            litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0, api_key: os.environ/BEDROCK_KEY}
        """,
        BEDROCK_KEY="bedrock-api-key-1",
    )
    a, b = (model.deployments[0] for model in configuration.models)
    assert a.endpoint == "https://vpce-1.bedrock-runtime.us-east-1.vpce.example"
    assert configuration.credential_sources == {
        a.credential: CredentialSource("profile", profile="dev"),
        b.credential: CredentialSource("bearer", token="bedrock-api-key-1"),
    }


def test_a_bedrock_key_in_the_environment_is_used_as_awss_own_tools_do(load: Load) -> None:
    configuration = load(
        "model_list: [{model_name: m, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0}}]",
        AWS_BEARER_TOKEN_BEDROCK="key-1",
    )
    assert configuration.credential_sources == {"bedrock-key": CredentialSource("bearer", token="key-1")}


def test_two_sources_that_would_share_a_name_do_not(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: a, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0, api_key: one}}
          - {model_name: b, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0, api_key: two}}
          - {model_name: c, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0, api_key: one}}
        """
    )
    assert [model.deployments[0].credential for model in configuration.models] == [
        "bedrock-key",
        "bedrock-key-2",
        "bedrock-key",
    ]


def test_the_files_own_variables_are_used_and_the_idle_ones_named(load: Load) -> None:
    configuration = load(
        """
        environment_variables:
          AWS_REGION_NAME: eu-central-1
          AWS_ACCESS_KEY_ID: AKIAEXAMPLE00000FILE
          AWS_SECRET_ACCESS_KEY: file-secret
          MASTER: sk-from-file
          LANGFUSE_HOST: https://langfuse.example
        model_list: [{model_name: m, litellm_params: {model: bedrock/eu.amazon.nova-lite-v1:0}}]
        general_settings: {master_key: os.environ/MASTER}
        """
    )
    assert only(configuration).deployments[0].region == "eu-central-1"
    assert configuration.settings == {"aws_region": "eu-central-1"}
    assert configuration.credential_sources["aws-key-FILE"].secret_access_key == "file-secret"
    assert configuration.master_key == SecretRef("literal", "sk-from-file")
    assert configuration.unused == ("environment_variables.LANGFUSE_HOST",)


def test_claude_at_anthropics_own_api(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - model_name: claude-opus-4-5
            litellm_params: {model: anthropic/claude-opus-4-5-20251101, api_key: os.environ/ANTHROPIC_API_KEY}
          - model_name: "anthropic/*"
            litellm_params: {model: "anthropic/*"}
        """,
        ANTHROPIC_API_KEY="sk-ant-1",
    )
    models = {model.name: model for model in configuration.models}
    deployment = models["claude-opus-4-5"].deployments[0]
    assert (deployment.provider, deployment.wire) == ("anthropic", "anthropic_messages")
    assert (deployment.endpoint, deployment.credential) == ("https://api.anthropic.com", "anthropic")
    assert deployment.price is not None
    assert (deployment.price.scope, deployment.price.base.input) == ("anthropic-api", 5_000_000)
    assert models["anthropic/claude-haiku-4-5"].aliases == ("anthropic/claude-haiku-4-5-20251001",)
    assert models["anthropic/claude-haiku-4-5"].deployments[0].upstream_model == "claude-haiku-4-5-20251001"


def test_a_wildcard_of_anthropics_api_may_be_narrow(load: Load) -> None:
    configuration = load(
        "model_list: [{model_name: 'anthropic/claude-fable-*', litellm_params: {model: 'anthropic/*', api_key: k}}]"
    )
    assert [model.name for model in configuration.models] == ["anthropic/claude-fable-5", "anthropic/claude-fable-5-1"]


def test_openai_and_servers_that_speak_its_api(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - model_name: gpt
            litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
          - model_name: qwen-local
            litellm_params:
              model: hosted_vllm/Qwen/Qwen3-Coder
              api_base: http://10.0.0.7:8000/v1
              input_cost_per_token: 0
              output_cost_per_token: 0
            model_info: {max_input_tokens: 262144, max_output_tokens: 65536, supports_vision: true}
          - model_name: llama-local
            litellm_params: {model: ollama_chat/llama3.1, api_base: "http://127.0.0.1:11434"}
        """,
        OPENAI_API_KEY="sk-openai",
    )
    gpt, qwen, llama = configuration.models
    assert (gpt.deployments[0].endpoint, gpt.deployments[0].upstream_model) == ("https://api.openai.com/v1", "gpt-4o")
    assert gpt.deployments[0].price is None and gpt.family == "other"
    assert qwen.deployments[0].price is not None and qwen.deployments[0].price.base == TokenPrices(0, 0, 0, 0, 0)
    assert (qwen.deployments[0].upstream_model, qwen.deployments[0].credential) == ("Qwen/Qwen3-Coder", "")
    assert (qwen.context_tokens, qwen.max_output_tokens, qwen.quirks.images) == (262_144, 65_536, True)
    assert llama.deployments[0].endpoint == "http://127.0.0.1:11434/v1"
    warned = [warning.partition(":")[0] for warning in configuration.warnings]
    assert warned == ["gpt", "gpt", "llama-local", "llama-local"]  # price and limits of each


def test_a_model_of_a_provider_that_is_not_served_is_left_out_and_named(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: azure, litellm_params: {model: azure/gpt-4o, api_key: os.environ/NOT_SET}}
          - {model_name: gemini, litellm_params: {model: gemini-pro, custom_llm_provider: vertex_ai}}
          - {model_name: embed, litellm_params: {model: bedrock/amazon.titan-embed}, model_info: {mode: embedding}}
          - {model_name: mantle, litellm_params: {model: bedrock/openai.gpt-oss-120b}}
          - {model_name: rented, litellm_params: {model: bedrock/us-west-2/1-month-commitment/anthropic.claude-v2:1}}
          - {model_name: "gpt-*", litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0}}
          - {model_name: "*", litellm_params: {model: "openai/*", api_key: x}}
          - {model_name: local, litellm_params: {model: hosted_vllm/qwen}}
          - {model_name: far, litellm_params: {model: bedrock/llama-3-1-70b-instruct, aws_region_name: eu-west-1}}
          - {model_name: nova, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0}}
        """
    )
    assert [model.name for model in configuration.models] == ["nova"]
    left_out = [warning.split(" ")[1] for warning in configuration.warnings]
    assert left_out == ["(azure)", "(gemini)", "(embed)", "(mantle)", "(rented)", "(gpt-*)", "(*)", "(local)", "(far)"]
    assert "model_list[0].litellm_params.api_key" in configuration.unused


def test_a_retired_model_is_served_with_a_warning(load: Load) -> None:
    configuration = load(
        "model_list: [{model_name: m, litellm_params: {model: bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0}}]"
    )
    assert only(configuration).deployments[0].price is not None
    assert "end of life on 2026-10-14" in configuration.warnings[0]


def test_named_credentials_of_the_file_are_used(load: Load) -> None:
    text = """
        credential_list:
          - credential_name: prod
            credential_values:
              aws_role_name: arn:aws:iam::111122223333:role/gateway
              aws_sts_endpoint: https://sts.eu-west-1.amazonaws.com
              aws_region_name: eu-west-1
            credential_info: {description: production}
          - {credential_name: idle, credential_values: {api_key: os.environ/NOT_SET}}
        model_list:
          - model_name: m
            litellm_params: {model: bedrock/eu.amazon.nova-lite-v1:0, litellm_credential_name: prod}
    """
    configuration = load(text)
    deployment = only(configuration).deployments[0]
    assert (deployment.region, deployment.account) == ("eu-west-1", "111122223333")
    source = configuration.credential_sources[deployment.credential]
    assert (source.kind, source.sts_endpoint) == ("assume_role", "https://sts.eu-west-1.amazonaws.com")
    assert configuration.unused == ("credential_list.idle",)
    assert "no credential dev" in problems(
        load, text.replace("litellm_credential_name: prod", "litellm_credential_name: dev")
    )


def test_a_global_profile_is_refused_where_calls_must_stay_in_their_geography(load: Load) -> None:
    text = """
        model_list: [{model_name: m, litellm_params: {model: bedrock/global.anthropic.claude-opus-5}}]
        sekisho: {allow_global_profiles: false}
    """
    assert "allow_global_profiles is false" in problems(load, text)


@pytest.mark.parametrize("id", ["eu.amazon.nova-lite-v1:0", "anthropic.claude-opus-5"])
def test_an_id_that_the_region_is_not_known_to_offer_is_warned_of(load: Load, id: str) -> None:
    configuration = load(f"model_list: [{{model_name: m, litellm_params: {{model: 'bedrock/{id}'}}}}]")
    assert configuration.warnings == (f"m: {id} is not known to be offered in us-east-1.",)


def test_bare_names_belong_to_the_provider_that_they_give_away(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: a, litellm_params: {model: claude-sonnet-4-5-20250929, api_key: k}}
          - {model_name: b, litellm_params: {model: gpt-4o, api_key: k}}
          - {model_name: c, litellm_params: {model: nova-pro}}
          - {model_name: d, litellm_params: {model: anthropic/nova-pro, api_key: k}}
        """
    )
    assert [model.deployments[0].provider for model in configuration.models] == ["anthropic", "openai", "anthropic"]
    assert configuration.models[2].deployments[0].price is None  # Anthropic does not sell it
    assert "model_list[2] (c) is left out: its provider (nova-pro) is not served here." in configuration.warnings


def test_different_models_under_one_name_offer_only_what_both_can_do(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: best, litellm_params: {model: bedrock/us.anthropic.claude-3-7-sonnet-20250219-v1:0, order: 2}}
          - {model_name: best, litellm_params: {model: bedrock/us.meta.llama3-1-70b-instruct-v1:0, order: 1}}
        """
    )
    best = only(configuration)
    assert [deployment.upstream_model[:7] for deployment in best.deployments] == ["us.meta", "us.anth"]  # by order
    assert (best.family, best.context_tokens, best.max_output_tokens) == ("mixed", 128_000, 4096)
    assert not best.quirks.images and not best.quirks.forced_tool_choice and best.quirks.cache_min_tokens == 0
    assert "different models" in configuration.warnings[0]


def test_equal_deployments_get_ids_of_their_own(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: m, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0, aws_profile_name: a}}
          - {model_name: m, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0, aws_profile_name: b}}
          - {model_name: m, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0}, model_info: {id: third}}
        """
    )
    ids = [deployment.id for deployment in only(configuration).deployments]
    assert ids == [
        "bedrock/us-east-1/us.amazon.nova-lite-v1:0",
        "bedrock/us-east-1/us.amazon.nova-lite-v1:0#2",
        "third",
    ]


def test_an_unknown_bedrock_model_is_served_only_with_a_price(load: Load) -> None:
    configuration = load(
        """
        model_list:
          - {model_name: new, litellm_params: {model: bedrock/acme.model-1, aws_region_name: us-east-1}}
          - model_name: priced
            litellm_params: {model: bedrock/acme.model-1, input_cost_per_token: 0.000001, output_cost_per_token: 2e-06}
        """
    )
    new, priced = (model.deployments[0] for model in configuration.models)
    assert new.price is None and new.wire == "bedrock_converse"
    assert priced.price is not None and (priced.price.base.input, priced.price.base.output) == (1_000_000, 2_000_000)
    assert priced.price.version.startswith("config-") and priced.price.scope == "stated"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("guardrails: [{guardrail_name: pii}]", "guardrails"),
        ("general_settings: {custom_auth: my.auth}", "general_settings.custom_auth"),
        ("general_settings: {allowed_ips: ['10.0.0.1']}", "general_settings.allowed_ips"),
        ("litellm_settings: {max_budget: 100}", "litellm_settings.max_budget"),
        (
            "model_list: [{model_name: m, litellm_params: {model: bedrock/us.amazon.nova-lite-v1:0},"
            " model_info: {team_id: t1}}]",
            "model_list[0].model_info.team_id",
        ),
    ],
)
def test_a_control_that_would_not_be_enforced_stops_the_start_unless_accepted(
    load: Load, text: str, named: str
) -> None:
    assert f"{named} asks for a control that is not enforced here" in problems(load, text)
    accepted = load(f"{text}\nsekisho: {{accept_not_enforced: ['{named}']}}")
    assert accepted.unused == (named,)
    assert accepted.settings == {}


def test_our_own_section_holds_settings(load: Load) -> None:
    configuration = load("sekisho: {port: 5000, keepalive_s: 2.5, aws_region: eu-west-1}")
    settings = load_settings({"AWS_REGION": "us-west-2"}, configuration.settings)
    assert (settings.port, settings.keepalive_s, settings.aws_region) == (5000, 2.5, "eu-west-1")
    assert configuration.models == ()


def test_a_bad_setting_in_our_section_is_named(load: Load) -> None:
    assert "setting prot. Did you mean port?" in problems(load, "sekisho: {prot: 1}")


def test_a_master_key_written_in_the_file_works_with_a_warning(load: Load) -> None:
    configuration = load("general_settings: {master_key: sk-1234}")
    assert configuration.master_key == SecretRef("literal", "sk-1234")
    assert "os.environ/NAME" in configuration.warnings[0]
    assert "sk-1234" not in repr(configuration)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{model_name: m}", "needs a model_name and litellm_params.model"),
        ("{model_name: m, litellm_params: []}", "litellm_params must be a mapping"),
        ("{model_name: m, litellm_params: {model: bedrock/x, aws_region_name: 'evil.example/'}}", "AWS Region"),
        ("{model_name: m, litellm_params: {model: bedrock/x, aws_access_key_id: AK}}", "one half of an AWS key pair"),
        ("{model_name: m, litellm_params: {model: bedrock/x, aws_role_name: admin}}", "the ARN of an IAM role"),
        ("{model_name: m, litellm_params: {model: bedrock/x, aws_web_identity_token: t}}", "is not supported"),
        ("{model_name: m, litellm_params: {model: bedrock/x, api_base: 'ftp://x'}}", "http or https address"),
        ("{model_name: m, litellm_params: {model: bedrock/x, api_key: 'file:/no/such/key'}}", "cannot be read"),
        ("{model_name: m, litellm_params: {model: anthropic/claude-opus-5}}", "ANTHROPIC_API_KEY is not set"),
        ("{model_name: m, litellm_params: {model: openai/gpt-4o}}", "OPENAI_API_KEY is not set"),
        ("{model_name: [m], litellm_params: {model: bedrock/x}}", "model_name must be a text"),
        (
            "{model_name: m, litellm_params: {model: bedrock/x}, model_info: {max_input_tokens: many}}",
            "must be a whole number above 0",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_stops_the_start(load: Load, entry: str, problem: str) -> None:
    text = problems(load, f"model_list: [{entry}]")
    assert problem in text and "model_list[0]" in text


def test_a_group_alias_of_nothing_is_named(load: Load) -> None:
    configuration = load("router_settings: {model_group_alias: {gpt-4: {model: nothing, hidden: true}}}")
    assert configuration.warnings == ("router_settings.model_group_alias.gpt-4: there is no model nothing.",)


@pytest.mark.parametrize(
    "text",
    ["model_list: {a: b}", "model_list: [text]", "environment_variables: [a]", "sekisho: {accept_not_enforced: x}"],
)
def test_a_file_of_another_shape_stops_the_start(load: Load, text: str) -> None:
    assert "must be" in problems(load, text)
