"""What a broker URL says: hosts, credentials, virtual host, and where the management API is."""

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

PORTS = {"amqp": 5672, "amqps": 5671}
MANAGEMENT_PORTS = {"amqp": 15672, "amqps": 15671}


@dataclass(frozen=True, slots=True)
class Address:
    """`amqp(s)://USER:PASSWORD@HOST:PORT,HOST:PORT/VHOST?management_port=PORT&cafile=PATH`."""

    hosts: tuple[tuple[str, int], ...]
    username: str
    password: str
    vhost: str
    secure: bool
    management_port: int
    cafile: str | None = None

    def tls(self) -> ssl.SSLContext | None:
        """Make the TLS context for `amqps`, None for `amqp`."""
        return ssl.create_default_context(cafile=self.cafile) if self.secure else None

    def management(self, host: str) -> str:
        """Make the URL under which a host's management API tells of the queues of our virtual host."""
        scheme = "https" if self.secure else "http"
        name = f"[{host}]" if ":" in host else host
        return f"{scheme}://{name}:{self.management_port}/api/queues/{quote(self.vhost, safe='')}"


def parse(url: str) -> Address:
    """Read a broker URL. Raises ValueError with a sentence that names what is wrong, never the password."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ValueError("the broker's URL must begin with amqp:// or amqps://")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := set(query) - {"management_port", "cafile"}:
        raise ValueError(f"the broker's URL knows no {min(unknown)}; it knows management_port and cafile")
    port = query.get("management_port", str(MANAGEMENT_PORTS[parts.scheme]))
    return Address(
        hosts=tuple(_host(host, PORTS[parts.scheme]) for host in hosts.split(",") if host) or (("127.0.0.1", 5672),),
        username=unquote(username) or "guest",
        password=unquote(password) or "guest",
        vhost=unquote(parts.path.removeprefix("/")) or "/",
        secure=parts.scheme == "amqps",
        management_port=_port(port, "management_port"),
        cafile=query.get("cafile"),
    )


def _host(text: str, default: int) -> tuple[str, int]:
    if text.startswith("["):
        name, _, rest = text.removeprefix("[").partition("]")
        port = rest.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    return name or "127.0.0.1", _port(port, f"the port of {name}") if port else default


def _port(text: str, name: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:  # noqa: PLR2004  the range of ports
        raise ValueError(f"{name} in the broker's URL must be a number from 1 to 65535")
    return int(text)
