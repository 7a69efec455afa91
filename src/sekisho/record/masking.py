"""Secrets and personal data in text, replaced by placeholders before anything of it is written.

`PATTERNS` and `NUMBERS` are all that is looked for; docs/en/content.md lists them. A placeholder is a name and eight
hexadecimal digits of a keyed hash: the same value in the same scope has the same one, so the text stays readable, and
nobody without the key works out the value from it. Works on plain text and on the text of JSON, which it leaves valid.
The time is linear in the text, also for hostile text: each pattern is tried only where its hint stands.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u(00[2-7][0-9a-f]|ff[01][0-9a-f])", re.IGNORECASE)
_NEAT = re.compile(r"[^\d+]")
_BACK = 64
_WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ESCAPES = "nrtbf"
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))  # the sum of the digits of twice it


class Pattern(NamedTuple):
    """`hints`: the regular expression holds from one of them on; `back`: the match begins before it with any of these
    characters. `is_word`: nothing that belongs to a word stands before it. Group "value", else all, is replaced."""

    name: str
    hints: tuple[str, ...]
    regex: re.Pattern[str]
    back: str = ""
    is_word: bool = True


def _pattern(name: str, hints: str, regex: str, *, back: str = "", is_word: bool = True) -> Pattern:
    return Pattern(name, tuple(hints.split("|")), re.compile(regex), back, is_word)


_GAP = r"[\"'\\\s:=]{1,10}"
PATTERNS: tuple[Pattern, ...] = (
    _pattern(
        "PRIVATE_KEY",
        "-----BEGIN",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[A-Za-z0-9+/=:,\s]|\\+[nrt]|-(?!----))*"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?",
        is_word=False,
    ),
    _pattern("AWS_KEY_ID", "AKIA|ASIA|ABIA|ACCA", r"[A-Z]{4}[A-Z2-7]{16}(?![A-Za-z0-9_])"),
    _pattern(
        "AWS_SECRET",
        "ecret|ECRET",
        rf"(?i:ecret_?access_?key){_GAP}(?P<value>[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+=])",
        is_word=False,
    ),
    _pattern("BEDROCK_KEY", "ABSK|bedrock-api-key-", r"(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=]{40,}"),
    _pattern("GITHUB_TOKEN", "ghp_|gho_|ghu_|ghs_|ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _pattern("GITHUB_TOKEN", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _pattern("GITLAB_TOKEN", "glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),
    _pattern("SLACK_TOKEN", "xox|xapp-", r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    _pattern(
        "SLACK_WEBHOOK", "hooks.slack.com", r"hooks\.slack\.com/services/(?P<value>[A-Za-z0-9/]{20,})", is_word=False
    ),
    _pattern("API_KEY", "sk-|skt-", r"skt?-[A-Za-z0-9_-]{20,}"),
    _pattern("GOOGLE_KEY", "AIza|ya29.", r"(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,})"),
    _pattern(
        "STRIPE_KEY",
        "sk_live_|sk_test_|rk_live_|rk_test_|whsec_",
        r"(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}",
    ),
    _pattern("NPM_TOKEN", "npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_])"),
    _pattern("PYPI_TOKEN", "pypi-", r"pypi-[A-Za-z0-9_-]{50,}"),
    _pattern("SENDGRID_KEY", "SG.", r"SG\.[A-Za-z0-9_-]{16,200}\.[A-Za-z0-9_-]{16,}"),
    _pattern("HUGGING_FACE_TOKEN", "hf_", r"hf_[A-Za-z0-9]{30,}"),
    _pattern("AZURE_KEY", "AccountKey=", r"AccountKey=(?P<value>[A-Za-z0-9+/]{40,}={0,2})", is_word=False),
    _pattern("JWT", "eyJ", r"eyJ[A-Za-z0-9_-]{8,1000}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    _pattern(
        "CREDENTIAL",
        "uthorization|UTHORIZATION",
        rf"(?i:uthorization){_GAP}(?i:bearer|basic|token)[ +]+(?P<value>[A-Za-z0-9._~+/=-]{{12,}})",
        is_word=False,
    ),
    _pattern(
        "PASSWORD",
        "://",
        r"://[^\s:/@\"'\\<>]{0,80}:(?P<value>[^\s/@\"'\\<>\[]{1,200})@",
        back=_WORD + "+.-",
        is_word=False,
    ),
    _pattern(
        "EMAIL",
        "@",
        r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}(?!(?:png|jpe?g|gif|webp|svg|ico|css|js|py|md)(?![A-Za-z0-9]))"
        r"[A-Za-z]{2,24}(?![A-Za-z0-9])",
        back=_WORD + "._%+-",
    ),
)


def is_luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right; the digits are ASCII."""
    backwards = digits.encode()[::-1]
    doubled = backwards[1::2].translate(_DOUBLED)
    return (sum(backwards[::2]) - len(backwards[::2]) * ord("0") + sum(doubled)) % 10 == 0


