"""The kinds of value a setting may have: durations, sizes, addresses, names, files and secrets.

Each kind is a type to annotate a setting with. It reads what people write ("30s", "64MiB",
"[::1]:8080"), says in ``Accepts`` what that may be, and refuses the rest with a ValueError in words
fit to be shown. Nothing is guessed: a bare number is seconds or bytes, as the setting's name says.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

from proxy.wire.json_pointer import Pointer

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS_IN: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATIONS: Final = "seconds, or a duration such as 250ms, 30s, 5m, 1h30m or 7d"

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)
_PREFIXES: Final = "kmgt"
_SIZES: Final = "bytes, or a size such as 512KiB, 64MiB or 1GB"

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s\[\]:/@]+)):(\d{1,5})")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]*")  # RFC 9110, section 5.5, less the tab
_LARGEST_PORT: Final = 65535
_LARGEST_SECRET: Final = 64 * 1024  # bytes; a key or a token, not a key store


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a setting of this kind may be, in words."""

    text: str


def seconds(value: object) -> float:
    """``value`` in seconds: a number, or numbers with units. Raises ValueError."""
    if isinstance(value, str):
        text = value.strip().lower()
        if _NUMBER.fullmatch(text):
            return float(text)
        parts = _DURATION.findall(text)
        if parts and _DURATION.sub("", text).strip() == "":
            return sum(float(number) * _SECONDS_IN[unit] for number, unit in parts)
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise ValueError(f"must be {_DURATIONS}")


def _some_seconds(value: object) -> float:
    duration = seconds(value)
    if duration == 0:
        raise ValueError("must be longer than no time at all")
    return duration


def size(value: object) -> int:
    """``value`` in bytes: a whole number, or a number with a unit. Raises ValueError.

    KiB, MiB, GiB and TiB are powers of 1024; KB, MB, GB and TB of 1000; the B may be left out.
    """
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found:
            number, unit = found[1], (found[2] or "").lower()
            base = 1024 if unit.endswith("i") else 1000
            count = Decimal(number) * base ** (_PREFIXES.index(unit[0]) + 1 if unit else 0)
            if count == int(count):
                return int(count)
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"must be {_SIZES}")


def _size_or_auto(value: object) -> int | Literal["auto"]:
    if isinstance(value, str) and value.strip() == "auto":
        return "auto"
    try:
        return size(value)
    except ValueError as error:
        raise ValueError(f"{error}; or auto") from None


def sized(count: int) -> str:
    """``count`` bytes as people write them; ``size`` reads it back."""
    for power in (4, 3, 2, 1):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{_PREFIXES[power - 1].upper()}iB"
    return str(count)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: object) -> Address:
        """The address written as host:port. Raises ValueError."""
        if isinstance(value, Address):
            return value
        found = _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            raise ValueError(
                "must be host:port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for all"
            )
        if int(found[3]) > _LARGEST_PORT:
            raise ValueError(f"must have a port up to {_LARGEST_PORT}")
        if found[1]:
            try:
                ipaddress.IPv6Address(found[1])
            except ValueError:
                raise ValueError("must have an IPv6 address in its brackets") from None
        return cls(found[1] or found[2], int(found[3]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret and the file it was read from, once."""

    path: Path
    secret: SecretStr

    def __str__(self) -> str:
        return str(self.path)


def _secret_file(value: object, info: ValidationInfo) -> SecretFile:
    if isinstance(value, SecretFile):
        return value
    path = _file(value)
    if path.stat().st_mode & 0o004 and isinstance(info.context, list):
        info.context.append(f"{path} holds a secret and can be read by every user of this machine")
    with path.open("rb") as file:
        content = file.read(_LARGEST_SECRET + 1)
    if len(content) > _LARGEST_SECRET:
        raise ValueError("must name a file of one secret; this one is larger than 64 KiB")
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("must name a file of text in UTF-8") from None
    if not secret:
        raise ValueError("must name a file that holds a secret; this one is empty")
    if not _FIELD_VALUE.fullmatch(secret):
        raise ValueError("must name a file of one line, without control characters")
    return SecretFile(path, SecretStr(secret))


def _file(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be the path of a file")
    path = Path(value)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"must be the path of a readable file: {error.strerror}") from error


def whole(value: object) -> object:
    """``value``, which may yet be no number, but no fraction. Raises ValueError."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("must be a whole number")
    return value


def unmistakable(value: object) -> object:
    """``value``, which may yet be no number, but no boolean. Raises ValueError."""
    if type(value) is bool:
        raise ValueError("must be a number")
    return value


def _header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError("must be the name of a header, such as X-User-Id")
    return value.lower()


def _cookie_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError("must be the name of a cookie")
    return value


def _pseudonym(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError("must be one word of letters, digits and -._~ (RFC 9110, section 7.6.3)")
    return value


def _phrase(value: str) -> str:
    if not value.replace("*", "").strip():
        raise ValueError("must hold more than blanks and stars")
    return value


def _json_pointer(value: str) -> str:
    Pointer(value)
    return value


def _field_value(value: SecretStr) -> SecretStr:
    if not _FIELD_VALUE.fullmatch(value.get_secret_value()):
        raise ValueError("must not contain control characters")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(
            "must be an address or a network, such as 10.0.0.0/8 or 2001:db8::/32"
        ) from None


def _origin(value: str) -> str:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
        raise ValueError("must be a URL, such as http://127.0.0.1:8000 or https://llm.example")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password; use set_headers")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or a fragment")
    if any(character <= " " or character in '\\"<>^`{|}\x7f' for character in value):
        raise ValueError("must not contain blanks or characters that URLs do not allow")
    return value.rstrip("/")


def _path_prefix(value: str) -> str:
    if not value.startswith("/") or "//" in value or ".." in value.split("/"):
        raise ValueError('must begin with "/" and have no "//" or ".." in it')
    if any(character <= " " or character in "?#" for character in value):
        raise ValueError("must be a path, without a query, a fragment or blanks")
    return value


def _number_or_text(pattern: str, text: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}],
            "description": text,
        }
    )


