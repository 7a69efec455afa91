"""What can be asked of the simulator beyond answering: faults, pacing, and answers of a given form.

Asked in the text of the last message as `[[simulate: NAME key=value ...]]`, or by `Simulator.fail_next`.
"""

import re
from collections.abc import Sequence

import msgspec

from sekisho.simulator.exceptions import AwsException, validation

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_DIRECTIVE = re.compile(
    rf"\[\[simulate:\s*(?P<name>[a-z_]+)(?:=(?P<value>\S+?))?"
    rf"(?P<arguments>(?:\s+[a-z_]+=(?:{_QUOTED}|\{{.*?\}}|\S+?))*)\s*\]\]"
)
_ARGUMENT = re.compile(rf"([a-z_]+)=({_QUOTED}|\{{.*\}}|\S+)")

REFUSALS: dict[str, tuple[str, str]] = {
    "throttle": ("ThrottlingException", "Too many tokens, please wait before trying again."),
    "unavailable": ("ServiceUnavailableException", "Bedrock is unable to process your request."),
    "internal": ("InternalServerException", "The system encountered an unexpected error during processing. Try again."),
    "validation": ("ValidationException", "The provided request is not valid."),
    "access_denied": ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "not_ready": ("ModelNotReadyException", "Model is not ready for inference. Wait and try your request again later."),
    "timeout": ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    "model_error": ("ModelErrorException", "The model failed to process the request. Try your request again."),
    "quota": ("ServiceQuotaExceededException", "Your request exceeds a service quota of this account."),
}
IN_STREAM = frozenset({"mid_stream_exception", "cut", "bad_crc", "stall", "missing_metadata", "slow_first_token"})
ANSWERS = frozenset({"stop_reason", "tokens", "thinking", "parallel_tools", "tool", "say"})

NAMES = frozenset(REFUSALS) | IN_STREAM | ANSWERS


class Behaviour(msgspec.Struct, frozen=True):
    """One thing asked for. Values stay text; `[[simulate: stop_reason=max_tokens]]` has its own name as key."""

    name: str
    args: dict[str, str] = {}

    def number(self, key: str, default: float) -> float:
        """A numeric argument. Raises AwsException when it is not a number."""
        text = self.args.get(key)
        if text is None:
            return default
        try:
            return float(text)
        except ValueError as error:
            raise validation(f"The simulator cannot read {key}={text} of {self.name} as a number.") from error


def behaviour(name: str, args: dict[str, str]) -> Behaviour:
    """The behaviour of this name. Raises AwsException, naming the choices, when there is none."""
    if name not in NAMES:
        raise validation(f"The simulator knows no behaviour {name}. It knows: {', '.join(sorted(NAMES))}.")
    return Behaviour(name, args)


def find_directives(text: str) -> list[Behaviour]:
    """The behaviours that a text asks for, in order."""
    found = []
    for name, value, arguments in _DIRECTIVE.findall(text):
        args = {key: _unquoted(raw) for key, raw in _ARGUMENT.findall(arguments)}
        found.append(behaviour(name, {name: value, **args} if value else args))
    return found


def without_directives(text: str) -> str:
    """The text without what was asked of the simulator."""
    return _DIRECTIVE.sub("", text).strip()


def refusal(behaviours: Sequence[Behaviour]) -> AwsException | None:
    """The exception to answer with instead of an answer, if one is asked for."""
    for asked in behaviours:
        if asked.name in REFUSALS:
            name, message = REFUSALS[asked.name]
            fields = {"originalStatusCode": 500} if name == "ModelErrorException" else {}
            return AwsException(name, asked.args.get("message", message), **fields)
    return None


def find(behaviours: Sequence[Behaviour], name: str) -> Behaviour | None:
    """The first behaviour of that name."""
    return next((asked for asked in behaviours if asked.name == name), None)


def _unquoted(raw: str) -> str:
    if raw.startswith('"'):
        return str(msgspec.json.decode(raw))
    return raw
