"""Requests made from an OpenAPI document, sensible and hostile, and a check of answers against its schemas."""

import json
import math
import random
from typing import Any

Schema = dict[str, Any]
DEEP = 3000
_ANYTHING: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**400, 2**63, -(2**63) - 1, math.nan, math.inf, -math.inf, 1e308),
    *("", " ", "x", "\0", "\ud800", "é" * 300, "y" * 1_000_000, "../..", "-1", "NaN", "Infinity", "1e999", "Mars/Base"),
    *([], {}, [[]], {"a": {"b": None}}, ["\ud800"], {"\0": "\0"}, {"x": math.nan}),
)


class Requests:
    """Draws requests for the operations of a document. `known`: values that exist, by the name of a parameter."""

    def __init__(self, document: Schema, draw: random.Random, known: dict[str, list[str]]) -> None:
        self._document = document
        self._draw = draw
        self._known = known

    def operations(self) -> list[tuple[str, str, Schema]]:
        """(method, path, operation) of everything in the document."""
        return [
            (method.upper(), path, operation)
            for path, operations in self._document["paths"].items()
            for method, operation in operations.items()
        ]

    def request(self, path: str, operation: Schema) -> tuple[str, dict[str, str], bytes | None]:
        """A path with its parameters, the query, and a body."""
        query: dict[str, str] = {}
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", self._text_of(name))
            elif parameter["in"] == "query" and (parameter.get("required") or self._draw.random() < 0.4):
                value = self.value(parameter["schema"], name)
                query[name] = value if isinstance(value, str) else json.dumps(value)
        query = {name: value for name, value in query.items() if len(value) < 5000 and "\ud800" not in value}
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return path, query, None
        return path, query, self._body(content["schema"])

    def value(self, schema: Schema, name: str = "", depth: int = 0) -> Any:
        """A value that a schema allows, or now and then one that it does not."""
        if depth and self._draw.random() < 0.06:
            return self._draw.choice(_ANYTHING)
        if name in self._known and self._draw.random() < 0.7:
            return self._draw.choice(self._known[name])
        schema = self.resolve(schema)
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self.value(self._draw.choice(schema[union]), name, depth)
        if "enum" in schema:
            return self._draw.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return [self.value(schema["items"], name, depth + 1) for _ in range(self._draw.randrange(3))]
            case "string":
                return self._draw.choice(
                    (f"{name}-{self._draw.randrange(9)}", "部門", "30d", "2027-01-01", "claude", "10.5")
                )
            case "integer":
                return self._draw.choice((schema.get("minimum", 0), 1, 7, 60, schema.get("maximum", 100)))
            case "number":
                return self._draw.choice((0, 0.1, 12.5))
            case "boolean":
                return self._draw.random() < 0.5
            case "null":
                return None
        return self._draw.choice((5, "12.5", 0.1, "x", *_ANYTHING))

    def resolve(self, schema: Schema) -> Schema:
        """The schema behind a reference."""
        while "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def mismatch(self, value: Any, schema: Schema, place: str = "") -> str:
        """Where a value is not what the schema says; empty if it is."""
        schema = self.resolve(schema)
        for union in ("anyOf", "oneOf"):
            if union in schema:
                found = [self.mismatch(value, one, place) for one in schema[union]]
                return "" if "" in found else found[0]
        if "enum" in schema and value not in schema["enum"]:
            return f"{place}: {value!r} is none of {schema['enum']}"
        kind = schema.get("type")
        if (kind and not isinstance(value, _TYPES[kind])) or (
            kind in ("integer", "number") and isinstance(value, bool)
        ):
            return f"{place}: {value!r} is no {kind}"
        if kind == "array":
            found = [self.mismatch(one, schema.get("items", {}), f"{place}[]") for one in value]
            return next((one for one in found if one), "")
        return self._object_mismatch(value, schema, place) if kind == "object" else ""

    def _object_mismatch(self, value: dict[str, Any], schema: Schema, place: str) -> str:
        missing = [name for name in schema.get("required", ()) if name not in value]
        if missing:
            return f"{place}: {missing[0]} is missing"
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, one in value.items():
            if name not in known and others is False:
                return f"{place}: {name} is not in the document"
            rule = known.get(name, others if isinstance(others, dict) else {})
            if found := self.mismatch(one, rule, f"{place}.{name}"):
                return found
        return ""

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        wanted = set(schema.get("required", ()))
        names = [name for name in properties if name in wanted or self._draw.random() < 0.4]
        made = {name: self.value(properties[name], name, depth + 1) for name in names}
        if not properties and self._draw.random() < 0.5:
            made["x"] = self._draw.choice(_ANYTHING)
        if self._draw.random() < 0.04:
            made["unknown_field"] = 1
        return made

    def _body(self, schema: Schema) -> bytes:
        kind = self._draw.random()
        if kind < 0.03:
            return b"[" * DEEP + b"]" * DEEP
        if kind < 0.06:
            return b'{"metadata": ' + b'{"a": ' * DEEP + b"1" + b"}" * DEEP + b"}"
        if kind < 0.09:
            return self._draw.choice((b"", b"{", b"\xff\xfe", b"null", b"NaN", b'"x"', b"[1]", b'{"a":1,"a":2}'))
        return json.dumps(self.value(schema)).encode()

    def _text_of(self, name: str) -> str:
        if name in self._known and self._draw.random() < 0.8:
            return self._draw.choice(self._known[name])
        return self._draw.choice(("nobody", "%00", "%F0%9F%98%80", "%ED%A0%80", "a%2Fb", "x" * 3000, "%2E%2E"))


_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
