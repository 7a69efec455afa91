"""Keys, sessions and the epoch in the database."""

import msgspec
import pytest

from sekisho.access.organisation import Team
from sekisho.access.register import KeyChange, KeyFilter, KeyLabel, StoredKey
from sekisho.errors import BadRequest, NotFound
from sekisho.store.sql.effective import SqlEffective
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.organisation import SqlOrganisation


def key(number: int, **changes) -> StoredKey:
    made = StoredKey(f"k{number:025d}", "default", bytes([number]) * 32, "wxyz", number, "operator", number)
    return msgspec.structs.replace(made, **changes)


FULL = key(
    1,
    alias="alice",
    user_id="alice",
    team_id="red",
    models=("claude", "nova"),
    tags=("project:x",),
    metadata={"cost centre": {"id": 7, "名前": "開発"}},
    expires_at=2**52,
    blocked=True,
)


@pytest.fixture
async def keys(database) -> SqlKeys:
    await SqlOrganisation(database).add_team(Team("red", "default", 0, "operator", 0), ())
    return SqlKeys(database)


async def test_a_key_comes_back_as_it_was_stored(keys):
    await keys.add(FULL)
    assert await keys.find("default", key_id=FULL.id) == FULL
    assert await keys.find("default", digest=FULL.digest) == FULL
    assert await keys.find("default", alias="alice") == FULL
    assert await keys.find("default", key_id=FULL.id, alias="bob") is None
    assert await keys.find("another", key_id=FULL.id) is None
    assert await keys.find("default") is None


async def test_every_write_raises_the_epoch_and_a_refused_one_does_not(keys, database):
    effective = SqlEffective(database)
    epochs: list[int] = [(await effective.current("default")).epoch]

    async def epoch_after(write) -> int:
        await write
        epochs.append((await effective.current("default")).epoch)
        return epochs[-1] - epochs[-2]

    assert await epoch_after(keys.add(FULL)) == 1
    assert await epoch_after(keys.change("default", FULL.id, KeyChange(blocked=False), "operator", 5)) == 1
    with pytest.raises(BadRequest):
        await keys.add(key(2, alias="alice"))
    with pytest.raises(NotFound):
        await keys.change("default", "nobody", KeyChange(blocked=True), "operator", 5)
    assert await epoch_after(keys.delete("default", FULL.id, "operator", 6)) == 1
    assert await epoch_after(keys.raise_epoch()) == 1


async def test_a_change_touches_only_what_it_names(keys):
    await keys.add(FULL)
    change = KeyChange(models=(), expires_at=None, alias="")
    assert await keys.change("default", FULL.id, change, "operator", 9) == msgspec.structs.replace(
        FULL, models=(), expires_at=None, alias="", updated_at=9
    )


async def test_an_alias_belongs_to_one_key_in_use(keys):
    await keys.add(FULL)
    await keys.add(key(2))
    await keys.add(key(3))  # no alias: no clash
    with pytest.raises(BadRequest, match="alias") as caught:
        await keys.change("default", key(2).id, KeyChange(alias="alice"), "operator", 5)
    assert caught.value.param == "key_alias"
    await keys.delete("default", FULL.id, "operator", 6)
    assert (await keys.change("default", key(2).id, KeyChange(alias="alice"), "operator", 7)).alias == "alice"


async def test_a_deleted_key_is_gone_for_good_but_keeps_its_name(keys, database):
    await keys.add(FULL)
    await keys.delete("default", FULL.id, "operator", 6)
    assert await keys.find("default", key_id=FULL.id) is None
    assert (await SqlEffective(database).current("default")).keys == ()
    assert await keys.labels("default", {FULL.id, "other"}) == {FULL.id: KeyLabel("alice", "wxyz", FULL.digest)}
    with pytest.raises(NotFound):
        await keys.delete("default", FULL.id, "operator", 7)
    with pytest.raises(BadRequest, match="cannot be used"):  # the same raw key cannot come back
        await keys.add(key(2, digest=FULL.digest))


async def test_an_erased_key_leaves_nothing(keys):
    await keys.add(FULL)
    await keys.erase("default", FULL.id, "operator", 7)
    assert await keys.labels("default", {FULL.id}) == {}
    await keys.add(FULL)


async def test_keys_are_listed_newest_first_filtered_and_paged(keys):
    for number in range(1, 6):
        await keys.add(key(number, user_id="bob" if number % 2 else "alice"))
    every = KeyFilter()
    assert [k.created_at for k in await keys.list("default", every, limit=2)] == [5, 4]
    assert [k.created_at for k in await keys.list("default", every, limit=9, after=key(4).id)] == [3, 2, 1]
    assert [k.created_at for k in await keys.list("default", every, limit=2, offset=3)] == [2, 1]
    assert [k.created_at for k in await keys.list("default", KeyFilter(user_id="alice"), limit=9)] == [4, 2]
    assert await keys.count("default", KeyFilter(user_id="bob")) == 3
    assert await keys.list("another", every, limit=9) == []


async def test_a_snapshot_has_every_key_in_use_also_blocked_ones(keys, database):
    await keys.add(FULL)
    await keys.add(key(2))
    assert (await SqlEffective(database).current("default")).keys == (FULL.virtual_key(), key(2).virtual_key())
