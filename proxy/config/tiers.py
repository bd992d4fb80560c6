"""The settings of the tiers: where entries are kept."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import unquote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from proxy.config.section import Section, conflict
from proxy.config.units import (
    Accepts,
    Bytes,
    Fraction,
    ReadableFile,
    SecretInFile,
    Share,
    SizeOrAuto,
    SomeCount,
    SomeSeconds,
)

_MIB: Final = 2**20
_SECRET_BYTES: Final = 32  # AES-256


class L1Memory(Section):
    """The first tier: entries in this process's memory."""

    max_bytes: SizeOrAuto = Field(
        default="auto",
        description="What all entries may take, overhead included. `auto`: 40% of the memory that "
        "the container (its control group) is limited to; where it is not, 256 MiB, and no more "
        "than 40% of the machine's.",
    )
    max_entry_bytes: Bytes | None = Field(
        default=None, description="What one entry may take; null: `cache.max_entry_bytes`."
    )
    scope_share: Share = Field(
        default=1.0,
        description="The share of the memory that one scope's entries may hold before they are the "
        "first to go; below 1 it protects callers from one who floods the cache, and costs a "
        "caller who has most of the traffic some hits.",
    )
    express_share: Fraction = Field(
        default=0.1,
        description="The share of the memory that the express lane may take, where requests that "
        "repeat to the byte are answered ahead of HTTP; 0: there is no such lane.",
    )


def key_bytes(secret: SecretStr) -> bytes:
    """The 32 bytes that ``secret`` spells in Base64. Raises ValueError; never tells the secret."""
    try:
        spelled = base64.b64decode(secret.get_secret_value().strip(), validate=True)
    except (binascii.Error, ValueError):
        spelled = b""
    if len(spelled) != _SECRET_BYTES:
        raise ValueError("must be 32 bytes in Base64, as `openssl rand -base64 32` prints them")
    return spelled


def _spells_a_key(secret: SecretStr) -> SecretStr:
    key_bytes(secret)
    return secret


_Key = Annotated[SecretStr, AfterValidator(_spells_a_key), Accepts("32 bytes in Base64")]


class EncryptionKey(Section):
    """A key that entries are encrypted with."""

    id: Annotated[int, Field(ge=0, le=255), Accepts("a number from 0 to 255")] = Field(
        description="Its number, by which entries name the key they need."
    )
    secret: _Key | None = Field(default=None, description="The key: 32 bytes in Base64.")
    secret_file: SecretInFile | None = Field(
        default=None, description="A file to read `secret` from."
    )

    @property
    def key(self) -> bytes:
        """The key, wherever it was given."""
        held = self.secret_file.secret if self.secret_file else self.secret
        return key_bytes(held) if held else b""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise conflict("needs either `secret` or `secret_file`", "secret_file", "secret")
        if self.secret_file:
            try:
                key_bytes(self.secret_file.secret)
            except ValueError as error:
                raise conflict(f"names a file whose secret {error}", "secret_file") from None
        return self


def _numbered(keys: tuple[EncryptionKey, ...]) -> tuple[EncryptionKey, ...]:
    if len({key.id for key in keys}) != len(keys):
        raise ValueError("must have different numbers (`id`)")
    return keys


class Storage(Section):
    """How entries look on disk and in Redis."""

    compress_above_bytes: Bytes = Field(
        default=1024, description="Bodies above it are compressed, where that makes them smaller."
    )
    encryption_keys: Annotated[tuple[EncryptionKey, ...], AfterValidator(_numbered)] = Field(
        default=(),
        description="With any, entries are encrypted (AES-256-GCM) with the first; the others are "
        "still read. What is not encrypted is then no longer read. Needs the extra `encryption`.",
        examples=[[{"id": 1, "secret": "bm8gc2VjcmV0LCBidXQgYW4gZXhhbXBsZSBvZiBvbmU="}]],
    )


