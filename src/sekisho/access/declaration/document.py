"""From things to the text of a document that states them."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sekisho.access.declaration.fields import means_more
from sekisho.access.declaration.reading import FORMAT, ORGANISATION
from sekisho.access.declaration.things import RULES, Address, Thing, owner_of

_PLAIN = re.compile(r"[^\W_](?:(?:[\w ./@%+$-]|:(?=\w))*[\w./@%+$-])?")
_LONGEST_KEY = 500  # YAML takes 1,024 characters; longer ones are written another way
_INLINE = 100
_SECTIONS = ("budget_templates", "users", "service_accounts", "tags", "teams", "keys")
_PLURALS = {"budget": "budgets", "limit": "limits", "policy": "policies"}
_SECTION_OF = {"budget_template": "budget_templates", "user": "users", "tag": "tags", "team": "teams", "key": "keys"}


def write_document(things: Mapping[Address, Thing], time_zone: str) -> str:
    """YAML that states these things; to apply it where they are changes nothing."""
    document: dict[str, Any] = {"format": int(FORMAT), "organisation": {"time_zone": time_zone}}
    document |= {section: {} for section in _SECTIONS}
    places: dict[Address, dict[str, Any]] = {ORGANISATION: document["organisation"]}
    for address in sorted(things, key=_order):
        fields = dict(things[address].fields)
        if address[0] in RULES:
            if fields.get("time_zone") == time_zone:
                del fields["time_zone"]
            owner = places.setdefault(owner_of(address), {})
            owner.setdefault(_PLURALS[address[0]], {})[address[-1]] = fields
        elif address[0] == "member":
            _place_member(places, address, fields)
        else:
            places[address] = fields
            section = _SECTION_OF[address[0]]
            if address[0] == "user" and fields.pop("kind", "") == "service":
                section = "service_accounts"
            document[section][address[1]] = fields
    lines = list(_mapping({name: part for name, part in document.items() if part}, 0))
    return "\n".join(lines) + "\n"


def _place_member(places: dict[Address, dict[str, Any]], address: Address, fields: dict[str, Any]) -> None:
    team = places[("team", address[1])]
    if fields.pop("role", "") == "lead":
        team.setdefault("leads", []).append(address[2])
    places[address] = fields
    team.setdefault("members", {})[address[2]] = fields


def _order(address: Address) -> tuple[int, Address]:
    """Owners before what they own."""
    kinds = ("budget_template", "user", "tag", "team", "member", "key", *RULES)
    return kinds.index(address[0]), address


def _mapping(values: Mapping[str, Any], depth: int) -> Iterable[str]:
    indent = "  " * depth
    for name, value in values.items():
        key = _scalar(name)
        if len(key) > _LONGEST_KEY:
            yield f"{indent}? {key}"
            yield f"{indent}: {_flow(value)}"
        elif isinstance(value, dict) and value and not _is_short(value):
            yield f"{indent}{key}:"
            yield from _mapping(value, depth + 1)
        else:
            yield f"{indent}{key}: {_flow(value)}"


def _is_short(value: dict[str, Any]) -> bool:
    """Whether a mapping of single values fits behind its name."""
    is_flat = all(not isinstance(one, dict) for one in value.values())
    return is_flat and all(len(name) < _LONGEST_KEY for name in value) and len(_flow(value)) <= _INLINE


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow_key(name)}: {_flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    return _scalar(value)


def _flow_key(name: str) -> str:
    key = _scalar(name)
    return key if len(key) <= _LONGEST_KEY else f"? {key} "


def _scalar(value: Any) -> str:
    """A single value; a text without quotes only where nobody can take it for anything else."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and not means_more(value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else _escape(ord(character)) for character in quoted)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
