"""SCIM's filters, patches and attributes: what Entra ID and Okta send, what RFC 7644 shows, and what is hostile."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.access.scim import (
    ENTERPRISE,
    Filter,
    ScimGroup,
    ScimRefused,
    parse_filter,
    parse_patch,
    patched_group,
    patched_user,
    read_group,
    read_user,
    shown_email,
    shown_name,
)

USERS = frozenset({"username", "externalid"})
ALICE: dict[str, Any] = {
    "userName": "alice@example.com",
    "active": True,
    "name": {"givenName": "Alice", "familyName": "Adams"},
    "emails": [{"type": "work", "value": "alice@example.com", "primary": True}],
}
GROUP = ScimGroup("g1", "dept-a", "", 1, 0, 0, (("u1", "alice"), ("u2", "bob")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def patch(*operations: dict[str, Any]) -> Any:
    return parse_patch({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Filter()),
        ('userName eq "alice@example.com"', Filter("username", "alice@example.com")),
        ('userName Eq "a\\"b"', Filter("username", 'a"b')),
        ('externalId eq "0a-1b"', Filter("externalid", "0a-1b")),
        ('urn:ietf:params:scim:schemas:core:2.0:User:userName eq "a"', Filter("username", "a")),
    ],
)
def test_filters_by_name_and_foreign_id(text, expected):
    assert parse_filter(text, USERS) == expected


@pytest.mark.parametrize(
    "text",
    ['userName co "a"', 'title eq "x"', 'userName eq "a" or active eq true', "userName eq a", "userName pr", "("],
)
def test_other_filters_are_refused_by_type(text):
    with pytest.raises(ScimRefused) as refused:
        parse_filter(text, USERS)
    assert refused.value.scim_type == "invalidFilter"


PATCHES: dict[str, Any] = {
    "Entra ID turns somebody off": ({"op": "Replace", "path": "active", "value": "False"}, {"active": False}),
    "Okta turns somebody off": ({"op": "replace", "value": {"active": False}}, {"active": False}),
    "Entra ID changes a part of the name": (
        {"op": "Add", "path": "name.familyName", "value": "Baker"},
        {"name": {"givenName": "Alice", "familyName": "Baker"}},
    ),
    "Entra ID changes an address by its type": (
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "a@example.com"},
        {"emails": [{"type": "work", "value": "a@example.com", "primary": True}]},
    ),
    "Entra ID adds an address that is not there": (
        {"op": "Add", "path": 'emails[type eq "home"].value', "value": "h@example.com"},
        {"emails": [*ALICE["emails"], {"type": "home", "value": "h@example.com"}]},
    ),
    "Entra ID names attributes with dots": (
        {"op": "replace", "value": {"name.givenName": "Ally", "displayName": "Ally"}},
        {"name": {"givenName": "Ally", "familyName": "Adams"}, "displayName": "Ally"},
    ),
    "an extension": (
        {
            "op": "add",
            "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            "value": "dept-a",
        },
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "dept-a"}},
    ),
    "Entra ID turns somebody off in a list": (
        {"op": "Replace", "path": "active", "value": [{"$ref": None, "value": "False"}]},
        {"active": False},
    ),
    "Okta names a whole extension": (
        {"op": "replace", "value": {ENTERPRISE: {"department": "dept-a"}}},
        {ENTERPRISE: {"department": "dept-a"}},
    ),
    "the path of a whole extension": (
        {"op": "Add", "path": ENTERPRISE, "value": {"department": "dept-a"}},
        {ENTERPRISE: {"department": "dept-a"}},
    ),
    "a path with its schema": (
        {"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": False},
        {"active": False},
    ),
    "a name with its schema, in other letters": (
        {"op": "replace", "value": {"URN:ietf:params:scim:schemas:core:2.0:user:Active": False}},
        {"active": False},
    ),
    "a name in other letters": ({"op": "replace", "path": "USERNAME", "value": "bob"}, {"userName": "bob"}),
    "an address is removed": ({"op": "remove", "path": 'emails[type eq "work"]'}, {"emails": []}),
}


@pytest.mark.parametrize("name", PATCHES)
def test_patches_of_users(name):
    operation, expected = PATCHES[name]
    assert read_user(patched_user(ALICE, patch(operation))) == ALICE | expected


def test_an_attribute_is_removed_and_ours_stay_ours():
    changed = patched_user(
        ALICE, patch({"op": "remove", "path": "emails"}, {"op": "replace", "path": "id", "value": "x"})
    )
    assert changed == {name: value for name, value in ALICE.items() if name != "emails"}


def test_an_extension_is_changed_in_part_and_removed_as_a_whole():
    alice = ALICE | {ENTERPRISE: {"department": "dept-a", "employeeNumber": "7"}}
    changed = patched_user(alice, patch({"op": "replace", "value": {ENTERPRISE: {"department": "dept-b"}}}))
    assert changed[ENTERPRISE] == {"department": "dept-b", "employeeNumber": "7"}
    assert patched_user(alice, patch({"op": "remove", "path": ENTERPRISE})) == ALICE
    with pytest.raises(ScimRefused):
        patched_user(alice, patch({"op": "replace", "path": ENTERPRISE, "value": "x"}))


GROUP_PATCHES: dict[str, Any] = {
    "RFC 7644 adds a member": (
        {"op": "add", "path": "members", "value": [{"display": "Charlie", "value": "u3"}]},
        ["u1", "u2", "u3"],
    ),
    "Entra ID removes a member by value": ({"op": "Remove", "path": "members", "value": [{"value": "u1"}]}, ["u2"]),
    "nobody is removed": ({"op": "Remove", "path": "members", "value": []}, ["u1", "u2"]),
    "a path with its schema": (
        {"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:Group:members", "value": [{"value": "u3"}]},
        ["u1", "u2", "u3"],
    ),
    "Okta removes a member by filter": ({"op": "remove", "path": 'members[value eq "u2"]'}, ["u1"]),
    "RFC 7644 removes all members": ({"op": "remove", "path": "members"}, []),
    "Okta replaces all members": ({"op": "replace", "path": "members", "value": [{"value": "u4"}]}, ["u4"]),
    "without a path": ({"op": "add", "value": {"members": [{"value": "u3"}]}}, ["u1", "u2", "u3"]),
    "a member twice": ({"op": "add", "path": "members", "value": [{"value": "u1"}]}, ["u1", "u2"]),
}


@pytest.mark.parametrize("name", GROUP_PATCHES)
def test_patches_of_members(name):
    operation, expected = GROUP_PATCHES[name]
    assert [id_ for id_, _ in patched_group(GROUP, patch(operation)).members] == expected


def test_a_group_is_renamed():
    by_value = {"op": "replace", "value": {"id": "g1", "displayName": "dept-b"}}  # as Okta does
    assert patched_group(GROUP, patch(by_value)).display_name == "dept-b"
    by_path = {"op": "Replace", "path": "displayName", "value": "dept-c"}
    assert patched_group(GROUP, patch(by_path)).display_name == "dept-c"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Operations": []},
        {"Operations": [{"op": "move"}]},
        {"Operations": ["x"]},
        {"Operations": [{"op": "add", "path": 7}]},
        [],
    ],
)
def test_what_is_no_patch_is_refused(body):
    with pytest.raises(ScimRefused):
        parse_patch(body)


@pytest.mark.parametrize(
    "body", [{}, [], {"userName": ""}, {"userName": 7}, {"userName": "x" * 201}, ALICE | {"active": 1}]
)
def test_what_is_no_user_is_refused(body):
    with pytest.raises(ScimRefused):
        read_user(body)


@given(JSON, JSON, st.text(max_size=30))
def test_nothing_that_is_sent_breaks_the_reader(body, value, path):
    for doing in (
        lambda: read_user(body),
        lambda: read_group(body),
        lambda: patched_user(ALICE, patch({"op": "add", "path": path, "value": value})),
        lambda: patched_user(ALICE, patch({"op": "replace", "value": value})),
        lambda: patched_group(GROUP, patch({"op": "remove", "path": path, "value": value})),
    ):
        try:
            doing()
        except ScimRefused:
            pass


def test_a_password_that_is_sent_is_not_kept():
    for name in ("password", "Password", "urn:ietf:params:scim:schemas:core:2.0:User:password"):
        assert read_user(ALICE | {name: "secret"}) == ALICE


def test_names_and_addresses_to_show():
    assert shown_name(ALICE) == "Alice Adams"
    assert shown_name(ALICE | {"displayName": "Ally"}) == "Ally"
    assert shown_name({"name": {"formatted": "A. Adams"}}) == "A. Adams"
    assert shown_name({"name": "x"}) == ""
    assert shown_email(ALICE) == "alice@example.com"
    assert shown_email({"emails": [{"value": "one"}, {"value": "two", "primary": True}]}) == "two"
    assert shown_email({"emails": ["x", {"value": 7}]}) == ""