class L2Disk(Section):
    """The disk tier: entries in a file that outlives the process. On a local disk only."""

    enabled: bool = Field(default=True, description="Whether there is one.")
    directory: Path | None = Field(
        default=None,
        description="Where, for this alone; null: `sidecache` in the user's cache folder.",
    )
    max_bytes: Bytes = Field(default=1024 * _MIB, description="How large the file may become.")
    read_timeout_s: SomeSeconds = Field(
        default=0.05, description="How long a read may take; later is a miss."
    )
    guard: bool = Field(
        default=True,
        description="Whether to remember what is in the file, in 120 KB or 2.4 bytes for each "
        "entry, so that nobody looks there for what is not. Of use while no other process writes "
        "to it.",
    )


class L2Redis(Section):
    """The Redis tier: entries that all replicas share. Valkey will do as well."""

    url: SecretStr | None = Field(
        default=None,
        description="Where: redis://, rediss:// (TLS), redis+sentinel://host,host/service/db or "
        "redis+cluster://host,host; null: there is none.",
        examples=["rediss://user:password@redis.example:6379/0"],
    )
    url_file: SecretInFile | None = Field(default=None, description="A file to read `url` from.")
    prefix: str = Field(
        default="sidecache:",
        min_length=1,
        max_length=64,
        description="What all keys begin with. Proxies share entries if they have the same prefix, "
        "the same `cache.scope.secret` and the same names (`id`) for their upstreams.",
    )
    timeout_s: SomeSeconds = Field(
        default=0.05, description="How long an operation may take; later is a miss."
    )
    connect_timeout_s: SomeSeconds = Field(
        default=0.25, description="How long connecting may take; no request waits for it."
    )
    max_connections: SomeCount = Field(
        default=16,
        description="Connections to each server; what is asked at the same time shares one.",
    )
    flights: bool = Field(
        default=True,
        description="Whether what is asked of several replicas at the same time is asked of the "
        "backend once, and all hear the answer as it comes. They need the same "
        "`storage.encryption_keys` for it.",
    )
    ca_file: ReadableFile | None = Field(
        default=None, description="The authorities to trust (PEM) in place of the system's."
    )
    cert_file: ReadableFile | None = Field(
        default=None, description="The certificate (PEM) to show when asked for one."
    )
    key_file: ReadableFile | None = Field(
        default=None, description="The private key (PEM) of `cert_file`."
    )
    sentinel_username: str = Field(
        default="", description="Who this is to the sentinels, if they ask."
    )
    sentinel_password: SecretStr | None = Field(
        default=None, description="The password for the sentinels; the URL's is for the servers."
    )
    sentinel_password_file: SecretInFile | None = Field(
        default=None, description="A file to read `sentinel_password` from."
    )
    allow_insecure: bool = Field(
        default=False,
        description="Whether a Redis that is not on this machine may be used without TLS.",
    )

    @property
    def address(self) -> str | None:
        """The URL, wherever it was given. May hold a password!"""
        held = self.url_file.secret if self.url_file else self.url
        return held.get_secret_value() if held else None

    @property
    def password(self) -> str:
        """The password in the URL, as it is sent; "" if there is none."""
        _, _, rest = (self.address or "").partition("://")
        login, at, _ = rest.partition("/")[0].rpartition("@")
        return unquote(login.partition(":")[2]) if at else ""

    @property
    def sentinel_secret(self) -> str:
        """The password for the sentinels, wherever it was given; "" if there is none."""
        file = self.sentinel_password_file
        held = file.secret if file else self.sentinel_password
        return held.get_secret_value() if held else ""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.url and self.url_file:
            raise conflict("cannot be given beside `url`", "url_file", "url")
        if self.sentinel_password and self.sentinel_password_file:
            raise conflict(
                "cannot be given beside `sentinel_password`",
                "sentinel_password_file",
                "sentinel_password",
            )
        if self.key_file and not self.cert_file:
            raise conflict("a `key_file` needs a `cert_file`", "key_file", "cert_file")
        if self.address and "+sentinel://" not in self.address:
            for name in ("sentinel_username", "sentinel_password", "sentinel_password_file"):
                if getattr(self, name):
                    raise conflict("needs a URL that names sentinels", name, "url")
        return self
