"""The Bedrock runtime without its socket: one request in, one response with its playback out.

The order of judgement is AWS's: route, authentication, scripted refusals (as throttling comes), model id, body shape,
request rules, context window.
"""

import hashlib
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Protocol
from urllib.parse import parse_qs, unquote

import msgspec

from sekisho.clock import Clock
from sekisho.dialects.exchange import Request
from sekisho.simulator import converse, messages, shapes
from sekisho.simulator.answer import Answer
from sekisho.simulator.authentication import Authenticator, HttpRequest, Identity
from sekisho.simulator.behaviours import Behaviour, find, find_directives, refusal
from sekisho.simulator.converse_reply import ConverseRenderer
from sekisho.simulator.exceptions import AwsException, validation
from sekisho.simulator.messages_reply import MessagesRenderer
from sekisho.simulator.model_ids import ModelIds
from sekisho.simulator.playback import Step, play_body, play_stream, whole_answer_exception
from sekisho.simulator.prompt_cache import CacheKey, PromptCache
from sekisho.simulator.replies import Renderer, Reply
from sekisho.simulator.script.conversation import last_text
from sekisho.simulator.script.decide import answer
from sekisho.simulator.subject import Subject
from sekisho.simulator.tokens import CountedBlock, counted_blocks
from sekisho.values import AwsCredential, Model, Usage

CALLS_KEPT = 1000
BYTES_KEPT = 16_000_000  # of their bodies
BODY_BYTES_MAX = 25_000_000
_SPENT_KEPT = 10_000
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_JSON = "application/json"

_OPERATIONS = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "count-tokens": "CountTokens",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
}


class Script(Protocol):
    """What the model says to a request; `decide.answer` is the one that ships."""

    def __call__(
        self,
        request: Request,
        model: Model,
        behaviours: Sequence[Behaviour],
        *,
        room: int,
        id_prefix: str,
        random: Random,
    ) -> Answer: ...


class ReceivedCall(msgspec.Struct):
    """What came in and what became of it, for tests. `usage` is None unless an answer was given."""

    operation: str
    model_id: str
    headers: dict[str, str]
    body: bytes
    account: str = ""
    region: str = ""
    is_bearer: bool = False
    status: int = 0
    error: str = ""
    usage: Usage | None = None


class Response(msgspec.Struct, frozen=True):
    """A status, headers, and the steps that give the body. `length` is the body's size, None for a stream."""

    status: int
    headers: dict[str, str]
    steps: Iterator[Step]
    length: int | None


class _Exchange(msgspec.Struct, frozen=True):
    """A judged request on its way to an answer."""

    call: ReceivedCall
    identity: Identity
    subject: Subject
    blocks: Sequence[CountedBlock]
    renderer: Renderer
    behaviours: tuple[Behaviour, ...]
    headers: dict[str, str]
    started_us: int


