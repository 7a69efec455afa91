"""Reads a YAML file into plain values, and remembers which of them were used.

Stricter than YAML itself: a key given twice is refused, size, depth and number of values are bounded, and nothing but
plain values is built. Amounts with a decimal point stay exact decimals.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from sekisho.settings import SettingsError, parse_endpoint, parse_secret, resolve_secret

MAX_BYTES = 5_000_000
MAX_DEPTH = 50
MAX_VALUES = 200_000


class _Loader(yaml.SafeLoader):
    """YAML's safe subset without floats, dates and repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain value", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key_node.value}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    text = _text(loader, node).replace("_", "")
    try:
        return Decimal(text)
    except ArithmeticError as error:  # .inf, .nan and sexagesimal numbers
        raise yaml.constructor.ConstructorError(None, None, f"'{text}' is not an amount", node.start_mark) from error


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def read_document(path: Path) -> dict[str, Any]:
    """The file's mapping, with the files it includes. Raises SettingsError."""
    document = _read_one(path)
    included = document.pop("include", None) or []
    if not isinstance(included, list) or not all(isinstance(name, str) for name in included):
        raise SettingsError([f"{path}: include must be a list of file names."])
    for name in included:
        # As LiteLLM does: lists are joined, anything else is replaced.
        for key, value in _read_one(path.parent / name).items():
            old = document.get(key)
            document[key] = [*old, *value] if isinstance(old, list) and isinstance(value, list) else value
    return document


def _read_one(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise SettingsError([f"{path} is larger than {MAX_BYTES:,} bytes."])
        document = yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}."]) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SettingsError([f"{path} is not valid YAML: {' '.join(str(error).split())}"]) from error
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise SettingsError([f"{path} must be a mapping of names to values."])
    _check_size(document, path)
    return document


def _check_size(document: dict[str, Any], path: Path) -> None:
    """Anchors make small files mean huge or endless trees: count what a reader would walk."""
    values = 0
    stack: list[tuple[Any, int]] = [(document, 0)]
    while stack:
        value, depth = stack.pop()
        values += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:
            raise SettingsError([f"{path} has too many or too deeply nested values."])
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        stack.extend((child, depth + 1) for child in children)


class Section:
    """A mapping in the document. `path` is how an operator finds it. Keys that are never taken are unused."""

    def __init__(self, path: str, values: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        self.path = path
        self._values = values
        self._variables = variables
        self._taken: set[str] = set()
        self._sections: dict[str, Section] = {}

    def take(self, key: str) -> Any:
        """The value, None if it is not there. `os.environ/NAME` gives the variable; raises SettingsError if unset."""
        self._taken.add(key)
        value = self._values.get(key)
        if isinstance(value, str) and value.startswith("os.environ/"):
            name = value.removeprefix("os.environ/")
            if not self._variables.get(name):
                raise SettingsError([f"{self._child(key)}: the environment variable {name} is not set or is empty."])
            return self._variables[name]
        return value

    def take_text(self, key: str) -> str:
        """The value as text, empty if it is not there. Raises SettingsError for a list or a mapping."""
        value = self.take(key)
        if isinstance(value, (dict, list)):
            raise SettingsError([f"{self._child(key)} must be a text."])
        return "" if value is None else str(value)

    def take_secret(self, key: str) -> str:
        """The secret behind the value: also `env:NAME` and `file:PATH` are followed. Raises SettingsError."""
        text = self.take_text(key)
        try:
            return resolve_secret(parse_secret(text), self._variables) if text else ""
        except SettingsError as error:
            raise SettingsError([f"{self._child(key)}: {problem}" for problem in error.problems]) from error

    def take_endpoint(self, key: str) -> str:
        """The value as an address, empty if it is not there. Raises SettingsError."""
        text = self.take_text(key)
        try:
            return parse_endpoint(text) if text else ""
        except ValueError as error:
            raise SettingsError([f"{self._child(key)}: {error}."]) from error

    def take_count(self, key: str) -> int | None:
        """The value as a positive whole number, None if it is not there. Raises SettingsError."""
        text = self.take_text(key)
        if not text:
            return None
        try:
            number = Decimal(text)
        except ArithmeticError:
            number = Decimal(0)
        if number != int(number) or number <= 0:
            raise SettingsError([f"{self._child(key)} must be a whole number above 0."])
        return int(number)

    def section(self, key: str) -> "Section":
        """The mapping under this key, an empty one if it is not there. Raises SettingsError for anything else."""
        self._taken.add(key)
        value = self._values.get(key)
        if not isinstance(value, (dict, type(None))):
            raise SettingsError([f"{self._child(key)} must be a mapping."])
        if key not in self._sections:
            self._sections[key] = Section(self._child(key), value or {}, self._variables)
        return self._sections[key]

    def raw(self, key: str) -> Any:
        """The value exactly as it is written."""
        self._taken.add(key)
        return self._values.get(key)

    def keys(self) -> list[str]:
        return [str(key) for key in self._values]

    def unused(self) -> Iterator[str]:
        """The dotted paths of what was never taken, here and in the sections below."""
        yield from (self._child(str(key)) for key in self._values if key not in self._taken)
        for section in self._sections.values():
            yield from section.unused()

    def _child(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key
