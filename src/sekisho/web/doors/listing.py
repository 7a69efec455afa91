"""What may be called: the model lists in each dialect that asks for one."""

from typing import Any

import msgspec

from sekisho.access.keys import check, may_use
from sekisho.access.policies import Denied
from sekisho.calls.gate import Gate
from sekisho.calls.stages.authenticate import presented_key
from sekisho.clock import id_text, new_id
from sekisho.errors import ModelNotFound, NotAuthenticated, SekishoError
from sekisho.values import Door, Model, Price, VirtualKey
from sekisho.web.doors.asgi import Scope, Send, address_of, headers_of, send_whole
from sekisho.web.doors.refusals import id_headers, send_error

_PICO = 1e12


class ListingDoor:
    """Serves `/v1/models`, `/v1/model/info` and Bedrock's `/inference-profiles` for the models a key may use."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def models(self, scope: Scope, send: Send, *, name: str = "") -> None:
        """OpenAI's list, with the fields of Anthropic's beside: one answer that both SDKs read."""
        await self._serve(scope, send, lambda models: _models(models, name))

    async def model_info(self, scope: Scope, send: Send) -> None:
        """LiteLLM's list, from which Cline takes its models."""
        await self._serve(scope, send, lambda models: {"data": [_info(model) for model in models]})

    async def inference_profiles(self, scope: Scope, send: Send) -> None:
        """Bedrock's list, which Claude Code asks for in Bedrock mode."""
        await self._serve(scope, send, _profiles)

    async def _serve(self, scope: Scope, send: Send, render: Any) -> None:
        gate = self._gate
        call_id = id_text(new_id(gate.clock.now_us()))
        headers = headers_of(scope)
        try:
            await gate.registry.wait_ready(gate.limits.start_timeout_s)
            await gate.registry.wait_trusted(gate.clock, gate.limits.start_timeout_s)
            key = gate.registry.keys.find(gate.digest(presented_key(headers)))
            if key is None:
                gate.strangers.note(address_of(scope), gate.clock.now_us())
                raise NotAuthenticated("This key is not known here.")
            check(key, gate.clock.now_us())
            body = render(_usable(gate, key))
        except SekishoError as error:
            door: Door = "anthropic_messages" if b"anthropic-version" in headers else "openai_chat"
            await send_error(send, door, error, call_id)
        else:
            await send_whole(send, 200, msgspec.json.encode(body), headers=id_headers(call_id))


def _usable(gate: Gate, key: VirtualKey) -> list[Model]:
    """The models that the key may use, with the deployments that it may use."""
    allowance = gate.registry.allowance(key)
    models = (model for model in gate.registry.models.values() if may_use(key, model.name, model.aliases))
    return [left for left in map(allowance.model, models) if not isinstance(left, Denied)]


def _models(models: list[Model], name: str) -> dict[str, Any]:
    if name:
        found = next((model for model in models if name == model.name or name in model.aliases), None)
        if found is None:
            raise ModelNotFound(f"There is no model '{name[:100]}' here.")
        return _model(found)
    names = [model.name for model in models]
    return {
        "object": "list",
        "data": [_model(model) for model in models],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def _model(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": model.family,
        "type": "model",
        "display_name": model.name,
        "created_at": "2023-11-14T22:13:20Z",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }


def _info(model: Model) -> dict[str, Any]:
    price = next((deployment.price for deployment in model.deployments if deployment.price), None)
    quirks = model.quirks
    return {
        "model_name": model.name,
        "litellm_params": {"model": model.name},  # both ids are public: Cline offers both
        "model_info": {
            "id": model.name,
            "mode": "chat",
            "max_tokens": model.max_output_tokens,
            "max_output_tokens": model.max_output_tokens,
            "max_input_tokens": model.context_tokens,
            "supports_vision": quirks.images,
            "supports_pdf_input": quirks.documents,
            "supports_function_calling": quirks.tools,
            "supports_prompt_caching": quirks.cache_min_tokens > 0,
            "supports_reasoning": bool(quirks.thinking) or quirks.thinking_always_on,
            "supports_response_schema": quirks.json_schema,
            **(_prices(price) if price else {}),
        },
    }


def _prices(price: Price) -> dict[str, float]:
    """USD per token, as LiteLLM names them; for show, never for booking."""
    base = price.base
    return {
        "input_cost_per_token": base.input / _PICO,
        "output_cost_per_token": base.output / _PICO,
        "cache_read_input_token_cost": base.cache_read / _PICO,
        "cache_creation_input_token_cost": base.cache_write_5m / _PICO,
    }


def _profiles(models: list[Model]) -> dict[str, Any]:
    return {
        "inferenceProfileSummaries": [
            {
                "inferenceProfileId": model.name,
                "inferenceProfileName": model.name,
                "inferenceProfileArn": f"arn:aws:bedrock:::inference-profile/{model.name}",
                "models": [],
                "status": "ACTIVE",
                "type": "SYSTEM_DEFINED",
            }
            for model in models
        ]
    }
