"""Users and groups as SCIM shows them, and the documents that describe this provider (RFC 7643, sections 4 to 7)."""

from typing import Any

from sekisho.access.scim import ENTERPRISE, GROUP, MOST_PAGE, USER, ScimGroup, ScimUser
from sekisho.web.admin.times import iso

_NOT = {"supported": False}
SERVICE_PROVIDER: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
    "patch": {"supported": True},
    "bulk": _NOT | {"maxOperations": 0, "maxPayloadSize": 0},
    "filter": {"supported": True, "maxResults": MOST_PAGE},
    "changePassword": _NOT,
    "sort": _NOT,
    "etag": {"supported": True},
    "authenticationSchemes": [
        {
            "type": "oauthbearertoken",
            "name": "Access token",
            "description": "An access token of a service account with the role directory.",
            "primary": True,
        }
    ],
}
RESOURCE_TYPES: list[dict[str, Any]] = [
    {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": name,
        "name": name,
        "endpoint": f"/{name}s",
        "schema": schema,
        "schemaExtensions": extensions,
    }
    for name, schema, extensions in (
        ("User", USER, [{"schema": ENTERPRISE, "required": False}]),
        ("Group", GROUP, []),
    )
]


def _attribute(name: str, kind: str = "string", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "multiValued": False,
        "required": False,
        "caseExact": False,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    } | changes


_VALUE = [_attribute("value"), _attribute("type"), _attribute("primary", "boolean")]
_REFERENCE = [_attribute("value", caseExact=True), _attribute("display"), _attribute("$ref", "reference")]
SCHEMAS: list[dict[str, Any]] = [
    {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": USER,
        "name": "User",
        "attributes": [
            _attribute("userName", required=True, uniqueness="server"),
            _attribute("externalId", caseExact=True),
            _attribute("displayName"),
            _attribute(
                "name",
                "complex",
                subAttributes=[_attribute("formatted"), _attribute("givenName"), _attribute("familyName")],
            ),
            _attribute("emails", "complex", multiValued=True, subAttributes=_VALUE),
            _attribute("active", "boolean"),
            _attribute("groups", "complex", multiValued=True, mutability="readOnly", subAttributes=_REFERENCE),
        ],
    },
    {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": GROUP,
        "name": "Group",
        "attributes": [
            _attribute("displayName", required=True, uniqueness="server", caseExact=True),
            _attribute("externalId", caseExact=True),
            _attribute("members", "complex", multiValued=True, subAttributes=_REFERENCE),
        ],
    },
    {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": ENTERPRISE,
        "name": "EnterpriseUser",
        "attributes": [_attribute("department"), _attribute("employeeNumber")],
    },
]


def render_user(user: ScimUser, groups: list[tuple[str, str]], base: str) -> dict[str, Any]:
    """A provisioned user: what the directory said, and its groups."""
    schemas = [USER, ENTERPRISE] if ENTERPRISE in user.body else [USER]
    shown = [{"value": id_, "display": name, "$ref": f"{base}/Groups/{id_}"} for id_, name in groups]
    return user.body | {
        "schemas": schemas,
        "id": user.id,
        "groups": shown,
        "meta": _meta("User", user.version, user.created_at, user.updated_at, f"{base}/Users/{user.id}"),
    }


def render_group(group: ScimGroup, base: str, *, has_members: bool = True) -> dict[str, Any]:
    """A provisioned group."""
    shown: dict[str, Any] = {"schemas": [GROUP], "id": group.id, "displayName": group.display_name}
    if group.external_id:
        shown["externalId"] = group.external_id
    if has_members:
        shown["members"] = [
            {"value": id_, "display": name, "$ref": f"{base}/Users/{id_}", "type": "User"}
            for id_, name in group.members
        ]
    location = f"{base}/Groups/{group.id}"
    return shown | {"meta": _meta("Group", group.version, group.created_at, group.updated_at, location)}


def _meta(kind: str, version: int, created_at: int, updated_at: int, location: str) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "created": iso(created_at),
        "lastModified": iso(updated_at),
        "location": location,
        "version": f'W/"{version}"',
    }
