"""Settings from environment variables: SIDECACHE_CACHE__TTL_S is ``cache.ttl_s``.

Two underscores go one group deeper, a number picks an item of a list
(SIDECACHE_UPSTREAMS__0__URL). Lists, mappings and whole groups are given as YAML or JSON; a plain
list also as words with commas. An empty variable counts as absent. An unknown name is a fault, for
a setting that is silently ignored is worse than a proxy that does not start; excepted are
the variables that Kubernetes makes up for a Service called sidecache, and those by which commands
find a proxy that runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from proxy.config.document import Unreadable, parse_yaml
from proxy.config.faults import Fault, Given, Place
from proxy.config.outline import EACH, Kind, Setting, outline

PREFIX: Final = "SIDECACHE_"
CONFIG_FILE: Final = "SIDECACHE_CONFIG"  # read by the command line
OPERATOR: Final = frozenset(  # as above: how commands reach a proxy that runs
    {"SIDECACHE_ADMIN_URL", "SIDECACHE_ADMIN_TOKEN", "SIDECACHE_ADMIN_TOKEN_FILE"}
)
UPSTREAM: Final = "SIDECACHE_UPSTREAM"  # short for one backend, as --upstream is

_DEEPER: Final = "__"
_NEAR: Final = 0.7  # names share their prefix, so difflib finds them all alike
# https://kubernetes.io/docs/concepts/containers/container-environment/#cluster-information
_OF_A_SERVICE: Final = re.compile(
    r"SIDECACHE(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def from_environment(environ: Mapping[str, str]) -> tuple[list[Given], list[Fault]]:
    """What the variables say, groups before what is in them, and what is wrong with them."""
    known = {setting.path: setting for setting in outline()}
    given: list[Given] = []
    faults: list[Fault] = []
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == CONFIG_FILE or name in OPERATOR or not text:
            continue
        if name == UPSTREAM:
            given.append(Given(("upstreams",), [{"url": text}], name))
            continue
        place = _place(name)
        setting = known.get(tuple(EACH if isinstance(step, int) else step for step in place))
        if setting is not None:
            try:
                given.append(Given(place, _value(text, setting, name), name))
            except Unreadable as unreadable:
                faults += [Fault(place, fault.text, name) for fault in unreadable.faults]
        elif not _OF_A_SERVICE.fullmatch(name):
            names = [UPSTREAM, CONFIG_FILE, *map(variable, known.values())]
            near = get_close_matches(name, names, n=1, cutoff=_NEAR)
            hint = f"; did you mean {near[0]}?" if near else ""
            faults.append(Fault((), f"no such setting{hint}", name))
    given.sort(key=lambda each: (len(each.place), [str(step).zfill(9) for step in each.place]))
    return given, faults


def variable(setting: Setting) -> str:
    """The variable for ``setting``; for one of a list's items, that of the first."""
    return PREFIX + _DEEPER.join("0" if s == EACH else s.upper() for s in setting.path)


def _place(name: str) -> Place:
    steps = name.removeprefix(PREFIX).lower().split(_DEEPER)
    return tuple(int(step) if step.isascii() and step.isdigit() else step for step in steps)


def _value(text: str, setting: Setting, source: str) -> object:
    """What ``text`` says; scalars are left to the model to read. Raises Unreadable."""
    if setting.kind is Kind.SCALAR:
        return None if setting.is_optional and text == "null" else text
    value, _lines = parse_yaml(text, source)
    if setting.kind is Kind.LIST and isinstance(value, str):
        return [word.strip() for word in value.split(",")]
    return value
