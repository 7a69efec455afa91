"""SCIM 2.0 (RFC 7643, 7644): what the organisation's directory says of users and groups, as values.

Pure: resources are read from and written to JSON, filters and patches are parsed here, in the forms that Microsoft
Entra ID and Okta send. What a leaver loses is decided in `access.directory`. Above: web/scim. Below: a `ScimStore`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from sekisho.errors import BadRequest

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
MOST_PAGE = 200
MOST_OPERATIONS = 1_000
NAME_CHARACTERS = 200
TEXT_CHARACTERS = 400
BODY_BYTES = 65_536

_FILTER = re.compile(r'^\s*([A-Za-z][\w.:]*)\s+(eq)\s+"((?:[^"\\]|\\.)*)"\s*$', re.IGNORECASE)
_PATH = re.compile(r"^(?P<name>[\w:.-]+?)(\[(?P<filter>[^\]]*)\])?(\.(?P<sub>[\w$]+))?$")
_OURS = frozenset({"id", "schemas", "meta", "groups", "password"})  # what no client sets, or nobody may read back

ScimType = Literal[
    "invalidFilter", "invalidPath", "invalidValue", "invalidSyntax", "uniqueness", "mutability", "noTarget"
]

Op = Literal["add", "replace", "remove"]
_OPS: Mapping[str, Op] = {"add": "add", "replace": "replace", "remove": "remove"}


class ScimRefused(BadRequest):
    """The directory asked for what cannot be."""

    def __init__(self, message: str, scim_type: ScimType = "invalidValue") -> None:
        super().__init__(message)
        self.scim_type: ScimType = scim_type


class ScimOutdated(ScimRefused):
    """The directory wants to change another version than the one that is here."""

    def __init__(self) -> None:
        super().__init__("This is not the version that is here: read it again.")


class ScimUser(msgspec.Struct, frozen=True):
    """A provisioned user. `user_id`: who that is here. `body`: the attributes as they are given back."""

    id: str
    user_id: str
    user_name: str
    external_id: str
    active: bool
    body: dict[str, Any]
    version: int
    created_at: int
    updated_at: int


class ScimGroup(msgspec.Struct, frozen=True):
    """A provisioned group. `members`: ids of provisioned users, with their names to show."""

    id: str
    display_name: str
    external_id: str
    version: int
    created_at: int
    updated_at: int
    members: tuple[tuple[str, str], ...] = ()


class Filter(msgspec.Struct, frozen=True):
    """`attribute eq "value"`, the attribute in small letters; empty: everything."""

    attribute: str = ""
    value: str = ""


class ScimStore(Protocol):
    """Where all this is kept. Each method is one transaction. Raises StoreUnavailable, NotFound, ScimRefused."""

    async def add_user(self, org_id: str, user: ScimUser, by: str) -> ScimUser:
        """Keep a new user, made here too if need be, and let it in or out. Raises ScimRefused for a name in use."""
        ...

    async def change_user(self, org_id: str, id: str, change: Callable[[ScimUser], ScimUser], by: str) -> ScimUser:
        """Keep what `change` makes of a user as it is then: two changes at once do not undo each other. Who is no
        longer active has left when this returns."""
        ...

    async def remove_user(self, org_id: str, id: str, by: str, now_us: int) -> None:
        """Forget a provisioned user, who thereby has left."""
        ...

    async def find_user(self, org_id: str, id: str) -> ScimUser | None: ...

    async def list_users(self, org_id: str, where: Filter, *, skip: int, limit: int) -> tuple[int, list[ScimUser]]:
        """How many there are, and some of them, in the order in which they were made."""
        ...

    async def groups_of(self, org_id: str, ids: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
        """By provisioned user, the ids and names of its groups."""
        ...

    async def add_group(self, org_id: str, group: ScimGroup, by: str) -> ScimGroup:
        """Keep a new group with exactly these members, whose roles follow."""
        ...

    async def change_group(self, org_id: str, id: str, change: Callable[[ScimGroup], ScimGroup], by: str) -> ScimGroup:
        """As `change_user`."""
        ...

    async def remove_group(self, org_id: str, id: str, by: str, now_us: int) -> None:
        """Forget a group; what it gave ends."""
        ...

    async def find_group(self, org_id: str, id: str) -> ScimGroup | None: ...

    async def list_groups(
        self, org_id: str, where: Filter, *, skip: int, limit: int, has_members: bool
    ) -> tuple[int, list[ScimGroup]]:
        """How many there are, and some of them."""
        ...


def parse_filter(text: str, allowed: frozenset[str]) -> Filter:
    """Raises ScimRefused for another filter than `attribute eq "value"` of an attribute that can be asked for."""
    if not text.strip():
        return Filter()
    found = _FILTER.match(text[:2_000])
    attribute = found[1].lower().removeprefix(f"{USER}:".lower()).removeprefix(f"{GROUP}:".lower()) if found else ""
    if found is None or attribute not in allowed:
        raise ScimRefused('Only attribute eq "value" is supported here.', "invalidFilter")
    return Filter(attribute, re.sub(r"\\(.)", r"\1", found[3]))


def read_user(body: Any, *, is_active: bool = True) -> dict[str, Any]:
    """The attributes of a user that are kept. `is_active`: where that is not said. Raises ScimRefused."""
    if not isinstance(body, dict):
        raise ScimRefused("A user is a JSON object.", "invalidSyntax")
    named = ((plain_path(name), value) for name, value in body.items())
    kept: dict[str, Any] = {_spelled({}, name): value for name, value in named if name.lower() not in _OURS}
    user_name = kept.get("userName")
    if not isinstance(user_name, str) or not 0 < len(user_name.strip()) <= NAME_CHARACTERS:
        raise ScimRefused(f"userName has 1 to {NAME_CHARACTERS} characters.")
    for name in ("externalId", "displayName"):
        if len(_text(kept.get(name))) > TEXT_CHARACTERS:
            raise ScimRefused(f"{name} is too long.")
    kept["active"] = parse_bool(kept.get("active", is_active))
    if len(msgspec.json.encode(kept)) > BODY_BYTES:
        raise ScimRefused("The user is too large.")
    return kept


def shown_name(body: Mapping[str, Any]) -> str:
    """What a provisioned user is called: its display name, else its parts."""
    name = body.get("name")
    parts = name if isinstance(name, dict) else {}
    full = " ".join(filter(None, (_text(parts.get("givenName")), _text(parts.get("familyName")))))
    return (_text(body.get("displayName")) or _text(parts.get("formatted")) or full)[:NAME_CHARACTERS]


def shown_email(body: Mapping[str, Any]) -> str:
    """The primary e-mail address, else the first; empty for none."""
    emails = [one for one in body.get("emails") or () if isinstance(one, dict) and isinstance(one.get("value"), str)]
    primary = next((one for one in emails if one.get("primary") is True), emails[0] if emails else None)
    return str(primary["value"])[:320] if primary else ""


def parse_bool(value: Any) -> bool:
    """A truth value; Entra ID sends it as a text, and sometimes in a list of one. Raises ScimRefused."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("value")
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ScimRefused("active is true or false.")


