"""One-time codes against the vectors of the RFCs, and what a code is good for."""

from hypothesis import given
from hypothesis import strategies as st

from sekisho.access.totp import (
    code_at,
    matching_step,
    new_recovery_codes,
    otpauth_uri,
    plain_recovery_code,
    secret_text,
)

SECRET = b"12345678901234567890"  # of RFC 4226 appendix D and RFC 6238 appendix B
NOW_S = 1_111_111_109


def test_the_vectors_of_rfc_6238():
    expected = {
        59: "94287082",
        1_111_111_109: "07081804",
        1_111_111_111: "14050471",
        1_234_567_890: "89005924",
        2_000_000_000: "69279037",
        20_000_000_000: "65353130",
    }
    assert {at: code_at(SECRET, at // 30, digits=8) for at in expected} == expected


def test_the_vectors_of_rfc_4226():
    expected = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489".split()
    assert [code_at(SECRET, step) for step in range(10)] == expected


def test_a_code_is_good_half_a_minute_around_now_and_once():
    now = NOW_S // 30
    good = [step for step in range(now - 3, now + 4) if matching_step(SECRET, code_at(SECRET, step), NOW_S * 10**6)]
    assert good == [now - 1, now, now + 1]
    assert matching_step(SECRET, f" {code_at(SECRET, now)[:3]} {code_at(SECRET, now)[3:]} ", NOW_S * 10**6) == now
    assert matching_step(SECRET, code_at(SECRET, now), NOW_S * 10**6, last_step=now) is None
    assert matching_step(SECRET, code_at(SECRET, now + 1), NOW_S * 10**6, last_step=now) == now + 1


@given(st.text(max_size=12))
def test_what_is_no_code_opens_nothing(text):
    right = {code_at(SECRET, step) for step in range(NOW_S // 30 - 1, NOW_S // 30 + 2)}
    assert matching_step(SECRET, text, NOW_S * 10**6) is None or "".join(text.split()) in right


def test_the_uri_is_what_authenticator_apps_read():
    assert otpauth_uri(SECRET, "alice@example.com", "Sekisho") == (
        "otpauth://totp/Sekisho:alice@example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Sekisho"
        "&algorithm=SHA1&digits=6&period=30"
    )
    assert "=" not in secret_text(b"\xff" * 11)


def test_recovery_codes_are_typed_as_they_come():
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    assert {plain_recovery_code(f" {code.upper()} ") for code in codes} == {code.replace("-", "") for code in codes}
