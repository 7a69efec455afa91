"""What is masked is gone, what is not secret stays, JSON stays JSON, and the same value keeps the same name."""

import json
import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sekisho.record.masking import Masker, is_luhn, is_my_number

MASKER = Masker(b"k" * 32)
PLACEHOLDER = re.compile(r"\[([A-Z_]+)_([0-9a-f]{8})\]")
ALPHANUMERIC = string.ascii_letters + string.digits


def of(alphabet: str, length: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=length, max_size=length)


def numbers(length: int, first: str, is_valid) -> st.SearchStrategy[str]:
    """Numbers of this length whose last digit makes them valid."""

    def close(body: str) -> str:
        return next(body + digit for digit in string.digits if is_valid(body + digit))

    bodies = st.tuples(st.sampled_from(first), of(string.digits, length - 2)).map("".join)
    return bodies.filter(lambda body: any(is_valid(body + digit) for digit in string.digits)).map(close)


def made(prefix: str, alphabet: str, length: int) -> st.SearchStrategy[str]:
    return of(alphabet, length).map(lambda rest: prefix + rest)


CARDS = numbers(16, "3456", is_luhn).filter(lambda digits: len(set(digits)) > 2)
SECRETS = {
    "AWS_KEY_ID": made("AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
    "GITHUB_TOKEN": made("ghp_", ALPHANUMERIC, 36),
    "GITLAB_TOKEN": made("glpat-", ALPHANUMERIC, 20),
    "SLACK_TOKEN": made("xoxb-", ALPHANUMERIC, 24),
    "API_KEY": made("sk-ant-api03-", ALPHANUMERIC, 40),
    "GOOGLE_KEY": made("AIza", ALPHANUMERIC, 35),
    "STRIPE_KEY": made("sk_live_", ALPHANUMERIC, 24),
    "NPM_TOKEN": made("npm_", ALPHANUMERIC, 36),
    "BEDROCK_KEY": made("ABSK", ALPHANUMERIC, 120),
    "HUGGING_FACE_TOKEN": made("hf_", ALPHANUMERIC, 34),
    "JWT": of(ALPHANUMERIC, 20).map(lambda part: f"eyJ{part}.eyJ{part}.{part}"),
    "PRIVATE_KEY": of(ALPHANUMERIC, 64).map(
        lambda part: f"-----BEGIN RSA PRIVATE KEY-----\n{part}\n{part}\n-----END RSA PRIVATE KEY-----"
    ),
    "EMAIL": of(string.ascii_lowercase, 6).map(lambda name: f"{name}.sato@mail.example.co.jp"),
    "CARD": CARDS | CARDS.map(lambda digits: " ".join(re.findall("....", digits))),
    "MY_NUMBER": numbers(12, string.digits, is_my_number).map(lambda digits: "-".join(re.findall("....", digits))),
    "PHONE": of(string.digits, 8).map(lambda digits: f"090-{digits[:4]}-{digits[4:]}")
    | of("123456789", 8).map(lambda digits: f"03-{digits[:4]}-{digits[4:]}")
    | of(string.digits, 8).map(lambda digits: f"+81 90-{digits[:4]}-{digits[4:]}")
    | of("０１２３４５６７８９", 8).map(lambda digits: f"０９０－{digits[:4]}－{digits[4:]}"),
}
AROUND = st.sampled_from(["", " ", "前", "\n", '"', "key = ", "「", "\t", "(", "\\"])


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_replaced_wherever_it_stands(name):
    @settings(max_examples=30, deadline=None)
    @given(SECRETS[name], AROUND, AROUND)
    def check(secret: str, before: str, after: str) -> None:
        end = after if not after.startswith("key") else "。"
        for text in (f"{before}{secret}{end}", json.dumps({"a": f"{before}{secret}{end}"})):
            masked = MASKER.mask(text, b"task")
            assert secret not in masked and json.dumps(secret)[1:-1] not in masked
            assert [found[1] for found in PLACEHOLDER.finditer(masked)] == [name]

    check()


@pytest.mark.parametrize("name", ["CARD", "MY_NUMBER", "PHONE"])
def test_digits_of_something_else_beside_it_do_not_hide_a_number(name):
    @settings(max_examples=60, deadline=None)
    @given(st.text("0123456789 ", max_size=24), SECRETS[name], st.text("0123456789 ", max_size=24))
    def check(before: str, number: str, after: str) -> None:
        left = PLACEHOLDER.sub("", MASKER.mask(f"{before} {number} {after}", b"task"))
        digits = [sum(one.isdigit() for one in text) for text in (left, before, after)]
        assert digits[0] <= digits[1] + digits[2]  # what stays is theirs: not even an end of the number

    check()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SECRETS)).flatmap(lambda name: SECRETS[name]), st.text(max_size=20))
@example("3000 0000 0000 0004", "000000000")
def test_json_stays_json_and_masking_again_changes_nothing(secret, words):
    body = json.dumps({"messages": [{"content": f"{words} {secret} {words}"}, words, {"inner": json.dumps([secret])}]})
    masked = MASKER.mask(body, b"task")
    again = json.loads(masked)
    assert MASKER.mask(masked, b"task") == masked
    assert len(again["messages"]) == 3
    assert secret not in masked


@settings(max_examples=20)
@given(SECRETS["EMAIL"], SECRETS["EMAIL"])
def test_the_same_value_has_the_same_name_within_a_task_only(one, other):
    masked = MASKER.mask(f"{one} {one} {other}", b"task").split()
    assert masked[0] == masked[1]
    assert (masked[0] == masked[2]) == (one == other)
    assert MASKER.mask(one, b"another task") != masked[0]


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:hush@db.example/x",
        '{"url":"https://alice:p4ss%21@host/path"}',
        "Authorization: Bearer abcdefghijkl.mnop",
        '\\"authorization\\": \\"Basic YWxpY2U6aHVzaGh1c2g=\\"',
        "AWS_SECRET_ACCESS_KEY=abcdefghij/klmnopqrst+uvwxyz0123456789AB",
        "alice\\u0040mail.example.com",
    ],
)
def test_what_stands_in_a_context_is_masked_and_the_context_stays(text):
    masked = MASKER.mask(text, b"")
    assert PLACEHOLDER.search(masked)
    assert not any(one in masked for one in ("hush", "p4ss", "abcdefghij", "YWxp", "alice@", "alice\\u"))


@pytest.mark.parametrize(
    "text",
    [
        "commit 3f2a9b1c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a",
        "at 2026-11-26 23:40:18, 1763000000000 ms, 12345678901234567890",
        "version 1.2.3.4, port 0-9999, range 100-200-3000, 0x1234567890123",
        "def f(a: int) -> str: return x@y",
        "https://host:8443/path@2x.png",
        "sk-short, akia, eyJ.eyJ.x",
        "関所は毎日 120000 件を処理します。",
    ],
)
def test_what_is_no_secret_stays(text):
    assert MASKER.mask(text, b"") == text


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="a@.-_:/0A9 \\\n", max_size=300))
def test_hostile_text_is_masked_in_time_and_stays_masked(text):
    masked = MASKER.mask(text * 20, b"")
    assert MASKER.mask(masked, b"") == masked
