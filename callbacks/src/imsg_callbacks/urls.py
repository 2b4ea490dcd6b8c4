"""The URLs that a callback may have."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

from imsg_web.http_pool import PORTS, UNESCAPED

MAX_URL = 2_000


class BadUrl(Exception):  # noqa: N818  a finding
    """A URL that a callback can't have; `zh` and `en` say why."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that a callback may have, and the host and port that it names."""

    url: str
    """In ASCII, percent-encoded."""
    host: str
    port: int


@lru_cache(1_024)
def read_url(url: str) -> Destination:
    """Parse the URL of a callback; Chinese hosts and paths are encoded. Raises BadUrl."""
    if len(url) > MAX_URL or any(character <= " " or character == "\x7f" for character in url):
        raise BadUrl(
            f"应为不超过 {MAX_URL} 个字符、不含空白的网址",
            f"it must be a URL of at most {MAX_URL} characters, without spaces",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if ":" not in (parts.hostname or "") else parts.hostname
    except ValueError as error:  # UnicodeError is a ValueError
        raise BadUrl("不是合法的网址", "it is no URL") from error
    if parts.scheme not in PORTS or not host:
        raise BadUrl(
            "应以 https:// 或 http:// 开头，并写明主机", "it must begin with https:// or http:// and name a host"
        )
    if ":" in host and (not host.isascii() or "%" in host):  # an IPv6 address; zones are refused
        raise BadUrl("不是合法的网址", "it is no URL")
    if parts.username is not None or parts.password is not None:
        raise BadUrl(
            "网址里不能有用户名和密码；请用签名验证来源",
            "it must hold no user and password; the signature says who calls",
        )
    if parts.fragment:
        raise BadUrl("网址里不能有 # 之后的部分", "it must hold no fragment")
    authority = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=UNESCAPED)
    query = f"?{quote(parts.query, safe=UNESCAPED + '?')}" if parts.query else ""
    ascii_url = f"{parts.scheme}://{authority}{f':{port}' if port else ''}{path}{query}"
    return Destination(ascii_url, host, port or PORTS[parts.scheme])