class BedrockRuntime:
    """Holds what outlives a call: the prompt cache, the faults to come, the calls received."""

    def __init__(
        self,
        models: Iterable[Model],
        credentials: Sequence[AwsCredential],
        bearer_tokens: frozenset[str],
        regions: frozenset[str],
        clock: Clock,
        pace_s: float,
        script: Script = answer,
    ) -> None:
        self._authenticator = Authenticator(credentials, bearer_tokens, regions, clock)
        self._models = ModelIds(models)
        self._clock = clock
        self._pace_s = pace_s
        self._script = script
        self._cache = PromptCache(clock)
        self._random = Random(0)  # ids and padding only
        self._to_come = deque[Behaviour]()
        self._spent = dict[bytes, int]()
        self.calls = deque[ReceivedCall]()
        self._kept_bytes = 0

    def fail_next(self, asked: Behaviour, times: int) -> None:
        """Behave so in the next calls of a model, one behaviour a call."""
        self._to_come.extend([asked] * times)

    def respond(self, request: HttpRequest) -> Response:
        """The response to a request; AWS's exceptions are responses, too."""
        call = ReceivedCall("", "", dict(request.headers), request.body)
        self._keep(call)
        try:
            response = self._route(request, call)
        except AwsException as error:
            call.error = error.name
            headers = {"content-type": _JSON, "x-amzn-errortype": error.error_type}
            response = _whole(error.status, headers, error.body(), ())
        call.status = response.status
        response.headers["x-amzn-requestid"] = str(uuid.uuid4())
        return response

    def _keep(self, call: ReceivedCall) -> None:
        """The newest calls, so many and of so many bytes; this one in any case."""
        self.calls.append(call)
        self._kept_bytes += len(call.body)
        while len(self.calls) > CALLS_KEPT or (self._kept_bytes > BYTES_KEPT and len(self.calls) > 1):
            self._kept_bytes -= len(self.calls.popleft().body)

    def _route(self, request: HttpRequest, call: ReceivedCall) -> Response:
        segments = request.path.split("/")[1:]
        if request.method == "GET" and segments == ["inference-profiles"]:
            call.operation = "ListInferenceProfiles"
            return self._list_profiles(request, call)
        if request.method != "POST" or len(segments) != 3 or segments[0] != "model" or segments[2] not in _OPERATIONS:
            raise AwsException("UnknownOperationException", "The operation is not known.")
        call.operation, call.model_id = _OPERATIONS[segments[2]], unquote(segments[1])
        if len(request.body) > BODY_BYTES_MAX:
            message = f"The request body is longer than {BODY_BYTES_MAX} bytes."
            raise AwsException("RequestEntityTooLargeException", message)
        identity = self._identify(request, call)
        if call.operation == "CountTokens":
            return self._count_tokens(request, call, identity)
        to_come = (self._to_come.popleft(),) if self._to_come else ()
        if (refused := refusal(to_come)) is not None:
            raise refused
        return self._answer(self._judge(request, call, identity, to_come))

    def _identify(self, request: HttpRequest, call: ReceivedCall) -> Identity:
        identity = self._authenticator.identify(request)
        call.account, call.region, call.is_bearer = identity.account, identity.region, identity.is_bearer
        return identity

    def _list_profiles(self, request: HttpRequest, call: ReceivedCall) -> Response:
        identity = self._identify(request, call)
        query = parse_qs(request.query)
        wanted = query.get("type", ["SYSTEM_DEFINED"])[0]
        if wanted not in ("SYSTEM_DEFINED", "APPLICATION"):
            raise validation(f"Value '{wanted}' at 'typeEquals' failed to satisfy constraint.")
        profiles = self._models.profiles(identity.region, identity.account) if wanted == "SYSTEM_DEFINED" else []
        body = msgspec.json.encode({"inferenceProfileSummaries": profiles})
        return _whole(200, {"content-type": _JSON}, body, ())

    def _count_tokens(self, request: HttpRequest, call: ReceivedCall, identity: Identity) -> Response:
        model_id, model = self._models.get_for_counting(call.model_id, identity.region)
        ((kind, value),) = shapes.check_body("CountTokens", shapes.decode_object(request.body))["input"].items()
        if kind == "converse":
            subject = converse.read_request(value, model, model_id)
        else:
            subject = messages.read_request(shapes.decode_base64_object(value["body"]), model, model_id)
        tokens = sum(block.tokens for block in counted_blocks(subject.request))
        return _whole(200, {"content-type": _JSON}, msgspec.json.encode({"inputTokens": tokens}), ())

    def _judge(
        self, request: HttpRequest, call: ReceivedCall, identity: Identity, to_come: tuple[Behaviour, ...]
    ) -> _Exchange:
        """The request, once nothing speaks against answering it. Raises AwsException."""
        started_us = self._clock.monotonic_us()
        model_id, model = self._models.get(call.model_id, identity.region)
        body = shapes.decode_object(request.body)
        renderer: Renderer
        if call.operation.startswith("Converse"):
            body = shapes.check_body(call.operation, body)
            subject, too_long = converse.read_request(body, model, model_id), converse.too_long
            tier = body.get("serviceTier", {}).get("type", "")
            renderer = ConverseRenderer(body.get("additionalModelResponseFieldPaths", ()), tier, self._random)
            headers = dict[str, str]()
        else:
            headers = _check_invoke_headers(request)
            subject, too_long = messages.read_request(body, model, model_id), messages.too_long
            renderer = MessagesRenderer(model_id, self._random)
        blocks = counted_blocks(subject.request)
        tokens = sum(block.tokens for block in blocks)
        if tokens > model.context_tokens:
            raise too_long(tokens, model.context_tokens)
        behaviours = (*to_come, *self._asked_in_text(subject))
        if (refused := refusal(behaviours)) is not None:
            raise refused
        return _Exchange(call, identity, subject, blocks, renderer, behaviours, headers, started_us)

    def _asked_in_text(self, subject: Subject) -> Iterator[Behaviour]:
        """The directives of the last message; one with `times=N` counts for its first N calls only."""
        text = last_text(subject.request)
        for index, asked in enumerate(find_directives(text)):
            if "times" in asked.args:
                key = hashlib.blake2b(f"{index} {text}".encode(), digest_size=16).digest()
                used = self._spent.get(key, 0)
                if used >= int(asked.number("times", 1)):
                    continue
                if len(self._spent) >= _SPENT_KEPT:
                    self._spent.clear()
                self._spent[key] = used + 1
            yield asked

    def _answer(self, exchange: _Exchange) -> Response:
        call, subject, behaviours = exchange.call, exchange.subject, exchange.behaviours
        is_stream = call.operation.endswith("Stream")
        failure = find(behaviours, "mid_stream_exception")
        if failure is not None and not is_stream:
            raise whole_answer_exception(failure)
        is_converse = call.operation.startswith("Converse")
        given = self._script(
            subject.request,
            subject.model,
            behaviours,
            room=subject.model.context_tokens - sum(block.tokens for block in exchange.blocks),
            id_prefix="tooluse_" if is_converse else "toolu_bdrk_",
            random=self._random,
        )
        key = CacheKey(exchange.identity.account, exchange.identity.region, subject.model_id)
        usage = msgspec.structs.replace(
            self._cache.read_and_write(key, exchange.blocks, subject.quirks.cache_min_tokens),
            output_tokens=given.output_tokens,
            reasoning_tokens=given.reasoning_tokens,
        )
        latency_ms = (self._clock.monotonic_us() - exchange.started_us) // 1000
        reply = Reply(given, usage, latency_ms, shows_usage=find(behaviours, "missing_metadata") is None)
        if is_stream:
            frames = list(exchange.renderer.frames(reply))
            steps = play_stream(frames, behaviours, self._pace_s)
            further = {} if is_converse else {"x-amzn-bedrock-content-type": _JSON}
            response = Response(200, {"content-type": _EVENT_STREAM, **further, **exchange.headers}, steps, None)
        else:
            body, further = exchange.renderer.whole(reply)
            response = _whole(200, {"content-type": _JSON, **further, **exchange.headers}, body, behaviours)
        call.usage = usage
        return response


