"""Passwords, seals, rules of groups and the arithmetic of waiting."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.access.lockout import FORGET_US, LEAK_US, MOST_WAIT_S, Failures, after_attempt, guesses_of, judge
from sekisho.access.passwords import STRONG, Hasher, Strength, check_password
from sekisho.access.roles import Grant
from sekisho.access.sealing import Sealer
from sekisho.access.sign_in_rules import GroupRule, SignInRules, check_rules, given_by
from sekisho.errors import BadRequest

WEAK = Strength(2, 1, 1)
NOW = 10**15


async def test_a_password_is_kept_as_scrypt_with_its_parameters():
    kept = await Hasher(WEAK).hash("correct horse battery")
    name, log_n, r, p, _, _ = kept.split("$")
    assert (name, log_n, r, p) == ("scrypt", "2", "1", "1")
    assert await Hasher(WEAK).matches("correct horse battery", kept)
    assert not await Hasher(WEAK).matches("correct horse batter", kept)
    assert not await Hasher(WEAK).matches("", None)
    assert await Hasher(Strength(3, 1, 1)).matches("correct horse battery", kept)
    assert Hasher(Strength(3, 1, 1)).is_weak(kept)


async def test_the_vector_of_rfc_7914_is_what_we_keep():
    kept = "scrypt$10$8$16$TmFDbA==$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWI="
    assert hashlib.scrypt(b"password", salt=b"NaCl", n=1024, r=8, p=16, dklen=32).hex().startswith("fdbabe1c9d347200")
    assert await Hasher().matches("password", kept)


def test_a_guess_costs_what_owasp_asks_for():
    assert STRONG == Strength(14, 8, 5)


@pytest.mark.parametrize("bad", ["", "short", "x" * 201, "aaaaaaaaaaaaaaaa", "alice1234567", "ALICE-SMITH-1"])
def test_bad_passwords_are_refused(bad):
    with pytest.raises(BadRequest):
        check_password(bad, "alice", "Alice-Smith")


def test_a_long_password_may_hold_a_name():
    check_password("alice likes green tea in June", "alice", "")


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_for_its_purpose_only(content, purpose):
    sealer = Sealer(b"p" * 32)
    sealed = sealer.seal(content, purpose)
    assert sealer.open(sealed, purpose) == content
    assert sealer.open(sealed, purpose + "x") is None
    assert sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), purpose) is None
    assert Sealer(b"q" * 32).open(sealed, purpose) is None


@given(st.text(max_size=60))
def test_a_ticket_that_is_not_ours_says_nothing(text):
    assert Sealer(b"p" * 32).read_ticket("page", text, 0) is None


@pytest.mark.parametrize("around", ["!{}", "{}.", "{} ", "{}="])
def test_a_ticket_has_one_spelling(around):
    """Guesses from a known browser are counted by its ticket: another spelling would be another browser."""
    sealer = Sealer(b"p" * 32)
    assert sealer.read_ticket("page", around.format(sealer.ticket("page", 100, "alice")), 0) is None


def test_a_ticket_ends():
    ticket = Sealer(b"p" * 32).ticket("page", 100, "alice", "x")
    assert Sealer(b"p" * 32).read_ticket("page", ticket, 99) == ("alice", "x")
    assert Sealer(b"p" * 32).read_ticket("page", ticket, 100) is None
    assert Sealer(b"p" * 32).read_ticket("other", ticket, 99) is None


def test_waits_double_up_to_a_quarter_of_an_hour_and_are_forgotten_in_a_day():
    failures, now_us, waits = Failures(), NOW, []
    for _ in range(20):
        failures = after_attempt("account", failures, now_us)
        waits.append((failures.wait_until - now_us) // 10**6)
        now_us = failures.wait_until
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *[MOST_WAIT_S] * 6]
    assert after_attempt("account", failures, now_us + FORGET_US + 1).count == 1


def test_an_address_forgets_a_failure_every_quarter_of_an_hour():
    failures = Failures(25, NOW + 32 * 10**6, NOW)
    assert after_attempt("address", failures, NOW + LEAK_US - 1).count == 26
    later = after_attempt("address", failures, NOW + 4 * LEAK_US + 5)
    assert (later.count, later.failed_at) == (22, NOW + 4 * LEAK_US)
    assert after_attempt("address", later, NOW + 5 * LEAK_US).count == 22
    assert after_attempt("address", failures, NOW + 40 * LEAK_US).count == 1
    assert after_attempt("account", failures, NOW + 4 * LEAK_US).count == 26


def test_somebody_elses_guesses_do_not_touch_a_browser_that_is_known():
    theirs, own = guesses_of("alice", "192.0.2.66", ""), guesses_of("alice", "192.0.2.66", "laptop")
    assert not set(theirs) & set(own)
    waiting = dict.fromkeys(theirs, Failures(9, NOW + 5_000_001, NOW))
    standing, after = judge(waiting, NOW)
    assert (standing.wait_s, dict(after)) == (6, {})
    standing, after = judge({guess: Failures() for guess in own}, NOW)
    assert (standing.wait_s, len(after)) == (0, 1)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "-", False),
    ],
)
def test_guesses_are_counted_by_what_one_visitor_has_of_addresses(one, other, is_same):
    assert (guesses_of("alice", one, "")[1] == guesses_of("alice", other, "")[1]) is is_same


def test_groups_give_roles_and_teams():
    rules = SignInRules(
        (
            GroupRule("platform", "platform_admin"),
            GroupRule("dept-a", "developer", "a"),
            GroupRule("dept-a-leads", "team_lead", "a"),
            GroupRule("finance", "cost_manager"),
            GroupRule("everybody"),
        )
    )
    check_rules(rules)
    lead = given_by(rules, ["dept-a", "dept-a-leads", "something else"])
    assert (lead.grants, lead.team_ids, lead.is_known) == (
        frozenset({Grant("team_lead", "a")}),
        frozenset({"a"}),
        True,
    )
    assert given_by(rules, ["finance"]).grants == {Grant("cost_manager")}
    assert given_by(rules, ["everybody"]) == given_by(SignInRules((GroupRule("everybody"),)), ["everybody"])
    assert not given_by(rules, ["something else"]).is_known


@pytest.mark.parametrize("bad", [GroupRule(""), GroupRule("x", "platform_admin", "a"), GroupRule("x", "team_lead")])
def test_rules_that_cannot_be_are_refused(bad):
    with pytest.raises(BadRequest):
        check_rules(SignInRules((bad,)))