def is_my_number(digits: str) -> bool:
    """Whether these are the twelve digits of an individual number of Japan with the right check digit."""
    if len(digits) != 12:
        return False
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    rest = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False)) % 11
    return int(digits[11]) == (0 if rest <= 1 else 11 - rest)


def _is_card(found: str) -> bool:
    digits = _digits(found)
    return digits[0] in "3456" and len(set(digits)) > 2 and is_luhn(digits)


def _is_my_number(found: str) -> bool:
    return is_my_number(_digits(found))


def _is_phone(found: str) -> bool:
    digits = _digits(found)
    national = "0" + digits[3:].removeprefix("0") if digits.startswith("+81") else digits
    is_mobile = re.fullmatch(r"0[5789]0\d{8}", national) is not None
    return is_mobile or (re.fullmatch(r"0[1-9]\d{8}", national) is not None and digits != found)


def _digits(found: str) -> str:
    neat = _NEAT.sub("", found)
    return neat if neat.isascii() else "".join(one if one == "+" else str(int(one)) for one in neat)


_TEN_DIGITS = re.compile(r"\d(?:[ ()（）－‐-]{0,2}\d){9}")
_RUN = re.compile(r"[\d ()（）－‐+-]*")
_BEFORE = r"(?:(?<![A-Za-z0-9_.+-])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_AFTER = r"(?![A-Za-z0-9_０-９-])"


def _number(regex: str) -> re.Pattern[str]:
    """A number wherever one can begin, in group 1, also within what another place took for one: digits of something
    else before it do not hide it."""
    return re.compile(rf"{_BEFORE}(?=({regex}){_AFTER})")


NUMBERS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    # Cards in any grouping are looked for one after the other: each place anew would be slow on hostile text.
    ("CARD", re.compile(rf"{_BEFORE}(\d(?:[ -]?\d){{12,18}}){_AFTER}"), _is_card),
    ("CARD", _number(r"\d{13,19}|\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{3})?"), _is_card),
    ("CARD", _number(r"\d{4}(?:[ -]\d{4}){3}|\d{4}[ -]\d{6}[ -]\d{4,5}"), _is_card),
    ("MY_NUMBER", _number(r"\d{4}[ -]?\d{4}[ -]?\d{4}"), _is_my_number),
    (
        "PHONE",
        _number(r"(?:\+81[-－ ]?(?:\(0\))?|[0０])\d{1,4}[-－‐ (（]?\d{1,4}[-－‐ )）]?\d{3,4}"),
        _is_phone,
    ),
)


class Found(NamedTuple):
    """A value to be replaced: its name and where it stands."""

    name: str
    start: int
    end: int


