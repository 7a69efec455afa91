"""A mapping of the document being read: typed fields, every problem with its line, nothing unknown."""

import difflib
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

import msgspec

from sekisho.access.declaration.problems import BadDocument, Problem
from sekisho.access.declaration.tree import Entries, Items, Node, Text
from sekisho.access.declaration.words import has_zone, parse_time
from sekisho.access.money import MOST_NANOUSD, parse_usd
from sekisho.access.organisation import METADATA_BYTES, NAME_CHARACTERS
from sekisho.errors import BadRequest

_MONEY = re.compile(r"(?:USD\s*|\$\s*)?([0-9][0-9,]{0,15}(?:\.[0-9]{1,30})?)(?:\s*USD)?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,400})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400})?(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_MOST_COUNT = 1_000_000_000_000


class Problems:
    """Collects what is wrong, so that a person mends it all at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, line: int, en: str, ja: str) -> None:
        self.found.append(Problem(line, en, ja))

    def judge(self) -> None:
        """Raises BadDocument if anything was found."""
        if self.found:
            raise BadDocument(sorted(self.found, key=lambda problem: problem.line))


class Fields:
    """The fields under one name. `where`: how a person finds it, such as "teams.a"."""

    def __init__(self, problems: Problems, node: Node | None, where: str, line: int = 1) -> None:
        self.problems = problems
        self.where = where
        self.line = node.line if node else line
        self._entries: dict[str, tuple[Text, Node]] = {}
        self._taken: set[str] = set()
        if isinstance(node, Entries):
            self._entries = node.entries
        elif node is not None and not (isinstance(node, Text) and node.is_null):
            problems.add(node.line, f"{where} is a mapping of names to values.", f"{where} は「名前: 値」の並びです。")

    def has(self, name: str) -> bool:
        return name in self._entries

    def line_of(self, name: str) -> int:
        return self._entries[name][0].line if name in self._entries else self.line

    def bad(self, name: str, en: str, ja: str) -> None:
        """Note what is wrong with a field."""
        self.problems.add(self.line_of(name), f"{self.path(name)}: {en}", f"{self.path(name)}：{ja}")

    def path(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def text(self, name: str, most: int = NAME_CHARACTERS) -> str:
        """A text, "" if it is not there."""
        node = self._take(name)
        if node is None:
            return ""
        if not isinstance(node, Text):
            self.bad(name, "this is a text.", "文字列で書いてください。")
            return ""
        if len(node.text) > most or not _is_clean(node.text):
            self.bad(
                name, f"at most {most} printable characters.", f"{most} 文字以内の印字できる文字で書いてください。"
            )
            return ""
        return "" if node.is_null else node.text

    def texts(self, name: str, *, are_ids: bool = False) -> tuple[str, ...]:
        """A list of names, each once."""
        node = self._take(name)
        if node is None or (isinstance(node, Text) and node.is_null):
            return ()
        if not isinstance(node, Items):
            self.bad(name, "this is a list, such as [a, b].", "[a, b] のようなリストで書いてください。")
            return ()
        found: dict[str, None] = {}
        for item in node.items:
            if not isinstance(item, Text) or not _is_name(item.text) or (are_ids and not is_id(item.text)):
                self._bad_id(item.line, self.path(name))
            elif item.text in found:
                path, text = self.path(name), item.text[:60]
                self.problems.add(item.line, f"{path}: '{text}' stands twice.", f"{path}：「{text}」が重複しています。")
            else:
                found[item.text] = None
        return tuple(found)

    def count(self, name: str) -> int | None:
        """A whole number from 0; None if it is not there."""
        text = self._scalar(name)
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,13}", text) or int(text) > _MOST_COUNT:
            self.bad(
                name, f"'{text[:40]}' is not a whole number from 0.", f"「{text[:40]}」は 0 以上の整数ではありません。"
            )
            return None
        return int(text)

    def flag(self, name: str) -> bool | None:
        """true or false; None if it is not there."""
        text = self._scalar(name)
        if not text:
            return None
        if text not in ("true", "false"):
            self.bad(name, "write true or false.", "true か false で書いてください。")
            return None
        return text == "true"

    def money(self, name: str) -> int | None:
        """Nano-USD of "100 USD", $1,000 or 12.5; None if it is not there."""
        text = self._scalar(name)
        if not text:
            return None
        match = _MONEY.fullmatch(text)
        if match is None:
            self.bad(
                name,
                f"'{text[:40]}' is not an amount such as 100 USD.",
                f"「{text[:40]}」は 100 USD のような金額ではありません。",
            )
            return None
        try:
            return parse_usd(match[1].replace(",", ""), name)
        except BadRequest as error:
            most = MOST_NANOUSD // 1_000_000_000
            self.bad(name, error.message, f"金額は {most:,} USD 以下、小数点以下 9 桁までで書いてください。")
            return None

    def time(self, name: str, time_zone: str) -> int | None:
        """A date or a time; None if it is not there."""
        text = self._scalar(name)
        if not text:
            return None
        at_us = parse_time(text, time_zone)
        if at_us is None:
            self.bad(
                name,
                f"'{text[:40]}' is not a date such as 2027-01-31 or a time such as 2027-01-31T10:00:00Z.",
                f"「{text[:40]}」は 2027-01-31 や 2027-01-31T10:00:00Z のような日時ではありません。",
            )
        return at_us

    def zone(self, name: str, default: str) -> str:
        """A time zone."""
        text = self.text(name, 100)
        if text and not has_zone(text):
            self.bad(name, f"there is no time zone '{text}'.", f"タイムゾーン「{text}」はありません。")
            return default
        return text or default

    def metadata(self, name: str) -> dict[str, Any]:
        """Free values."""
        node = self._take(name)
        if node is None or (isinstance(node, Text) and node.is_null):
            return {}
        if not isinstance(node, Entries):
            self.bad(name, "this is a mapping of names to values.", "「名前: 値」の並びで書いてください。")
            return {}
        found: dict[str, Any] = _plain(node)
        if len(msgspec.json.encode(found)) > METADATA_BYTES:
            self.bad(name, f"at most {METADATA_BYTES} bytes.", f"{METADATA_BYTES} バイト以内で書いてください。")
        return found

    def fields(self, name: str) -> "Fields":
        """The mapping under this name, an empty one if it is not there."""
        return Fields(self.problems, self._take(name), self.path(name), self.line_of(name))

    def named(self, name: str) -> Iterator[tuple[str, "Fields"]]:
        """The mappings under this name by the ids that lead to them."""
        node = self._take(name)
        if node is None or (isinstance(node, Text) and node.is_null):
            return
        if not isinstance(node, Entries):
            self.bad(name, "this is a mapping of ids to fields.", "「ID: 項目」の並びで書いてください。")
            return
        for text, (key, value) in node.entries.items():
            if is_id(text):
                yield text, Fields(self.problems, value, f"{self.path(name)}.{text}", key.line)
            else:
                self._bad_id(key.line, self.path(name))

    def finish(self, *known: str) -> None:
        """Note every field that has no meaning here. `known` has some that are never taken, for the suggestion."""
        names = self._taken | set(known)
        for name, (key, _) in self._entries.items():
            if name not in names:
                close = difflib.get_close_matches(name, sorted(names), 1)
                shown = name[:60]
                hint_en, hint_ja = (f" Did you mean {close[0]}?", f"{close[0]} のことですか？") if close else ("", "")
                self.problems.add(
                    key.line,
                    f"{self.path(shown)} has no meaning here.{hint_en}",
                    f"{self.path(shown)} という項目はありません。{hint_ja}",
                )

    def _take(self, name: str) -> Node | None:
        self._taken.add(name)
        return self._entries[name][1] if name in self._entries else None

    def _scalar(self, name: str) -> str:
        node = self._take(name)
        if node is None:
            return ""
        if isinstance(node, Text):
            return "" if node.is_null else node.text.strip()
        self.bad(name, "this is a single value.", "値を 1 つ書いてください。")
        return ""

    def _bad_id(self, line: int, where: str) -> None:
        self.problems.add(
            line,
            f"{where}: a name has 1 to {NAME_CHARACTERS} printable characters.",
            f"{where}：名前は 1～{NAME_CHARACTERS} 文字の印字できる文字です。",
        )


def is_id(text: str) -> bool:
    """Whether this can be the id of a user or the name of something."""
    return 0 < len(text) <= NAME_CHARACTERS and text.isprintable() and text == text.strip()


def _is_name(text: str) -> bool:
    return len(text) <= NAME_CHARACTERS and _is_clean(text)


def _is_clean(text: str) -> bool:
    return "\0" not in text


def _plain(node: Node) -> Any:
    """The JSON value that the core schema of YAML 1.2 sees; decimals as numbers, all else as texts."""
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    if isinstance(node, Entries):
        return {name: _plain(value) for name, (_, value) in node.entries.items()}
    if node.is_plain and node.text in _WORDS:
        return _WORDS[node.text]
    if node.is_plain and _NUMBER.fullmatch(node.text):
        return int(node.text)
    if node.is_plain and _DECIMAL.fullmatch(node.text):
        number = float(node.text)
        return number if isfinite(number) else node.text
    return node.text


def means_more(text: str) -> bool:
    """Whether a text written without quotes would be taken for something else."""
    return text in _WORDS or _DECIMAL.fullmatch(text) is not None
