"""Provisioning: the directory's requests as changes of users and groups. In force when a method returns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sekisho.access.publishing import Publisher
from sekisho.access.scim import (
    Filter,
    Operation,
    ScimGroup,
    ScimOutdated,
    ScimStore,
    ScimUser,
    patched_group,
    patched_user,
    read_group,
    read_user,
)
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import NotFound

Versions = frozenset[int] | None  # which versions may be changed; None: any


class ScimRegister:
    """Keeps the provisioned users and groups of one organisation."""

    def __init__(self, store: ScimStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def create_user(self, body: Any, by: str) -> ScimUser:
        """Provision a user. Raises ScimRefused."""
        now_us = self._clock.now_us()
        blank = ScimUser(id_text(new_id(now_us)), "", "", "", True, {}, 1, now_us, now_us)
        made = await self._store.add_user(self._org_id, _filled(blank, read_user(body), now_us), by)
        await self._publisher.publish()
        return made

    async def replace_user(self, id: str, body: Any, by: str, versions: Versions = None) -> ScimUser:
        """Make a user what the directory says; what it leaves out is gone. Raises NotFound, ScimRefused."""
        return await self._change_user(id, lambda found: read_user(body, is_active=found.active), by, versions)

    async def patch_user(
        self, id: str, operations: Sequence[Operation], by: str, versions: Versions = None
    ) -> ScimUser:
        """Change a user. Raises NotFound, ScimRefused."""

        def patch(found: ScimUser) -> dict[str, Any]:
            return read_user(patched_user(found.body, operations), is_active=found.active)

        return await self._change_user(id, patch, by, versions)

    async def delete_user(self, id: str, by: str, versions: Versions = None) -> None:
        """Let a user go: the person has left, what was spent stays on record. Raises NotFound, ScimOutdated."""
        if versions is not None:
            _need_version(await self.get_user(id), versions)
        await self._store.remove_user(self._org_id, id, by, self._clock.now_us())
        await self._publisher.publish()

    async def get_user(self, id: str) -> ScimUser:
        """One user. Raises NotFound."""
        found = await self._store.find_user(self._org_id, id)
        if found is None:
            raise NotFound(f"There is no user {id[:64]}.")
        return found

    async def list_users(self, where: Filter, *, skip: int, limit: int) -> tuple[int, list[ScimUser]]:
        """How many there are, and some of them."""
        return await self._store.list_users(self._org_id, where, skip=skip, limit=limit)

    async def groups_of(self, ids: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
        """By user, the ids and names of its groups."""
        return await self._store.groups_of(self._org_id, ids)

    async def create_group(self, body: Any, by: str) -> ScimGroup:
        """Provision a group. Raises ScimRefused."""
        now_us = self._clock.now_us()
        name, external_id, ids = read_group(body)
        members = tuple((id_, "") for id_ in dict.fromkeys(ids))
        group = ScimGroup(id_text(new_id(now_us)), name, external_id, 1, now_us, now_us, members)
        made = await self._store.add_group(self._org_id, group, by)
        await self._publisher.publish()
        return made

    async def replace_group(self, id: str, body: Any, by: str, versions: Versions = None) -> ScimGroup:
        """Make a group what the directory says. Raises NotFound, ScimRefused."""
        name, external_id, ids = read_group(body)
        members = tuple((id_, "") for id_ in dict.fromkeys(ids))
        said = {"display_name": name, "external_id": external_id, "members": members}
        return await self._change_group(id, lambda found: msgspec.structs.replace(found, **said), by, versions)

    async def patch_group(
        self, id: str, operations: Sequence[Operation], by: str, versions: Versions = None
    ) -> ScimGroup:
        """Change a group. Raises NotFound, ScimRefused."""

        def patch(found: ScimGroup) -> ScimGroup:
            changed = patched_group(found, operations)
            read_group({"displayName": changed.display_name})
            return changed

        return await self._change_group(id, patch, by, versions)

    async def delete_group(self, id: str, by: str, versions: Versions = None) -> None:
        """Forget a group; what it gave its members ends. Raises NotFound, ScimOutdated."""
        if versions is not None:
            _need_version(await self.get_group(id), versions)
        await self._store.remove_group(self._org_id, id, by, self._clock.now_us())
        await self._publisher.publish()

    async def get_group(self, id: str) -> ScimGroup:
        """One group. Raises NotFound."""
        found = await self._store.find_group(self._org_id, id)
        if found is None:
            raise NotFound(f"There is no group {id[:64]}.")
        return found

    async def list_groups(
        self, where: Filter, *, skip: int, limit: int, has_members: bool = True
    ) -> tuple[int, list[ScimGroup]]:
        """How many there are, and some of them; without members that is quicker."""
        return await self._store.list_groups(self._org_id, where, skip=skip, limit=limit, has_members=has_members)

    async def _change_user(
        self, id: str, make: Callable[[ScimUser], dict[str, Any]], by: str, versions: Versions
    ) -> ScimUser:
        now_us = self._clock.now_us()

        def stamped(now: ScimUser) -> ScimUser:
            _need_version(now, versions)
            return _filled(now, make(now), now_us)

        found = await self.get_user(id)
        _need_version(found, versions)
        if make(found) == found.body:  # directories repeat themselves
            return found
        kept = await self._store.change_user(self._org_id, id, stamped, by)
        await self._publisher.publish()
        return kept

    async def _change_group(
        self, id: str, make: Callable[[ScimGroup], ScimGroup], by: str, versions: Versions
    ) -> ScimGroup:
        def stamped(now: ScimGroup) -> ScimGroup:
            _need_version(now, versions)
            return msgspec.structs.replace(make(now), updated_at=self._clock.now_us())

        kept = await self._store.change_group(self._org_id, id, stamped, by)
        await self._publisher.publish()
        return kept


def _need_version(found: ScimUser | ScimGroup, versions: Versions) -> None:
    if versions is not None and found.version not in versions:
        raise ScimOutdated


def _filled(user: ScimUser, body: dict[str, Any], now_us: int) -> ScimUser:
    external_id = body.get("externalId")
    return msgspec.structs.replace(
        user,
        user_name=body["userName"].strip(),
        external_id=external_id if isinstance(external_id, str) else "",
        active=body["active"],
        body=body,
        updated_at=now_us,
    )