def _whole(status: int, headers: Mapping[str, str], body: bytes, behaviours: Sequence[Behaviour]) -> Response:
    return Response(status, dict(headers), play_body(body, behaviours), len(body))


def _check_invoke_headers(request: HttpRequest) -> dict[str, str]:
    """The headers that carry InvokeModel's other parameters; returns those that the answer repeats."""
    content_type = (request.header("content-type") or _JSON).partition(";")[0].strip()
    if content_type != _JSON:
        raise validation(f"Content Type {content_type} is not supported by the model, use {_JSON}.")
    # of a stream the ordinary header speaks of the frames, and this one of what is in them
    accept = request.header("x-amzn-bedrock-accept" if request.path.endswith("-stream") else "accept") or "*/*"
    if accept not in ("*/*", _JSON):
        raise validation(f"Accept type {accept} is not supported by the model, use {_JSON}.")
    if request.header("x-amzn-bedrock-guardrailidentifier"):
        raise validation("The guardrail identifier or version provided in the request does not exist.")
    if request.header("x-amzn-bedrock-performanceconfig-latency") == "optimized":
        raise validation("Latency performance configuration is not supported for this model.")
    metadata = request.header("x-amzn-bedrock-request-metadata")
    if metadata is not None:
        value = shapes.decode_object(metadata.encode())
        shapes.check_body("Converse", {"requestMetadata": value})
    tier = request.header("x-amzn-bedrock-service-tier")
    if tier is None:
        return {}
    if tier not in ("default", "reserved"):
        raise validation(f"The service tier {tier} is not supported for this model.")
    return {"x-amzn-bedrock-service-tier": tier}
