"""Where a request is for: its target and its authority, checked before anybody relies on them.

The target is kept to the byte. What two readers could take for different paths (dot segments
however they are spelled, a second authority after ``//``, backslashes, fragments, control
characters) is refused instead of normalised: normalising would be one more reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from proxy.model.errors import RequestError

# RFC 3986, section 3.2.2, without userinfo: reg-name, IPv4 or an IP literal, and a port.
_AUTHORITY: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w\-.~!$&'()*+,;=:]+\]"
    r"|(?:[\w\-.~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)"
    r"(?::([0-9]{0,5}))?",
    re.ASCII,
)
_LONGEST_AUTHORITY: Final = 253 + 6  # a name in the DNS, a colon and a port
_HIGHEST_PORT: Final = 65535
_DOTS: Final = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in origin form; ``authority`` is "" unless it came in absolute form."""

    path: str  # raw; begins with "/", or is "*"
    query_string: str  # raw, without the "?"
    authority: str = ""


@lru_cache(maxsize=256)  # clients repeat themselves; the parser bounds a target's length
def read_target(method: str, target: str) -> Target:
    """The target of a request line (RFC 9112, section 3.2), in origin, absolute or asterisk form.

    Raises:
        RequestError: 400; it is malformed, or more than one reading of it is possible.
    """
    if not (target.isascii() and target.isprintable()) or " " in target or "#" in target:
        raise RequestError(400, "The request target has characters that no target may have.")
    if target[:1] != "/":
        return _absolute(method, target)
    path, _, query = target.partition("?")
    _check(path)
    return Target(path, query)


@lru_cache(maxsize=256)
def authority_fault(authority: str) -> str:
    """What is wrong with the value of a ``Host`` field, as a sentence; "" if nothing is.

    RFC 9110, section 7.2. User information is refused (RFC 9110, section 4.2.4).
    """
    if not authority:
        return "The Host field is empty."
    if len(authority) > _LONGEST_AUTHORITY:
        return "The Host field is too long."
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return "The Host field is no host and port."
    if match[1] and int(match[1]) > _HIGHEST_PORT:
        return "The port in the Host field does not exist."
    return ""


def _absolute(method: str, target: str) -> Target:
    if target == "*":
        if method != "OPTIONS":
            raise RequestError(400, "Only OPTIONS has a target of *.")
        return Target("*", "")
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        raise RequestError(400, "The request target is neither a path nor an http URI.")
    before_query, question, query = rest.partition("?")
    authority, slash, path = before_query.partition("/")
    if fault := authority_fault(authority[: _LONGEST_AUTHORITY + 1]):
        raise RequestError(400, fault)
    if not slash and not question and method == "OPTIONS":
        return Target("*", "", authority)  # RFC 9112, section 3.2.4
    path = f"/{path}"
    _check(path)
    return Target(path, query, authority)


def _check(path: str) -> None:
    if path.startswith("//"):
        raise RequestError(400, "The path begins with two slashes, which reads as a host.")
    if "\\" in path:
        raise RequestError(400, "The path has a backslash, which some read as a slash.")
    if "/." in path or "%" in path:
        plain = path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/")
        # A segment's parameters do not count: "..;a" is ".." to some (RFC 3986, section 3.3).
        if not _DOTS.isdisjoint(part.partition(";")[0] for part in plain.split("/")):
            raise RequestError(400, "The path has dot segments, which some would resolve.")