_DURATION_SCHEMA: Final = _number_or_text(
    r"^\s*\d+(\.\d+)?\s*((ms|s|m|h|d)\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)*)?$", _DURATIONS
)
Seconds = Annotated[float, PlainValidator(seconds), _DURATION_SCHEMA, Accepts("a duration")]
SomeSeconds = Annotated[
    float, PlainValidator(_some_seconds), _DURATION_SCHEMA, Accepts("a duration, not 0")
]
Bytes = Annotated[
    int,
    PlainValidator(size),
    _number_or_text(r"^\s*\d+(\.\d+)?\s*([kKmMgGtT]i?)?[bB]?\s*$", _SIZES),
    Accepts("a size"),
]
SizeOrAuto = Annotated[
    int | Literal["auto"],
    PlainValidator(_size_or_auto),
    _number_or_text(r"^\s*(auto|\d+(\.\d+)?\s*([kKmMgGtT]i?)?[bB]?)\s*$", f"{_SIZES}; or auto"),
    Accepts("a size, or `auto`"),
]
Count = Annotated[int, BeforeValidator(whole), Field(ge=0), Accepts("a whole number")]
SomeCount = Annotated[int, BeforeValidator(whole), Field(ge=1), Accepts("a whole number from 1")]
# Each is a process of some 75 MB: a digit too many must not take the machine with it.
Processes = Annotated[
    int, BeforeValidator(whole), Field(ge=1, le=128), Accepts("a whole number from 1 to 128")
]
Fraction = Annotated[
    float, BeforeValidator(unmistakable), Field(ge=0, lt=1), Accepts("a number from 0, below 1")
]
Share = Annotated[
    float,
    BeforeValidator(unmistakable),
    Field(gt=0, le=1),
    Accepts("a number above 0, up to 1"),
]
Multiple = Annotated[
    float,
    BeforeValidator(unmistakable),
    Field(ge=1, allow_inf_nan=False),
    Accepts("a number from 1"),
]
Strength = Annotated[
    float,
    BeforeValidator(unmistakable),
    Field(ge=0, allow_inf_nan=False),
    Accepts("a number from 0"),
]
Temperature = Annotated[
    float, BeforeValidator(unmistakable), Field(ge=0, le=2), Accepts("a number from 0 to 2")
]
Listen = Annotated[
    Address,
    PlainValidator(Address.parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/@]+):\d{1,5}\s*$"}
    ),
    Accepts("host:port; an IPv6 address in brackets"),
]
_PATH_SCHEMA: Final = WithJsonSchema({"type": "string", "format": "path", "minLength": 1})
ReadableFile = Annotated[
    Path,
    PlainValidator(_file),
    PlainSerializer(str, return_type=str),
    _PATH_SCHEMA,
    Accepts("the path of a readable file"),
]
SecretInFile = Annotated[
    SecretFile,
    PlainValidator(_secret_file),
    PlainSerializer(str, return_type=str),
    _PATH_SCHEMA,
    Accepts("the path of a file that holds nothing but the secret"),
]
HeaderSecret = Annotated[SecretStr, AfterValidator(_field_value), Accepts("one line of text")]
HeaderName = Annotated[str, AfterValidator(_header_name), Accepts("the name of a header")]
CookieName = Annotated[str, AfterValidator(_cookie_name), Accepts("the name of a cookie")]
Phrase = Annotated[str, AfterValidator(_phrase), Accepts("words")]
JsonPointer = Annotated[str, AfterValidator(_json_pointer), Accepts("a JSON Pointer")]
Pseudonym = Annotated[str, AfterValidator(_pseudonym), Accepts("one word")]
Network = Annotated[str, AfterValidator(_network), Accepts("an address or a network (CIDR)")]
Origin = Annotated[str, AfterValidator(_origin), Accepts("an http or https URL, path allowed")]
PathPrefix = Annotated[str, AfterValidator(_path_prefix), Accepts('a path that begins with "/"')]
