"""Who may look into the sandbox: everybody where nobody but this machine reaches us, else an administrator's token."""

from fastapi import Request

from imsg_contract.errors import Refusal
from imsg_web.service_client import Peer, ServiceUnavailable


class Admission:
    """A FastAPI dependency; asks the gateway's public GET /api/v2/me whose token it is."""

    def __init__(self, gateway: Peer, *, everybody: bool) -> None:
        self._gateway = gateway
        self._everybody = everybody

    async def __call__(self, request: Request) -> None:
        """Let the request pass. Raises Refusal token_missing, token_invalid, no_right, unavailable."""
        if self._everybody:
            return
        token = _token(request)
        if token is None:
            raise Refusal("token_missing")
        try:
            answer = await self._gateway.call("GET", "/api/v2/me", headers={"authorization": f"Bearer {token}"})
            who = answer.json()
        except (ServiceUnavailable, ValueError) as error:
            raise Refusal("unavailable", retry_after_s=3) from error
        if not isinstance(who, dict) or answer.is_server_error:
            raise Refusal("unavailable", retry_after_s=3)
        if who.get("errorCode") != 0:
            raise Refusal("token_invalid")
        if who.get("role") != "admin":
            raise Refusal("no_right")


def _token(request: Request) -> str | None:
    """Find the token as the interface allows beside a body: Authorization: Bearer, else ?token= (a space is a +)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    asked = request.query_params.get("token")
    return asked.replace(" ", "+") if asked else None
