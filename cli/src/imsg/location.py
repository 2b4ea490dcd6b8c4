"""The URL and the account that verbs use when the command line gives none."""

from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

import httpx
from pydantic import SecretStr

from imsg_runtime.masking import mask
from imsg_runtime.settings import Common, StartError, load

LOOPBACK = "127.0.0.1"

_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}
"""Host that means every address → the loopback address that reaches it."""


class Location(Common):
    """The settings that say where iMSG runs."""

    gateway_url: str = ""
    """Empty: this machine, at the address and port that iMSG listens on."""
    username: str = ""
    """The account that verbs log in with when no token is saved; compose gives `cli` the administrator's."""
    password: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A user's name and password."""

    username: str
    password: SecretStr


def local_url(host: str, port: int) -> str:
    """Return the URL by which this machine reaches a server that listens on `host` and `port`."""
    address = _EVERYWHERE.get(host, host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def find_url(option: str | None) -> str:
    """Return the URL of the option, else that of the settings: IMSG_GATEWAY_URL, else IMSG_HOST and IMSG_PORT.

    Settings are read as every service reads them: environment over `.env` over imsg.toml. Raises StartError.
    """
    url = option or _read_url(load(Location))
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise StartError("{0} is no URL ({1}): write one such as http://127.0.0.1:8000", mask(url), error) from error
    return url


def find_account(url: str) -> Account | None:
    """Return the account of the settings, if `url` is theirs too: the password is sent nowhere else."""
    settings = load(Location)
    if not settings.username or settings.password is None or url != _read_url(settings):
        return None
    return Account(settings.username, settings.password)


@cache
def find_zone() -> ZoneInfo:
    """Return the time zone of iMSG, IMSG_TIMEZONE: the command shows times in it, and reads those without an offset."""
    return ZoneInfo(load(Location).timezone)


def has_gateway_url() -> bool:
    """Return whether IMSG_GATEWAY_URL is set."""
    return bool(load(Location).gateway_url)


def _read_url(settings: Location) -> str:
    return settings.gateway_url or local_url(settings.host, settings.port)
