"""What the catalog offers: names, ids, order of preference, prices. The figures are the providers' published ones."""

import re

import pytest

from sekisho.ledger.catalog import ANTHROPIC_API, IN_REGION, Catalog, load_catalog
from sekisho.values import Model, PriceStep, TokenPrices


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def offered(catalog: Catalog, region: str, *, allow_global: bool = True) -> dict[str, Model]:
    models = catalog.bedrock_models(region, None, "aws", allow_global=allow_global)
    return {model.name: model for model in models}


def upstream_models(model: Model) -> list[str]:
    return [deployment.upstream_model for deployment in model.deployments]


def test_the_models_that_agents_are_set_up_with_are_offered_in_the_first_region(catalog: Catalog) -> None:
    names = offered(catalog, "us-east-1").keys()
    assert names >= {
        "claude-3-7-sonnet",
        "claude-sonnet-4-5",
        "claude-opus-5-5",
        "claude-haiku-5-5",
        "nova-pro",
        "llama-3-1-70b-instruct",
        "gpt-oss-120b",
        "qwen3-coder-480b-a35b",
    }


def test_a_model_with_an_in_region_id_prefers_it_to_its_profile(catalog: Catalog) -> None:
    assert upstream_models(offered(catalog, "us-east-1")["nova-pro"]) == [
        "amazon.nova-pro-v1:0",
        "us.amazon.nova-pro-v1:0",
    ]
    assert upstream_models(offered(catalog, "us-west-2")["nova-pro"]) == ["us.amazon.nova-pro-v1:0"]


def test_tokyo_prefers_the_japanese_profile_then_the_asian_one_then_the_global_one(catalog: Catalog) -> None:
    assert upstream_models(offered(catalog, "ap-northeast-1")["claude-sonnet-5-5"]) == [
        "jp.anthropic.claude-sonnet-5-5",
        "apac.anthropic.claude-sonnet-5-5",
        "global.anthropic.claude-sonnet-5-5",
    ]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-2", ["us", "global"]),
        ("eu-west-1", ["eu", "global"]),
        ("ap-southeast-2", ["au", "apac", "global"]),
        ("ap-southeast-1", ["apac", "global"]),
        ("ap-south-1", ["apac", "global"]),
        ("us-gov-west-1", ["us-gov"]),
        ("ca-central-1", ["global"]),
        ("sa-east-1", ["global"]),
    ],
)
def test_a_region_uses_the_profiles_of_its_own_geography(catalog: Catalog, region: str, expected: list[str]) -> None:
    model = offered(catalog, region)["claude-opus-5-5"]
    assert [deployment.price.scope for deployment in model.deployments if deployment.price] == expected


def test_without_global_profiles_no_call_can_leave_the_geography(catalog: Catalog) -> None:
    for model in offered(catalog, "ap-northeast-1", allow_global=False).values():
        for deployment in model.deployments:
            assert not deployment.upstream_model.startswith("global.")
    assert "claude-opus-4-5" not in offered(catalog, "ap-northeast-1", allow_global=False)  # it has only a global one


def test_models_of_the_mantle_endpoint_are_not_offered(catalog: Catalog) -> None:
    assert "openai.gpt-oss-120b" in catalog.mantle_only
    for region in ("us-east-1", "us-west-2", "ap-northeast-1"):
        ids = {id for model in offered(catalog, region).values() for id in upstream_models(model)}
        assert not ids & catalog.mantle_only


def test_a_model_past_its_end_of_life_is_known_but_not_offered(catalog: Catalog) -> None:
    found = catalog.find("claude-sonnet-4-20250514")
    assert found is not None and catalog.is_retired(found.listed)  # 2026-10-14
    assert "claude-sonnet-4" not in offered(catalog, "us-east-1")
    assert "claude-sonnet-4-5" in offered(catalog, "us-east-1")  # 2027-04-08: still there


