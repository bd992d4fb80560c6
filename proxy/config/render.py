"""The settings, told: those in force, all there are with their defaults, their schema, a reference.

Secrets are masked in all of them.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from proxy.config.environment import CONFIG_FILE, UPSTREAM
from proxy.config.faults import Place
from proxy.config.load import Loaded
from proxy.config.outline import EACH, Kind, Setting, outline
from proxy.config.section import Section
from proxy.config.settings import Settings
from proxy.config.units import Address, sized

_WIDTH: Final = 100  # columns
_PLAIN_KEY: Final = re.compile(r"(?!(null|true|false)$)[a-z][a-z0-9_-]*")
_SCHEMA_FILE: Final = "schema.json"  # beside the example

_Dumped = dict[str, object]
_Notes = Callable[[Setting, Place], str]


def effective(loaded: Loaded) -> str:
    """The settings in force as YAML, with who gave each that is not left to its default."""

    def source(_setting: Setting, place: Place) -> str:
        for length in range(len(place), 0, -1):
            if place[:length] in loaded.sources:
                return loaded.sources[place[:length]]
        return ""

    return "\n".join(_yaml(Settings, _dump(loaded.settings), (), trailing=source)) + "\n"


def masked(settings: Settings) -> dict[str, JsonValue]:
    """All settings, fit for JSON."""
    return settings.model_dump(mode="json")


def example() -> str:
    """A file of all settings at their defaults, each with what it means."""
    head = [
        f"# yaml-language-server: $schema={_SCHEMA_FILE}",
        "#",
        "# All settings, at their defaults. A file need only hold what differs.",
        "# Durations are seconds, or 30s, 5m, 1h; sizes are bytes, or 512KiB, 64MiB.",
    ]
    body = _yaml(Settings, _dump(Settings()), (), leading=lambda setting, _: setting.description)
    return "\n".join([*head, *body]) + "\n"


def schema() -> str:
    """The JSON schema of a configuration file, for editors."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    document |= Settings.model_json_schema(schema_generator=_Plain)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """All settings as a Markdown page."""
    settings = list(outline())
    plain = [s for s in settings if s.section is None and len(s.path) == 1]
    page = [_REFERENCE_HEAD, *_table(plain)]
    for group in settings:
        if group.section is None:
            continue
        each = (EACH,) if group.kind is Kind.SECTIONS else ()
        inner = [s for s in settings if s.path[:-1] == group.path + each and s.section is None]
        title = _shown(group.path + each)
        page += ["", f"## {title}", "", group.description, "", *_table(inner)]
        for written in group.field.examples or ():
            given = "\n".join(_lines(group.path[-1], written))
            page += ["", "For example:", "", "```yaml", given, "```"]
    return "\n".join(page) + "\n"


class _Plain(GenerateJsonSchema):
    """A schema without titles, which would only repeat the names, and with readable defaults."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - as inherited
        return False

    def encode_default(self, dft: object) -> Any:  # noqa: ANN401 - as inherited
        return str(dft) if isinstance(dft, Address) else super().encode_default(dft)


def _yaml(
    section: type[Section],
    values: _Dumped,
    place: Place,
    leading: _Notes = lambda _setting, _place: "",
    trailing: _Notes = lambda _setting, _place: "",
) -> Iterator[str]:
    """The lines of ``section``; ``leading`` notes stand above a setting, ``trailing`` beside it."""
    indent = "  " * len([step for step in place if isinstance(step, str)])
    for setting in outline(section):
        if len(setting.path) > 1:
            continue
        name = setting.path[0]
        here = (*place, name)
        above = leading(setting, here)
        if above:
            yield from [] if place else [""]
            wrapped = textwrap.wrap(above, _WIDTH - len(indent) - 2)
            yield from (f"{indent}# {line}" for line in wrapped)
        value = values[name]
        if setting.section and isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _yaml(setting.section, value, here, leading, trailing)
        elif setting.section and isinstance(value, list) and value:
            yield f"{indent}{name}:"
            for number, item in enumerate(value):
                lines = _yaml(setting.section, item, (*here, number), leading, trailing)
                first, *rest = (line.removeprefix(f"{indent}  ") for line in lines)
                yield f"{indent}  - {first}"
                yield from (f"{indent}    {line}" for line in rest)
        else:
            if above:
                for written in setting.field.examples or ():
                    yield from (f"{indent}#   {line}" for line in _lines(name, written))
            beside = trailing(setting, here)
            first, *rest = _lines(name, value, _WIDTH - len(indent))
            yield f"{indent}{first}{beside and f'  # {beside}'}"
            yield from (f"{indent}{line}" for line in rest)


