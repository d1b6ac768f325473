"""Manifests from files, folders or standard input, read as kubectl reads them, with the line of every field."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kcloud_autoscale.api.problem import Location
from kcloud_autoscale.domain.errors import ConfigError

SUFFIXES = (".yaml", ".yml", ".json")
# An alias that holds itself, or a few that hold each other many times over, are refused before they are expanded.
_MAX_DEPTH = 64
_MAX_FIELDS = 200_000


class UnreadableError(ConfigError):
    """A file that cannot be read as YAML; says which and where."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document.

    Attributes:
        source: File name, or ``-``.
        line: Where it starts.
        content: Plain values.
        lines: Line of each field, by location.
    """

    source: str
    line: int
    content: Mapping[str, Any]
    lines: Mapping[Location, int]

    @property
    def subject(self) -> str:
        """Kind, namespace and name, as people name it."""
        meta = self.content.get("metadata")
        meta = meta if isinstance(meta, Mapping) else {}
        namespace = f"{meta['namespace']}/" if meta.get("namespace") else ""
        return f"{self.content.get('kind', 'object')} {namespace}{meta.get('name', '(no name)')}"

    def line_of(self, location: Location) -> int:
        """The line of a field, or of the nearest thing around it that exists."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return self.line


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: dates and 12:30 stay text, y and n are booleans, 1e3 and -.5 numbers."""


_PLAIN = (
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"),
    ("int", r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    ),
    ("null", r"~|null|Null|NULL|"),
    ("merge", "<<"),
)
# The resolvers as they stand belong to SafeLoader; these replace them all.
_Loader.yaml_implicit_resolvers = {
    None: [(f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$")) for name, pattern in _PLAIN]
}


def _bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in ("y", "yes", "true", "on")


_Loader.add_constructor("tag:yaml.org,2002:bool", _bool)


def read(paths: list[str]) -> Iterator[Manifest]:
    """All documents of the files, of the files in the folders (recursively) and, for ``-``, of standard input.

    Raises:
        UnreadableError: A path does not exist, cannot be read, or is not YAML.
    """
    for path in paths:
        for source, text in _texts(path):
            yield from _documents(source, text)


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield "-", sys.stdin.read()
        return
    files = sorted(f for f in Path(path).rglob("*") if f.suffix in SUFFIXES) if Path(path).is_dir() else [Path(path)]
    if not files:
        raise UnreadableError(f"{path}: no {', '.join(SUFFIXES)} files in this folder")
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except OSError as error:
            raise UnreadableError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UnreadableError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from error


def _documents(source: str, text: str) -> Iterator[Manifest]:
    loader = None
    try:
        # A control character is refused as soon as the loader is made.
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
                continue  # an empty document, as after a last ---
            lines: dict[Location, int] = {}
            _walk(node, (), node.start_mark.line + 1, lines, source)
            content = _text_keys(loader.construct_document(node))
            yield from _items(source, node.start_mark.line + 1, content, lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        raise UnreadableError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _items(source: str, line: int, content: Any, lines: dict[Location, int]) -> Iterator[Manifest]:
    if not isinstance(content, Mapping):
        raise UnreadableError(f"{source}:{line}: not an object, but {type(content).__name__}")
    if content.get("kind") != "List":
        yield Manifest(source, line, content, lines)
        return
    for position, item in enumerate(content.get("items") or []):
        start: Location = ("items", position)
        of_item = {location[2:]: at for location, at in lines.items() if location[:2] == start}
        yield from _items(source, of_item.get((), line), item, of_item)


def _walk(node: yaml.Node, location: Location, line: int, lines: dict[Location, int], source: str) -> None:
    if len(location) > _MAX_DEPTH or len(lines) > _MAX_FIELDS:
        raise UnreadableError(f"{source}:{line}: nested or repeated beyond reason")
    lines[location] = line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*location, str(key.value))
            if child in lines and key.tag != "tag:yaml.org,2002:merge":
                raise UnreadableError(f"{source}:{key.start_mark.line + 1}: key {key.value} is given twice")
            _walk(value, child, key.start_mark.line + 1, lines, source)
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _walk(item, (*location, position), item.start_mark.line + 1, lines, source)


def _text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _text_keys(child) for key, child in value.items()}
    return [_text_keys(child) for child in value] if isinstance(value, list) else value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
