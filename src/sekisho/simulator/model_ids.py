"""Which ids the simulated Bedrock knows: foundation models and inference profiles, bare or as ARN, per Region."""

import re
from collections.abc import Iterable
from typing import Any

from sekisho.simulator.exceptions import AwsException, validation
from sekisho.values import Model

# Where each kind of profile can be called from. Source: inference profile support by Region.
GEOGRAPHIES: dict[str, tuple[str, ...]] = {
    "apac": ("ap-",),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "ca": ("ca-",),
    "eu": ("eu-",),
    "global": ("",),
    "in": ("ap-south-",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "us": ("us-east-", "us-west-", "ca-"),
    "us-gov": ("us-gov-",),
}
_ARN = re.compile(
    r"arn:aws:bedrock:(?P<region>[a-z0-9-]*):(?P<account>[0-9]{12})?:"
    r"(?P<kind>foundation-model|inference-profile)/(?P<id>[a-zA-Z0-9.:-]+)"
)
_INVALID = "The provided model identifier is invalid."


class ModelIds:
    """The Bedrock ids of a catalog's deployments."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {
            deployment.upstream_model: model
            for model in models
            for deployment in model.deployments
            if deployment.provider == "bedrock"
        }

    def get(self, text: str, region: str) -> tuple[str, Model]:
        """The id without its ARN, and its model, as called in a Region (empty: any). Raises AwsException."""
        model_id = _without_arn(text, region)
        model = self._models.get(model_id)
        if model is None:
            if any(bare_id(known) == model_id for known in self._models):
                raise validation(
                    f"Invocation of model ID {model_id} with on-demand throughput isn't supported. Retry your request "
                    "with the ID or ARN of an inference profile that contains this model."
                )
            raise validation(_INVALID)
        if not _is_callable(model_id, region):
            raise validation(_INVALID)
        return model_id, model

    def get_for_counting(self, text: str, region: str) -> tuple[str, Model]:
        """As `get`; CountTokens takes the bare id of a model even where calling it needs a profile."""
        model_id = _without_arn(text, region)
        for known, model in self._models.items():
            if bare_id(known) == model_id:
                return model_id, model
        return self.get(text, region)

    def profiles(self, region: str, account: str) -> list[dict[str, Any]]:
        """The system-defined inference profiles of a Region (empty: of all), as ListInferenceProfiles shows them."""
        where = region or "us-east-1"
        return [
            {
                "inferenceProfileName": re.sub(r"[^0-9A-Za-z]+", " ", profile_id)[:64].strip(),
                "createdAt": "2026-01-01T00:00:00Z",
                "updatedAt": "2026-01-01T00:00:00Z",
                "inferenceProfileArn": f"arn:aws:bedrock:{where}:{account}:inference-profile/{profile_id}",
                "models": [{"modelArn": f"arn:aws:bedrock:{where}::foundation-model/{bare_id(profile_id)}"}],
                "inferenceProfileId": profile_id,
                "status": "ACTIVE",
                "type": "SYSTEM_DEFINED",
            }
            for profile_id in sorted(self._models)
            if bare_id(profile_id) != profile_id and _is_callable(profile_id, region)
        ]


def bare_id(model_id: str) -> str:
    """The foundation model's id behind a profile's."""
    geography, _, rest = model_id.partition(".")
    return rest if geography in GEOGRAPHIES else model_id


def _is_callable(model_id: str, region: str) -> bool:
    geography = model_id.partition(".")[0]
    return not region or geography not in GEOGRAPHIES or region.startswith(GEOGRAPHIES[geography])


def _without_arn(text: str, region: str) -> str:
    if not text.startswith("arn:"):
        return text
    arn = _ARN.fullmatch(text)
    if arn is None:
        raise AwsException("ResourceNotFoundException", "Could not resolve the resource from the provided ARN.")
    if region and arn["region"] not in ("", region):
        raise validation(_INVALID)
    return arn["id"]