class Masker:
    """Replaces what the patterns find. `key` is a secret of the installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mask(self, text: str, scope: bytes) -> str:
        """The text without secrets and personal data; the same value has the same placeholder in the same scope."""
        if "\\u" in text:
            text = _ESCAPE.sub(_unescape, text)
        for pattern in PATTERNS:
            text = self._replaced(text, _secrets(pattern, text), scope)
        return self._replaced(text, _numbers(text), scope)

    def _replaced(self, text: str, found: Iterable[Found], scope: bytes) -> str:
        parts: list[str] = []
        at = 0
        for one in _apart(found):
            parts += (text[at : one.start], self._placeholder(one.name, text[one.start : one.end], scope))
            at = one.end
        return "".join((*parts, text[at:])) if parts else text

    def _placeholder(self, name: str, value: str, scope: bytes) -> str:
        digest = hmac.digest(self._key, scope + b"\0" + value.encode(errors="surrogatepass"), "sha256").hex()[:8]
        return f"[{name}_{digest}]"


def _apart(found: Iterable[Found]) -> list[Found]:
    """In their order; what overlaps is one, named after the first, so that no end of it stays."""
    apart: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if apart and one.start < apart[-1].end:
            apart[-1] = apart[-1]._replace(end=max(apart[-1].end, one.end))
        else:
            apart.append(one)
    return apart


def _secrets(pattern: Pattern, text: str) -> Iterator[Found]:
    for hint in pattern.hints:
        at = text.find(hint)
        while at >= 0:
            start = _start(pattern, text, at)
            match = None if start is None else pattern.regex.match(text, at)
            if match is None or start is None:
                at = text.find(hint, at + 1)
                continue
            has_value = "value" in pattern.regex.groupindex
            yield Found(
                pattern.name, match.start("value") if has_value else start, match.end("value" if has_value else 0)
            )
            at = text.find(hint, match.end())


def _start(pattern: Pattern, text: str, at: int) -> int | None:
    """Where a match begins whose hint is here; None where it cannot begin."""
    start = at
    if pattern.back:
        before = text[max(0, at - _BACK) : at]
        start -= len(before) - len(before.rstrip(pattern.back))
    escape = _escape_bytes(text, start)
    if pattern.back:
        start += escape
        return start if start < at or not pattern.is_word else None
    if not pattern.is_word or start == 0:
        return start
    if escape:  # the hint's own first letter may be that of an escape: it stays
        return start + 1 if escape == 1 else None
    is_begin = text[start - 1] not in _WORD + "_" or _ends_escape(text, start)
    return start if is_begin else None


def _escape_bytes(text: str, at: int) -> int:
    """How many characters from here on belong to an escape that a backslash before them begins."""
    before = text[max(0, at - 32) : at]
    if (len(before) - len(before.rstrip("\\"))) % 2 == 0 or at >= len(text):
        return 0
    if text[at] == "u" and len(text) >= at + 5 and not text[at + 1 : at + 5].strip("0123456789abcdefABCDEF"):
        return 5
    return 1 if text[at] in _ESCAPES else 0


def _ends_escape(text: str, at: int) -> bool:
    """Whether what stands right before this place is an escape."""
    return (at >= 2 and _escape_bytes(text, at - 1) == 1) or (at >= 6 and _escape_bytes(text, at - 5) == 5)


def _numbers(text: str) -> Iterator[Found]:
    """Cards, individual numbers and telephone numbers."""
    found = _TEN_DIGITS.search(text)
    while found is not None:
        run = _RUN.match(text, found.start())
        assert run is not None  # it holds everywhere
        for name, regex, holds in NUMBERS:
            for one in regex.finditer(text, max(0, found.start() - 4), run.end() + 1):
                if holds(one[1]):
                    yield Found(name, one.start(1), one.end(1))
        found = _TEN_DIGITS.search(text, run.end())


def _unescape(found: re.Match[str]) -> str:
    """A character that JSON need not escape, as itself."""
    character = chr(int(found[2], 16))
    return found[0] if character in '"\\' else found[1] + character
