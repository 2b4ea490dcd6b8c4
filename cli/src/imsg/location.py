"""Where iMSG is, and who calls it: the URL and the account that verbs use when none is given."""

from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from imsg_runtime.masking import mask
from imsg_runtime.settings import Common, StartError, load

LOOPBACK = "127.0.0.1"

_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}
"""What listens on every address is reached from here by loopback."""


class Location(Common):
    """What is read to find a running iMSG."""

    gateway_url: str = ""
    """Empty: this machine, at the address and port that iMSG listens on."""
    username: str = ""
    """The account that verbs log in with where no token is kept; compose gives `cli` the administrator's."""
    password: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A user's name and password."""

    username: str
    password: SecretStr


def local_url(host: str, port: int) -> str:
    """Write the URL by which this machine reaches what listens on `host` and `port`."""
    reached = _EVERYWHERE.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def find_url(given: str | None) -> str:
    """Return the URL given, else the one that the settings name: IMSG_GATEWAY_URL, else IMSG_HOST and IMSG_PORT.

    Settings are read as every service reads them: environment over `.env` over imsg.toml. Raises StartError.
    """
    url = given or _url(load(Location))
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise StartError(f"{mask(url)} is no URL ({error}): write one such as http://127.0.0.1:8000") from error
    return url


def find_account(url: str) -> Account | None:
    """Return the account that the settings name, for their own URL alone: the password is sent nowhere else."""
    settings = load(Location)
    if not settings.username or settings.password is None or url != _url(settings):
        return None
    return Account(settings.username, settings.password)


def has_gateway_url() -> bool:
    """Tell whether the settings say where iMSG is, instead of where it listens."""
    return bool(load(Location).gateway_url)


def _url(settings: Location) -> str:
    return settings.gateway_url or local_url(settings.host, settings.port)