def test_a_deployment_says_where_it_goes_and_reads_well(catalog: Catalog) -> None:
    models = catalog.bedrock_models("us-east-1", None, "aws-role", account="111122223333")
    deployment = next(model for model in models if model.name == "claude-3-7-sonnet").deployments[0]
    assert deployment.id == "bedrock/111122223333/us-east-1/us.anthropic.claude-3-7-sonnet-20250219-v1:0"
    assert deployment.endpoint == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert (deployment.wire, deployment.credential, deployment.account) == (
        "bedrock_invoke",
        "aws-role",
        "111122223333",
    )


def test_an_endpoint_of_ones_own_replaces_the_regions(catalog: Catalog) -> None:
    models = catalog.bedrock_models("us-east-1", "http://127.0.0.1:4010", "simulator")
    assert {deployment.endpoint for model in models for deployment in model.deployments} == {"http://127.0.0.1:4010"}


def test_claude_prefers_invoke_and_everything_else_converse(catalog: Catalog) -> None:
    for model in offered(catalog, "us-east-1").values():
        expected = "bedrock_invoke" if model.name.startswith("claude-") else "bedrock_converse"
        assert {deployment.wire for deployment in model.deployments} == {expected}
        assert (model.family == "claude") == model.name.startswith("claude-")


@pytest.mark.parametrize(
    "alias",
    [
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/invoke/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5-20250929",
        "anthropic.claude-sonnet-4-5",
    ],
)
def test_a_model_answers_to_the_ids_that_clients_use(catalog: Catalog, alias: str) -> None:
    assert alias in offered(catalog, "us-east-1")["claude-sonnet-4-5"].aliases


def test_no_name_and_no_alias_means_two_models(catalog: Catalog) -> None:
    owners: dict[str, str] = {}
    for model in offered(catalog, "us-east-1").values():
        for name in (model.name, *model.aliases):
            assert owners.setdefault(name, model.name) == model.name


def test_an_id_is_found_with_its_price_scope(catalog: Catalog) -> None:
    def scope(id: str) -> str:
        found = catalog.find(id)
        assert found is not None
        return found.scope

    assert scope("amazon.nova-pro-v1:0") == IN_REGION
    assert scope("eu.amazon.nova-pro-v1:0") == "eu"
    assert scope("nova-pro") == ""
    assert catalog.find("jp.amazon.nova-pro-v1:0") is None  # there is no such profile, and none is made up


def test_prices_are_whole_pico_usd_of_the_published_figures(catalog: Catalog) -> None:
    found = catalog.find("us.anthropic.claude-haiku-5-5")
    assert found is not None
    price = catalog.price(found.listed, found.scope)
    assert price is not None
    # published: 0.11 / 0.55 USD per million to 100K, five times that above; read 10 %, writes 1.25x and 2x of input
    assert price.base == TokenPrices(110_000, 550_000, 11_000, 137_500, 220_000)
    assert price.steps == (PriceStep(100_000, TokenPrices(550_000, 2_750_000, 55_000, 687_500, 1_100_000)),)
    assert (price.scope, price.version) == ("us", f"catalog-{catalog.version}")


def test_a_price_may_be_finer_than_a_nano_usd_per_token(catalog: Catalog) -> None:
    found = catalog.find("amazon.nova-micro-v1:0")
    assert found is not None
    price = catalog.price(found.listed, IN_REGION)
    assert price is not None and price.base.cache_read == 8_750  # 0.00875 USD per million


def test_cache_tokens_without_a_listed_price_are_never_free(catalog: Catalog) -> None:
    nova = catalog.find("nova-pro")
    claude = catalog.find("claude-3-7-sonnet")
    assert nova is not None and claude is not None
    nova_price = catalog.price(nova.listed, "us")
    claude_price = catalog.price(claude.listed, "us")
    assert nova_price is not None and claude_price is not None
    assert nova_price.base.cache_write_5m == nova_price.base.input  # no write price is listed
    assert claude_price.base.cache_write_1h == claude_price.base.cache_write_5m == 3_750_000  # no 1 h price is listed


def test_a_scope_without_a_listed_price_has_none(catalog: Catalog) -> None:
    found = catalog.find("us.anthropic.claude-mythos-5")
    assert found is not None
    assert catalog.price(found.listed, IN_REGION) is None


