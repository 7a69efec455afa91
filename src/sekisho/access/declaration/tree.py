"""YAML as a tree of texts, lists and mappings that know their lines.

Stricter than YAML: no tags, no key twice, no second document; size, depth and number of values are bounded, those that
aliases repeat counted each time. What a text means (a number, a time, yes or no) is decided by who reads it, so that a
team may be called `no` and an amount is never a float.
"""

from dataclasses import dataclass, field

import yaml

from sekisho.access.declaration.problems import BadDocument, Problem

MOST_BYTES = 5_000_000
MOST_DEPTH = 30
MOST_VALUES = 200_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # some builds of PyYAML have no libyaml


@dataclass(slots=True)
class Text:
    """A scalar. `is_plain`: written without quotes, so that it may also mean a number, yes or no, or nothing."""

    line: int
    text: str
    is_plain: bool

    @property
    def is_null(self) -> bool:
        return self.is_plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True)
class Entries:
    """A mapping, in the order of the file."""

    line: int
    entries: "dict[str, tuple[Text, Node]]" = field(default_factory=dict)


Node = Text | Items | Entries


def parse_tree(text: str) -> Entries:
    """The document's mapping. Raises BadDocument."""
    if len(text) > MOST_BYTES:
        raise _bad(
            0, f"The file is larger than {MOST_BYTES:,} characters.", f"ファイルが {MOST_BYTES:,} 文字を超えています。"
        )
    try:
        root = _Builder().build(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = error.problem or "syntax error"
        raise _bad(
            mark.line + 1 if mark else 0, f"This is not YAML: {words}.", f"YAML として読めません：{words}"
        ) from error
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise _bad(line, "There is a character that YAML does not allow.", "YAML で使えない文字があります。") from error
    if root is None or (isinstance(root, Text) and root.is_null):
        return Entries(1)
    if not isinstance(root, Entries):
        raise _bad(root.line, "The file is a mapping of names to values.", "ファイルの最上位は「名前: 値」の並びです。")
    _check_size(root)
    return root


class _Builder:
    """Makes the tree from the parser's events, without recursion."""

    def __init__(self) -> None:
        self._root: Node | None = None
        self._open: list[Items | Entries] = []
        self._keys: list[Text | None] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def build(self, text: str) -> Node | None:
        for event in yaml.parse(text, Loader=_LOADER):
            self._take(event)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _bad(line, "The file holds a second document.", "ファイルに 2 つ目の文書があります。")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _bad(line, f"There is no anchor &{event.anchor}.", f"アンカー &{event.anchor} がありません。")
            self._add(self._anchors[event.anchor], line)
        elif isinstance(event, yaml.NodeEvent):
            self._begin(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
            self._keys.pop()

    def _begin(self, event: yaml.NodeEvent, line: int) -> None:
        if getattr(event, "tag", None):
            raise _bad(line, "Tags such as !!str are not used here.", "!!str などのタグは使えません。")
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Text(line, event.value, bool(event.implicit[0]))
        else:
            node = Entries(line) if isinstance(event, yaml.MappingStartEvent) else Items(line)
        self._add(node, line)
        if not isinstance(node, Text):
            if len(self._open) >= MOST_DEPTH:
                raise _too_large(line)
            self._open.append(node)
            self._keys.append(None)
        if event.anchor:  # only now: an alias inside what it names would be endless
            if isinstance(node, Text):
                self._anchors[event.anchor] = node
            else:
                raise _bad(line, "An anchor stands at a single value only.", "アンカーは単独の値にだけ付けられます。")

    def _add(self, node: Node, line: int) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is not None:
            parent.entries[key.text] = (key, node)
            self._keys[-1] = None
        elif not isinstance(node, Text):
            raise _bad(line, "A name is a plain text.", "名前は文字列で書いてください。")
        elif node.text in parent.entries:
            raise _bad(line, f"'{node.text[:60]}' is given twice.", f"「{node.text[:60]}」が 2 回書かれています。")
        else:
            self._keys[-1] = node


def _check_size(root: Node) -> None:
    values = 0
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        values += 1
        if values > MOST_VALUES:
            raise _too_large(node.line)
        if isinstance(node, Items):
            stack.extend(node.items)
        elif isinstance(node, Entries):
            stack.extend(value for _, value in node.entries.values())


def _too_large(line: int) -> BadDocument:
    return _bad(line, "Too many or too deeply nested values.", "値が多すぎるか、入れ子が深すぎます。")


def _bad(line: int, en: str, ja: str) -> BadDocument:
    return BadDocument([Problem(line, en, ja)])