def _lines(name: str, value: object, width: int = _WIDTH) -> Iterator[str]:
    """``name`` and its value; a list of groups, or one wider than ``width``, an item a line."""
    line = f"{name}: {_flow(name, value)}"
    if not isinstance(value, list):
        yield line
    elif any(isinstance(item, dict) for item in value) or len(line) > width:
        yield f"{name}:"
        yield from (f"  - {_flow(name, item)}" for item in value)
    else:
        yield line


def _flow(name: str, value: object) -> str:
    """``value`` in one line of YAML, sizes as people write them."""
    if isinstance(value, dict):
        pairs = (
            f"{key if _PLAIN_KEY.fullmatch(key) else _flow('', key)}: {_flow(key, inner)}"
            for key, inner in value.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_flow(name, item) for item in value)}]"
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith("_bytes"):
        return sized(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _dump(settings: Settings) -> _Dumped:
    return settings.model_dump(mode="json")


def _table(settings: list[Setting]) -> Iterator[str]:
    yield "| Setting | Default | Accepts | What it means |"
    yield "|---|---|---|---|"
    for setting in settings:
        default = "required" if setting.is_required else f"`{_default(setting)}`"
        cells = (f"`{setting.path[-1]}`", default, setting.accepts, setting.description)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _default(setting: Setting) -> str:
    value = setting.field.get_default(call_default_factory=True)
    plain = list(value) if isinstance(value, tuple) else value
    written = plain if isinstance(plain, list | dict | int | float | None) else str(plain)
    return _flow(setting.path[-1], written)


def _shown(path: tuple[str, ...]) -> str:
    return ".".join("N" if step == EACH else step for step in path)


_REFERENCE_HEAD: Final = f"""\
# Configuration

<!-- Made by `sidecache schema --format markdown`; do not edit. -->

Settings come from four places; the later one wins: the defaults below, the file named by
`--config` or `{CONFIG_FILE}` (YAML, or TOML by its suffix), environment variables, and flags.
`sidecache check` shows what is in force and where each value comes from, secrets masked.
[`config/sidecache.yaml`](../config/sidecache.yaml) is a file of all settings at their defaults.

All is read once, at the start, and checked whole: unknown names are refused, and every fault is
named, with the place it stands at.

- **Durations** (names that end in `_s`) are numbers of seconds, or texts such as `250ms`, `30s`,
  `5m`, `1h30m`, `7d`.
- **Sizes** (names that end in `_bytes`) are numbers of bytes, or texts such as `512KiB`, `64MiB`
  (powers of 1024), `1GB` (of 1000).
- **Environment variables** are called `SIDECACHE_` and the path, in upper case, with two
  underscores between groups: `SIDECACHE_CACHE__TTL_S=10m` is `cache.ttl_s`, and
  `SIDECACHE_UPSTREAMS__0__URL` the `url` of the first of the `upstreams`. Lists, mappings and
  groups are given as YAML or JSON, lists of words also with commas. `{UPSTREAM}=URL` is
  short for one backend. An empty variable counts as absent. Variables that Kubernetes makes up for
  a Service called `sidecache` are ignored.
- **Secrets** are best read from a file, by the setting that ends in `_file`; a warning tells of a
  file that every user of the machine can read. They are masked wherever settings are shown.

## Top level

All settings but these stand in groups.
"""