def test_every_offered_price_is_positive_in_every_class(catalog: Catalog) -> None:
    for region in ("us-east-1", "eu-west-1", "ap-northeast-1", "us-gov-west-1"):
        for model in offered(catalog, region).values():
            for deployment in model.deployments:
                assert deployment.price is not None
                for prices in (deployment.price.base, *(step.prices for step in deployment.price.steps)):
                    assert min(prices.input, prices.output, prices.cache_read, prices.cache_write_5m) > 0
                    assert prices.cache_write_1h >= prices.cache_write_5m >= prices.input


def test_geographic_claude_profiles_since_4_5_cost_a_tenth_more_than_the_global_one(catalog: Catalog) -> None:
    for name in ("claude-sonnet-4-5", "claude-opus-5-5", "claude-haiku-4-5"):
        found = catalog.find(name)
        assert found is not None
        geographic, world = catalog.price(found.listed, "us"), catalog.price(found.listed, "global")
        assert geographic is not None and world is not None
        assert geographic.base.input * 10 == world.base.input * 11


def test_quirks_follow_the_claude_generations(catalog: Catalog) -> None:
    models = offered(catalog, "us-east-1")
    assert models["claude-3-7-sonnet"].quirks.thinking == ("enabled", "disabled")
    assert models["claude-sonnet-4-5"].quirks.thinking == ("enabled", "disabled")
    assert not models["claude-sonnet-4-5"].quirks.effort and models["claude-opus-4-5"].quirks.effort
    assert models["claude-opus-4-6"].quirks.thinking == ("enabled", "adaptive", "disabled")
    assert models["claude-sonnet-5"].quirks.thinking == ("adaptive", "disabled")
    assert not models["claude-sonnet-5"].quirks.sampling and not models["claude-opus-4-6"].quirks.prefill
    assert models["claude-opus-5-5"].quirks.thinking_always_on
    assert not models["claude-sonnet-5-5"].quirks.forced_tool_choice
    assert (
        models["claude-haiku-5-5"].quirks.forced_tool_choice
        and not models["claude-haiku-5-5"].quirks.thinking_always_on
    )
    assert models["claude-3-7-sonnet"].quirks.cache_min_tokens == 1024
    assert not models["claude-3-7-sonnet"].quirks.cache_ttl_1h and models["claude-sonnet-4-5"].quirks.cache_ttl_1h


def test_quirks_of_other_families(catalog: Catalog) -> None:
    models = offered(catalog, "us-east-1")
    assert not models["deepseek-r1"].quirks.tools
    assert not models["llama-3-1-70b-instruct"].quirks.forced_tool_choice
    assert models["nova-pro"].quirks.images and not models["nova-micro"].quirks.images
    assert models["gpt-oss-120b"].quirks.cache_min_tokens == 0


def test_anthropics_own_api_gets_its_dated_names_and_base_prices(catalog: Catalog) -> None:
    models = {model.name: model for model in catalog.anthropic_models("https://api.anthropic.com", "anthropic")}
    deployment = models["claude-opus-4-5"].deployments[0]
    assert (deployment.upstream_model, deployment.wire) == ("claude-opus-4-5-20251101", "anthropic_messages")
    assert deployment.price is not None and deployment.price.scope == ANTHROPIC_API
    assert deployment.price.base == TokenPrices(5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000)
    assert models["claude-3-7-sonnet"].deployments[0].upstream_model == "claude-3-7-sonnet-20250219"
    assert all(re.fullmatch(r"claude-[a-z0-9-]+", model.deployments[0].upstream_model) for model in models.values())


def test_prices_lead_to_the_public_list_they_were_taken_from(catalog: Catalog) -> None:
    found = catalog.find("jp.anthropic.claude-sonnet-4-6")
    assert found
    at = {scope: catalog.published_at(found.listed, scope) for scope in ("jp", ANTHROPIC_API, "nowhere")}
    assert at == {"jp": "https://aws.amazon.com/bedrock/pricing/", ANTHROPIC_API: "", "nowhere": ""}
