"""Where Redis is: one URL says it all.

    redis://host:port/db                                one server
    redis+sentinel://host:port,host:port/service/db     whichever server the sentinels call master
    redis+cluster://host:port,host:port                 a cluster, entered at any of these

``rediss`` in place of ``redis`` is the same over TLS. Who logs in stands before an ``@``, as
``user:password`` or ``:password``, percent-encoded, or is given apart. Options after a ``?`` are
refused: what they would set is set by this proxy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from proxy.model.errors import ConfigError

_PORT, _SENTINEL_PORT = 6379, 26379


class Kind(StrEnum):
    """How the servers stand together."""

    ALONE = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Place:
    """Servers to reach, and as whom."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]  # one, or the sentinels, or the first nodes to ask
    tls: bool
    service: str = ""  # what the sentinels call the master
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom to trust and how to prove who this is, besides what the URL says; "" is nothing."""

    ca_file: str = ""  # PEM: authorities to trust over TLS, in place of the system's
    cert_file: str = ""  # PEM: what to show servers that ask for a certificate
    key_file: str = ""  # PEM: its key, if that is not in the same file
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)


NONE = Credentials()


def read_place(
    url: str, *, username: str = "", password: str = "", allow_insecure: bool = False
) -> Place:
    """What ``url`` names; ``username`` and ``password`` take the place of those in it.

    Raises:
        ConfigError: it is no such URL, or would send answers and passwords over a network in clear
            and ``allow_insecure`` does not say that this is meant. Tells no password.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError("the Redis URL cannot be read") from error
    scheme, _, form = parts.scheme.partition("+")
    if scheme not in {"redis", "rediss"} or form not in set(Kind) or parts.scheme.endswith("+"):
        raise ConfigError(
            "a Redis URL begins with redis://, redis+sentinel:// or redis+cluster://,"
            " or with rediss for TLS"
        )
    if parts.query or parts.fragment:
        raise ConfigError("a Redis URL has no options; they are settings of their own")
    kind = Kind(form)
    login, _, places = parts.netloc.rpartition("@")
    user, _, secret = login.partition(":")
    hosts = tuple(_host(text, kind) for text in places.split(","))
    if kind is Kind.ALONE and len(hosts) > 1:
        raise ConfigError("redis:// names one server; several are redis+sentinel or redis+cluster")
    service, db = _path(parts.path, kind)
    tls = scheme == "rediss"
    if not (tls or allow_insecure):
        for host, _port in hosts:
            if not _loopback(host):
                raise ConfigError(
                    f"Redis at {host} would be spoken to in clear: use rediss://, or allow it"
                )
    return Place(
        kind, hosts, tls, service, db, username or unquote(user), password or unquote(secret)
    )


def _host(text: str, kind: Kind) -> tuple[str, int]:
    try:
        parts = urlsplit("//" + text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError("a Redis URL's host or port cannot be read") from error
    if not host:
        raise ConfigError("a Redis URL names a host")
    return host, port or (_SENTINEL_PORT if kind is Kind.SENTINEL else _PORT)


def _path(path: str, kind: Kind) -> tuple[str, int]:
    """The service and the number of the database."""
    names = [unquote(name) for name in path.split("/") if name]
    service = names.pop(0) if kind is Kind.SENTINEL and names else ""
    if kind is Kind.SENTINEL and not service:
        raise ConfigError("redis+sentinel://hosts/service: the service is missing")
    number = names.pop(0) if names and kind is not Kind.CLUSTER else "0"
    if names or not (number.isascii() and number.isdigit()):
        raise ConfigError("a Redis URL ends with the number of a database, or with nothing")
    return service, int(number)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
