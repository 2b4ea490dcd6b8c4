"""AUTH PLAIN and AUTH LOGIN as a server speaks them (RFC 4954)."""

import base64
from collections.abc import Awaitable, Callable

from imsg_contract.constant_time import equals

LINE_OCTETS = 12_288
"""A line of an AUTH exchange (RFC 4954, section 4)."""

MECHANISMS = ("PLAIN", "LOGIN")


class NotUnderstood(Exception):  # noqa: N818  the peer's fault
    """A response is not base64 of what the mechanism wants."""


class Login:
    """The one account of a server."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password

    async def succeeds(self, mechanism: str, initial: str, ask: Callable[[str], Awaitable[str]]) -> bool:
        """Go through an exchange; `ask` sends a prompt and returns the answer, both in base64.

        Raises NotUnderstood.
        """
        if mechanism == "PLAIN":
            parts = _decode(initial or await ask("")).split("\0")
            if len(parts) != 3:  # noqa: PLR2004  RFC 4616: authorization id, name, password
                raise NotUnderstood
            return self._is_right(parts[1], parts[2])
        name = _decode(initial or await ask(_encode("Username:")))
        return self._is_right(name, _decode(await ask(_encode("Password:"))))

    def _is_right(self, name: str, password: str) -> bool:
        right = equals(name, self._username)
        return equals(password, self._password) and right


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise NotUnderstood from error
