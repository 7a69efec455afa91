"""Keys: made strong, recognised by digest, judged in clear words."""

import hashlib
import hmac
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.access.keys import (
    KeyRing,
    check,
    digest,
    digester,
    generate_key,
    load_or_create_pepper,
    may_use,
    pepper_path,
)
from sekisho.errors import NotAuthenticated, StoreUnavailable
from sekisho.values import VirtualKey

PEPPER = bytes(range(32))
ALICE = VirtualKey("k1", "default", digest(PEPPER, "sk-alice"), alias="alice", models=("claude", "sonnet-alias"))


def test_a_generated_key_has_43_url_safe_characters_behind_the_prefix_and_never_repeats():
    keys = {generate_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", key) for key in keys)


def test_the_digest_is_hmac_sha256_of_the_key_under_the_pepper():
    assert digest(PEPPER, "sk-x") == hmac.new(PEPPER, b"sk-x", hashlib.sha256).digest()


@given(st.binary(max_size=100), st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_the_digester_of_a_pepper_gives_hmac_sha256_too(pepper, key):
    made = digester(pepper)
    assert [made(key), made(key)] == [hmac.new(pepper, key.encode(), hashlib.sha256).digest()] * 2


def test_a_key_ring_finds_a_key_by_digest_and_nothing_else():
    ring = KeyRing((ALICE,))
    assert ring.find(digest(PEPPER, "sk-alice")) is ALICE
    assert ring.find(digest(PEPPER, "sk-bob")) is None
    assert ring.find(digest(PEPPER, ALICE.digest.hex())) is None  # a stolen digest is not a key


def test_a_key_is_good_until_the_microsecond_it_expires():
    key = VirtualKey("k", "default", b"d", expires_at=1000)
    check(key, 999)
    with pytest.raises(NotAuthenticated, match="has expired"):
        check(key, 1000)


def test_a_blocked_key_is_refused_without_showing_it():
    with pytest.raises(NotAuthenticated, match="is blocked") as caught:
        check(VirtualKey("k", "default", b"d", blocked=True), 0)
    assert "sk-" not in caught.value.message


@pytest.mark.parametrize(
    ("models", "name", "aliases", "allowed"),
    [
        ((), "anything", (), True),
        (("claude",), "claude", (), True),
        (("claude",), "nova", (), False),
        (("sonnet-alias",), "claude", ("sonnet-alias",), True),
        (("claude",), "claude-2", ("cl",), False),
    ],
)
def test_the_model_list_of_a_key_decides_by_whole_names(models, name, aliases, allowed):
    assert may_use(VirtualKey("k", "default", b"d", models=models), name, aliases) is allowed


def test_the_pepper_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path):
    pepper = load_or_create_pepper(tmp_path)
    assert len(pepper) == 32
    assert load_or_create_pepper(tmp_path) == pepper
    assert stat.S_IMODE(pepper_path(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(pepper_path(tmp_path).parent.stat().st_mode) == 0o700


def test_starters_that_race_for_the_pepper_get_the_same_one(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        peppers = set(pool.map(lambda _: load_or_create_pepper(tmp_path), range(8)))
    assert len(peppers) == 1
    assert [path.name for path in pepper_path(tmp_path).parent.iterdir()] == ["pepper"]


def test_a_pepper_cut_short_is_refused_not_replaced(tmp_path: Path):
    load_or_create_pepper(tmp_path)
    pepper_path(tmp_path).write_bytes(b"short")
    with pytest.raises(StoreUnavailable, match="damaged"):
        load_or_create_pepper(tmp_path)
    assert pepper_path(tmp_path).read_bytes() == b"short"


def test_a_home_that_cannot_be_written_is_reported(tmp_path: Path):
    (tmp_path / "secrets").write_text("a file where a folder should be")
    with pytest.raises(StoreUnavailable, match="cannot be read or made"):
        load_or_create_pepper(tmp_path)