class Operation(msgspec.Struct, frozen=True):
    """One operation of a patch. `path` is empty where the value names the attributes itself."""

    op: Op
    path: str
    value: Any


def parse_patch(body: Any) -> tuple[Operation, ...]:
    """The operations of a patch; Entra ID begins their names with a capital. Raises ScimRefused."""
    found = {name.lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
    operations = found.get("operations")
    if not isinstance(operations, list) or not 0 < len(operations) <= MOST_OPERATIONS:
        raise ScimRefused("A patch has Operations.", "invalidSyntax")
    parsed = []
    for one in operations:
        op = _OPS.get(str(one.get("op", "")).lower()) if isinstance(one, dict) else None
        if op is None:
            raise ScimRefused("An operation is add, replace or remove.", "invalidSyntax")
        path = one.get("path") or ""
        if not isinstance(path, str) or len(path) > TEXT_CHARACTERS:
            raise ScimRefused("This path cannot be.", "invalidPath")
        parsed.append(Operation(op, plain_path(path), one.get("value")))
    return tuple(parsed)


def plain_path(path: str) -> str:
    """An attribute without the name of its schema, which it may have before it, in any case of letters."""
    for schema in (USER, GROUP):
        if path.lower().startswith(f"{schema}:".lower()):
            return path[len(schema) + 1 :]
    return path


def patched_user(body: Mapping[str, Any], operations: Sequence[Operation]) -> dict[str, Any]:
    """The attributes after a patch. Raises ScimRefused."""
    changed: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    for one in operations:
        if not one.path:
            if not isinstance(one.value, dict):
                raise ScimRefused("Without a path the value names attributes.", "noTarget")
            for name, value in one.value.items():  # Okta names them here, Entra ID sometimes with dots
                _set(changed, Operation(one.op, plain_path(name), value))
        else:
            _set(changed, one)
    return changed


def _set(body: dict[str, Any], one: Operation) -> None:
    if f"{one.path}:".lower().startswith(f"{ENTERPRISE}:".lower()):
        inner = body.setdefault(ENTERPRISE, {})
        rest = one.path[len(ENTERPRISE) + 1 :]
        if isinstance(inner, dict) and rest:
            return _set(inner, Operation(one.op, rest, one.value))
        return _set_extension(body, one)
    found = _PATH.match(one.path)
    if found is None:
        raise ScimRefused(f"The path {one.path[:100]} is not supported.", "invalidPath")
    name = _spelled(body, found["name"])
    if "." in name and not found["filter"]:
        name, _, sub = name.partition(".")
        return _set_sub(body, name, sub, one)
    if name.lower() in _OURS:
        return None  # kept by us, whatever is sent
    if found["filter"] is not None:
        return _set_element(body, name, found["filter"], found["sub"] or "", one)
    if found["sub"]:
        return _set_sub(body, name, found["sub"], one)
    if one.op == "remove":
        body.pop(name, None)
    elif one.op == "add" and isinstance(body.get(name), list) and isinstance(one.value, list):
        body[name] = body[name] + [value for value in one.value if value not in body[name]]
    else:
        body[name] = one.value
    return None


def _set_extension(body: dict[str, Any], one: Operation) -> None:
    """The whole of an extension, whose name has a dot in it that divides nothing."""
    if one.op == "remove":
        body.pop(ENTERPRISE, None)
    elif isinstance(one.value, dict):
        inner = body[ENTERPRISE] if isinstance(body.get(ENTERPRISE), dict) else {}
        body[ENTERPRISE] = inner | one.value
    else:
        raise ScimRefused("An extension is a JSON object.")


def _set_sub(body: dict[str, Any], name: str, sub: str, one: Operation) -> None:
    """name.familyName and the like."""
    inner = body.get(name)
    inner = dict(inner) if isinstance(inner, dict) else {}
    if one.op == "remove":
        inner.pop(sub, None)
    else:
        inner[sub] = one.value
    body[name] = inner


def _set_element(body: dict[str, Any], name: str, condition: str, sub: str, one: Operation) -> None:
    """emails[type eq "work"].value and the like: the element is made if there is none."""
    wanted = _FILTER.match(condition) or re.match(r"^\s*(\w+)\s+(eq)\s+(true|false)\s*$", condition, re.IGNORECASE)
    if wanted is None:
        raise ScimRefused("Only elements by attribute eq value are supported.", "invalidPath")
    key, value = wanted[1], wanted[3]
    elements = [dict(each) for each in body.get(name) or () if isinstance(each, dict)]
    ours = [each for each in elements if str(each.get(key, "")).lower() == value.lower()]
    if one.op == "remove" and not sub:
        body[name] = [each for each in elements if each not in ours]
        return
    if not ours and one.op != "remove":
        ours = [{key: value}]
        elements += ours
    for each in ours:
        if one.op == "remove":
            each.pop(sub, None)
        elif sub:
            each[sub] = one.value
        elif isinstance(one.value, dict):
            each.update(one.value)
    body[name] = elements


def patched_group(group: ScimGroup, operations: Sequence[Operation]) -> ScimGroup:
    """The group after a patch. Raises ScimRefused."""
    members = dict(group.members)
    changes: dict[str, Any] = {}
    for one in operations:
        for path, value in [(one.path, one.value)] if one.path else list(_named(one.value)):
            path = plain_path(path)
            lower = path.lower()
            if lower == "members" or lower.startswith("members["):
                members = _members(members, Operation(one.op, path, value))
            elif lower in ("displayname", "externalid"):
                field = "display_name" if lower == "displayname" else "external_id"
                changes[field] = "" if one.op == "remove" else _text(value)
            elif lower not in _OURS:
                raise ScimRefused(f"A group has no {path[:100]}.", "invalidPath")
    return msgspec.structs.replace(group, members=tuple(members.items()), **changes)


def _named(value: Any) -> Sequence[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise ScimRefused("Without a path the value names attributes.", "noTarget")
    return list(value.items())


def _members(members: dict[str, str], one: Operation) -> dict[str, str]:
    """Entra ID removes by a list of values, Okta by a filter in the path; both replace the whole list."""
    found = _PATH.match(one.path)
    if found and found["filter"] is not None:
        wanted = _FILTER.match(found["filter"])
        if wanted is None or wanted[1].lower() != "value" or one.op != "remove":
            raise ScimRefused("Only members[value eq ...] can be removed.", "invalidPath")
        return {id_: name for id_, name in members.items() if id_ != wanted[3]}
    if one.op == "remove" and one.value is None:
        return {}
    named = {id_: members.get(id_, "") for id_ in member_ids(one.value)}
    if one.op == "add":
        return members | named
    if one.op == "replace":
        return named
    return {id_: name for id_, name in members.items() if id_ not in named}


def member_ids(value: Any) -> list[str]:
    """The ids in a list of members. Raises ScimRefused."""
    found = value if isinstance(value, list) else [] if value is None else [value]
    ids = [one.get("value") if isinstance(one, dict) else one for one in found]
    if not all(isinstance(one, str) and 0 < len(one) <= 64 for one in ids):
        raise ScimRefused("A member has a value: the id of a user.")
    return [str(one) for one in ids]


def read_group(body: Any) -> tuple[str, str, list[str]]:
    """Name, foreign id and members' ids of a group. Raises ScimRefused."""
    found = {name.lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
    name = _text(found.get("displayname")).strip()
    if not 0 < len(name) <= TEXT_CHARACTERS or not name.isprintable():
        raise ScimRefused(f"displayName has 1 to {TEXT_CHARACTERS} printable characters.")
    return name, _text(found.get("externalid"))[:TEXT_CHARACTERS], member_ids(found.get("members"))


def _spelled(body: Mapping[str, Any], name: str) -> str:
    """The attribute as it is spelled already: names have no differences of case."""
    known = {"username": "userName", "externalid": "externalId", "displayname": "displayName", "active": "active"}
    return known.get(name.lower()) or next((one for one in body if one.lower() == name.lower()), name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
