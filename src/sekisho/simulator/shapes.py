"""Checks request bodies against botocore's own model of the Bedrock runtime.

Stricter than botocore's client-side check, as the service is: it also holds enums, patterns and upper bounds, and
refuses fields that the model does not know. The model is loaded on first use, so that starting stays fast.
"""

import base64
import binascii
import re
from functools import lru_cache
from typing import Any

import msgspec
from botocore.loaders import Loader
from botocore.model import ServiceModel

from sekisho.simulator.exceptions import AwsException, validation

_NAMES = {"structure": "Object", "list": "List", "map": "Map", "string": "String", "boolean": "Boolean"}
_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "float": (int, float),
}


@lru_cache(maxsize=1)
def _service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request body. Raises SerializationException for anything else."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise AwsException("SerializationException", f"Malformed JSON: {error}") from error
    if not isinstance(value, dict):
        raise AwsException("SerializationException", "Start of structure or map found where not expected.")
    return value


def decode_base64_object(text: str) -> dict[str, Any]:
    """The JSON object behind base64, as CountTokens carries an InvokeModel body."""
    return decode_object(base64.b64decode(text))


def check_body(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body without its null members, which AWS reads as absent.

    Raises ValidationException naming every broken constraint, SerializationException for a wrong JSON type."""
    shape = _service_model().operation_model(operation).input_shape
    in_body = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
    checker = _Checker()
    cleaned = checker.members(in_body, shape.required_members, body, "")
    checker.finish()
    return cleaned


class _Checker:
    """One walk over one body; `problems` collects what AWS reports together."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def finish(self) -> None:
        if self.problems:
            count = f"{len(self.problems)} validation error{'s' if len(self.problems) > 1 else ''} detected: "
            raise validation(count + "; ".join(self.problems))

    def value(self, shape: Any, value: Any, path: str) -> Any:
        if getattr(shape, "is_document_type", False):
            return value
        _check_type(shape.type_name, value, path)
        if shape.type_name == "structure":
            return self.structure(shape, value, path)
        if shape.type_name == "list":
            self.bounds(shape, len(value), path, "length")
            return [self.value(shape.member, item, f"{path}.{index}") for index, item in enumerate(value)]
        if shape.type_name == "map":
            self.bounds(shape, len(value), path, "length")
            for key in value:
                self.value(shape.key, key, f"{path}.{key}")
            return {key: self.value(shape.value, item, f"{path}.{key}") for key, item in value.items()}
        self.scalar(shape, value, path)
        return value

    def structure(self, shape: Any, value: dict[str, Any], path: str) -> dict[str, Any]:
        present = self.members(shape.members, shape.required_members, value, path)
        if shape.is_tagged_union and len(present) != 1:
            keys = ", ".join(shape.members)
            raise validation(f"The {shape.name} object at {path} must set one of the following keys: {keys}.")
        return present

    def members(self, members: Any, required: list[str], value: dict[str, Any], path: str) -> dict[str, Any]:
        present = {name: item for name, item in value.items() if item is not None}
        for name in value:
            if name not in members:
                where = "#" + "".join(f"/{part}" for part in path.split(".") if part)
                raise validation(
                    f"Malformed input request: {where}: extraneous key [{name}] is not permitted, "
                    "please reformat your input and try again."
                )
        dot = f"{path}." if path else ""
        for name in required:
            if name in members and name not in present:
                self.problem("null", f"{dot}{name}", "Member must not be null")
        return {name: self.value(members[name], item, f"{dot}{name}") for name, item in present.items()}

    def scalar(self, shape: Any, value: Any, path: str) -> None:
        metadata = shape.metadata
        if shape.type_name == "string":
            if "enum" in metadata and value not in metadata["enum"]:
                allowed = ", ".join(metadata["enum"])
                self.problem(f"'{value}'", path, f"Member must satisfy enum value set: [{allowed}]")
            if "pattern" in metadata and not _pattern(metadata["pattern"]).fullmatch(value):
                wanted = f"Member must satisfy regular expression pattern: {metadata['pattern']}"
                self.problem(f"'{value}'", path, wanted)
            self.bounds(shape, len(value), path, "length")
        elif shape.type_name == "blob":
            self.bounds(shape, len(_decode_blob(value, path)), path, "length")
        elif shape.type_name in ("integer", "float"):
            self.bounds(shape, value, path, "value")

    def bounds(self, shape: Any, size: float, path: str, what: str) -> None:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and size < low:
            self.problem(f"'{size}'", path, f"Member must have {what} greater than or equal to {low}")
        if high is not None and size > high:
            self.problem(f"'{size}'", path, f"Member must have {what} less than or equal to {high}")

    def problem(self, shown: str, path: str, constraint: str) -> None:
        self.problems.append(f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}")


def _check_type(type_name: str, value: object, path: str) -> None:
    expected = _TYPES[type_name]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        name = _NAMES.get(type_name, type_name)
        raise AwsException("SerializationException", f"Unexpected field type at '{path}': expected {name}.")


def _decode_blob(value: str, path: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise AwsException("SerializationException", f"Invalid base64 at '{path}'.") from error
