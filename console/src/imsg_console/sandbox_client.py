"""The sandbox as the pages call it."""

from typing import Any

from imsg_console.client import ApiError, Gateway


class Sandbox:
    """Calls the sandbox on behalf of an administrator."""

    def __init__(self, gateway: Gateway, token: str, accept_language: str) -> None:
        self._gateway = gateway
        self._token = token
        self._accept_language = accept_language

    async def is_there(self) -> bool:
        """Return whether the sandbox runs here."""
        try:
            await self.call("GET", "/sandbox")
        except ApiError:
            return False
        return True

    async def call(self, verb: str, path: str, body: Any = None, **params: object) -> dict[str, Any]:  # noqa: ANN401
        """Call it: `call("PUT", "/sandbox/faults", {...})`. Raises ApiError."""
        return await self._gateway.call(
            verb, path, body, token=self._token, accept_language=self._accept_language, params=params
        )
