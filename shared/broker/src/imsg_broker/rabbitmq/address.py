"""Parsing of RabbitMQ URLs: hosts, credentials, virtual host, TLS and the management API."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

from imsg_broker.rabbitmq.tls import Tls

PORTS = {"amqp": 5672, "amqps": 5671}
MANAGEMENT_PORTS = {"amqp": 15672, "amqps": 15671}

TLS_OPTIONS = ("cafile", "certfile", "keyfile", "server_name")
OPTIONS = ("management_port", *TLS_OPTIONS)


@dataclass(frozen=True, slots=True)
class Host:
    """One node of the broker."""

    name: str
    port: int
    management_port: int


@dataclass(frozen=True, slots=True)
class Address:
    """`amqp(s)://USER:PASSWORD@HOST:PORT,HOST:PORT/VHOST?management_port=PORT&cafile=PATH&…`."""

    hosts: tuple[Host, ...]
    username: str
    password: str
    vhost: str
    tls: Tls | None
    """None for `amqp`."""

    def server_name(self, host: Host) -> str:
        """Return the name that a host's certificate must have."""
        return self.tls.server_name or host.name if self.tls is not None else host.name

    def management(self, host: Host) -> str:
        """Return the URL of the management API that lists the queues of the virtual host."""
        scheme = "http" if self.tls is None else "https"
        name = f"[{host.name}]" if ":" in host.name else host.name
        return f"{scheme}://{name}:{host.management_port}/api/queues/{quote(self.vhost, safe='')}"


def parse(url: str) -> Address:
    """Parse a broker URL. Raises ValueError with a sentence that names the fault and never the password."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ValueError("the broker's URL must begin with amqp:// or amqps://")
    if parts.fragment:
        raise ValueError("the broker's URL ends at a #; write %23 for one in the password")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if unknown := set(query) - set(OPTIONS):
        raise ValueError(f"the broker's URL knows no {min(unknown)}; it knows {', '.join(OPTIONS)}")
    return Address(
        hosts=_hosts(hosts, parts.scheme, query.get("management_port", str(MANAGEMENT_PORTS[parts.scheme]))),
        username=unquote(username) or "guest",
        password=unquote(password) or "guest",
        vhost=unquote(parts.path.removeprefix("/")) or "/",
        tls=_tls(parts.scheme, query),
    )


def _hosts(text: str, scheme: str, management: str) -> tuple[Host, ...]:
    addresses = [_host(host.strip(), PORTS[scheme]) for host in text.split(",") if host.strip()]
    addresses = addresses or [("127.0.0.1", PORTS[scheme])]
    ports = [_port(port.strip(), "management_port") for port in management.split(",")]
    if len(ports) not in (1, len(addresses)):
        raise ValueError(f"management_port in the broker's URL must be one port, or one for each of the hosts: {ports}")
    return tuple(
        Host(name, port, ports[n % len(ports)])  # one port serves all
        for n, (name, port) in enumerate(addresses)
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


def _tls(scheme: str, query: Mapping[str, str]) -> Tls | None:
    options = {name: query[name] for name in TLS_OPTIONS if name in query}
    if empty := [name for name, value in options.items() if not value]:
        raise ValueError(f"{empty[0]} in the broker's URL is empty; give it a value or leave it out")
    if scheme == "amqps":
        return Tls(**options)
    if options:
        raise ValueError(f"{min(options)} in the broker's URL is of use with amqps:// only")
    return None
