"""Where iMSG is: the URL that verbs call when none is given."""

from imsg_runtime.settings import Common, load

LOOPBACK = "127.0.0.1"

_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}
"""What listens on every address is reached from here by loopback."""


class Location(Common):
    """What is read to find a running iMSG."""

    gateway_url: str = ""
    """Empty: this machine, at the address and port that iMSG listens on."""


def local_url(host: str, port: int) -> str:
    """Write the URL by which this machine reaches what listens on `host` and `port`."""
    reached = _EVERYWHERE.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def find_url(given: str | None) -> str:
    """Return the URL given, else the one that the settings name: IMSG_GATEWAY_URL, else IMSG_HOST and IMSG_PORT.

    Settings are read as every service reads them: environment over `.env` over imsg.toml. Raises StartError.
    """
    if given:
        return given
    settings = load(Location)
    return settings.gateway_url or local_url(settings.host, settings.port)
