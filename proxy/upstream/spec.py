"""What the operator says about one backend, checked whole."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field

from yarl import URL

from proxy.model.errors import ConfigError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_ABOVE_0 = (
    "max_connections",
    "connect_timeout_s",
    "first_byte_timeout_s",
    "idle_timeout_s",
    "keepalive_s",
    "dns_ttl_s",
    "max_line_bytes",
    "max_field_bytes",
    "max_fields",
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSpec:
    """Where a backend is and how to talk to it. Times in seconds, sizes in bytes.

    Raises:
        ConfigError: it cannot work; the text names every fault and no secret.
    """

    url: str  # http or https, a host, perhaps a port and a path that goes before every request's
    id: str = "default"  # in keys, logs and labels; no secrets
    prefix: str = "/"  # requests whose path begins with these whole segments go here
    strip_prefix: bool = True
    preserve_host: bool = False  # send the client's Host instead of the one in ``url``
    # Fields sent instead of the client's of the same name, credentials say: never shown.
    set_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    max_connections: int = 512  # requests in the air at once; more wait, see the next line
    connect_timeout_s: float = 5.0  # a place in the pool, DNS, TCP and TLS together
    # From the request's last byte to the response's first. A backend that does not stream is silent
    # until the whole answer is made; client libraries give it ten minutes.
    first_byte_timeout_s: float = 600.0
    idle_timeout_s: float = 300.0  # between two pieces of a body; models that think are silent
    keepalive_s: float = 4.0  # below the 5 s after which uvicorn closes an idle connection
    retry_stale: bool = True  # once, where a kept-alive connection ends without a single byte
    dns_ttl_s: int = 30  # for how long addresses are remembered

    max_line_bytes: int = 32 * 1024  # the status line
    max_field_bytes: int = 32 * 1024  # a header field's name and value
    max_fields: int = 256

    verify_tls: bool = True
    ca_file: str = ""  # PEM, instead of the system's authorities
    client_cert_file: str = ""  # PEM
    client_key_file: str = ""  # PEM; "": in ``client_cert_file``
    server_name: str = ""  # for SNI and the certificate, where it is not the host of ``url``

    def __post_init__(self) -> None:
        faults = [*self._faults_of_url(), *self._faults_of_the_rest()]
        if faults:
            raise ConfigError(f"upstream {self.id!r}: " + "; ".join(faults))

    @property
    def origin(self) -> URL:
        """Scheme, host and port."""
        return URL(self.url, encoded=True).origin()

    @property
    def base_path(self) -> str:
        """What goes before every path; "" or "/..." without a slash at its end."""
        return URL(self.url, encoded=True).raw_path.rstrip("/")

    def tls_context(self) -> ssl.SSLContext | None:
        """What is shown to and asked of an https backend; None for http. Reads files.

        Raises:
            ConfigError: a file is missing or holds no usable certificate or key.
        """
        if not self.url.lower().startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if not self.verify_tls:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.client_cert_file:
                context.load_cert_chain(self.client_cert_file, self.client_key_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"upstream {self.id!r}: TLS files: {error}") from error
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _faults_of_url(self) -> list[str]:
        if not re.fullmatch(r"[!-~]+", self.url):
            return ["url must be plain ASCII without spaces"]
        try:
            url = URL(self.url, encoded=True)
            port = url.port
        except ValueError:
            return ["url cannot be read"]  # not the reader's words: they quote what may be secret
        faults = []
        if url.scheme not in {"http", "https"}:
            faults.append("url must begin with http:// or https://")
        if not url.raw_host:
            faults.append("url has no host")
        if port == 0:
            faults.append("url has port 0")
        if "@" in url.raw_authority:
            faults.append("url must not hold a user or password; use set_headers")
        if "?" in self.url or "#" in self.url:
            faults.append("url must not have a query or a fragment")
        return faults

    def _faults_of_the_rest(self) -> list[str]:
        faults = []
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.id):
            faults.append("id must be 1 to 64 letters, digits, dots, dashes or underscores")
        if not re.fullmatch(r"/[!-~]*", self.prefix) or re.search(r"[?#]|//", self.prefix):
            faults.append("prefix must be a path that begins with /")
        for name, value in self.set_headers:
            if not _TOKEN.fullmatch(name):
                faults.append("set_headers has a name that is not a token")
            elif _CONTROL.search(value):
                faults.append(f"set_headers: the value of {name} has control characters")
        faults += [f"{name} must be above 0" for name in _ABOVE_0 if not getattr(self, name) > 0]
        if self.client_key_file and not self.client_cert_file:
            faults.append("client_key_file needs client_cert_file")
        return faults
