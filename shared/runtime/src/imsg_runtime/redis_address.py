"""The address of Redis: one server, or the name of a master that Sentinels know."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from imsg_runtime.lines import fill

DIRECT = ("redis", "rediss", "unix")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26_379

FORMS = "redis://, rediss://, unix:// or redis+sentinel://HOST,HOST,HOST/NAME"


@dataclass(frozen=True, slots=True)
class Sentinels:
    """A master's name, and its Sentinels: `redis+sentinel://USER:PASSWORD@h1,h2:26380/NAME/DB`.

    User and password are those of Redis itself; the Sentinels' own are `?sentinel_username=` and
    `?sentinel_password=`. `rediss+sentinel` speaks TLS to both.
    """

    hosts: tuple[tuple[str, int], ...]
    name: str
    db: int
    username: str | None
    password: str | None = field(repr=False)
    sentinel_username: str | None
    sentinel_password: str | None = field(repr=False)
    has_tls: bool


def read(url: str) -> Sentinels | None:
    """Parse a URL of Sentinels; None for the URL of a server. Raises ValueError, whose text has no secret."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (*DIRECT, *SENTINEL):
        raise ValueError(fill("must begin with {0}", FORMS))
    if scheme in DIRECT:
        return None
    parts = urlsplit(f"//{rest}")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, has_password, password = credentials.partition(":")
    name, _, db = parts.path.strip("/").partition("/")
    if not name:
        raise ValueError(
            fill("names no master; write redis+sentinel://HOST,HOST,HOST/NAME as in the Sentinels' own file")
        )
    if not (db or "0").isdecimal():
        raise ValueError(fill("has no number of a database behind the master's name"))
    own = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if unknown := set(own) - {"sentinel_username", "sentinel_password"}:
        raise ValueError(fill("holds what is unknown: {0}", ", ".join(sorted(unknown))))
    return Sentinels(
        hosts=tuple(_host(host) for host in hosts.split(",")),
        name=unquote(name),
        db=int(db or "0"),
        username=unquote(username) or None,
        password=unquote(password) if has_password else None,
        sentinel_username=own.get("sentinel_username"),
        sentinel_password=own.get("sentinel_password"),
        has_tls=scheme == "rediss+sentinel",
    )


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(fill("has a host that can't be read: {0}", text[:60])) from error
    if not host:
        raise ValueError(fill("names no Sentinel; write redis+sentinel://HOST,HOST,HOST/NAME"))
    return host, port or SENTINEL_PORT
