"""The register of tags."""

from msgspec.structs import replace

from sekisho.access.organisation import DESCRIPTION_CHARACTERS, OrganisationStore, Tag, check_id, check_texts
from sekisho.access.publishing import Publisher
from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.clock import Clock
from sekisho.errors import NotFound


class TagRegister:
    """Creates, finds and changes the tags of one organisation. Changes are in force when a method returns."""

    def __init__(self, store: OrganisationStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def create(self, name: str, description: str, by: str, rules: RuleWrite = NO_RULES, owner: str = "") -> Tag:
        """Make a tag with its rules. Raises BadRequest, StoreUnavailable."""
        check_id(name, "name")
        check_texts(description=(description, DESCRIPTION_CHARACTERS))
        now_us = self._clock.now_us()
        tag = Tag(name, self._org_id, now_us, by, now_us, description, owner)
        await self._store.put_tag(tag, by, is_new=True, rules=rules)
        if rules != NO_RULES:
            await self._publisher.publish()
        return tag

    async def update(self, name: str, description: str, by: str, rules: RuleWrite = NO_RULES) -> Tag:
        """Describe a tag anew, with its rules. Raises NotFound, BadRequest, StoreUnavailable."""
        check_texts(description=(description, DESCRIPTION_CHARACTERS))
        tag = replace(await self.get(name), description=description, updated_at=self._clock.now_us())
        await self._store.put_tag(tag, by, is_new=False, rules=rules)
        if rules != NO_RULES:
            await self._publisher.publish()
        return tag

    async def delete(self, name: str, by: str) -> None:
        """Delete a tag and its rules. Raises NotFound, StoreUnavailable."""
        await self._store.delete_tag(self._org_id, name, by, self._clock.now_us())
        await self._publisher.publish()

    async def get(self, name: str) -> Tag:
        """One tag. Raises NotFound."""
        found = await self._store.find_tag(self._org_id, name)
        if found is None:
            raise NotFound("There is no such tag.")
        return found

    async def list(self, *, limit: int = 50, after: str = "") -> list[Tag]:
        """Tags, by name."""
        return await self._store.list_tags(self._org_id, limit=limit, after=after)
