"""Which model ids can be called from where."""

import pytest

from tests.contract.simulator.conftest import OPUS, REGION, SONNET, Bedrock, connected, text, user

HELLO = [user(text())]


async def test_an_unknown_model_is_refused(bedrock: Bedrock) -> None:
    refusal = await bedrock.refusal("converse", modelId="anthropic.claude-9", messages=HELLO)
    assert refusal == ("ValidationException", 400, "The provided model identifier is invalid.")


async def test_the_bare_id_of_a_profile_only_model_needs_the_profile(bedrock: Bedrock) -> None:
    _, _, message = await bedrock.refusal("converse", modelId=SONNET.removeprefix("eu."), messages=HELLO)
    assert "with on-demand throughput isn't supported" in message


async def test_a_profile_is_known_in_its_geography_only(url: str) -> None:
    with connected(url, region="us-east-1") as american:
        refusal = await american.refusal("converse", modelId=SONNET, messages=HELLO)
        assert refusal[2] == "The provided model identifier is invalid."
        assert (await american.call("converse", modelId=OPUS, messages=HELLO))["stopReason"] == "end_turn"


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{SONNET}", "ValidationException"),
        ("arn:aws:bedrock:eu-central-1:111122223333:application-inference-profile/abc", "ResourceNotFoundException"),
    ],
)
async def test_an_arn_of_elsewhere_is_refused(bedrock: Bedrock, arn: str, code: str) -> None:
    assert (await bedrock.refusal("converse", modelId=arn, messages=HELLO))[0] == code


async def test_the_inference_profiles_of_the_region_are_listed(url: str) -> None:
    with connected(url, service="bedrock") as client:
        (profile,) = (await client.call("list_inference_profiles"))["inferenceProfileSummaries"]
        applications = await client.call("list_inference_profiles", typeEquals="APPLICATION")
        refusal = await client.refusal("list_inference_profiles", typeEquals="OTHER")
    assert profile["inferenceProfileId"] == SONNET
    assert profile["inferenceProfileArn"] == f"arn:aws:bedrock:{REGION}:111122223333:inference-profile/{SONNET}"
    assert (profile["status"], profile["type"]) == ("ACTIVE", "SYSTEM_DEFINED")
    assert applications["inferenceProfileSummaries"] == []
    assert refusal[0] == "ValidationException"
    with connected(url, service="bedrock", region="us-east-1") as client:
        assert (await client.call("list_inference_profiles"))["inferenceProfileSummaries"] == []
