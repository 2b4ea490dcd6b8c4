"""Access to the sandbox: open where only this machine reaches it, else for administrators by their token."""

from fastapi import Request

from imsg_contract.errors import Refusal
from imsg_contract.roles import refuse_role
from imsg_web.service_client import Peer, ServiceUnavailable


class Admission:
    """A FastAPI dependency that checks a token by the gateway's GET /api/v2/me."""

    def __init__(self, gateway: Peer, *, open_to_all: bool) -> None:
        self._gateway = gateway
        self._open_to_all = open_to_all

    async def __call__(self, request: Request) -> None:
        """Check that the request may pass. Raises Refusal token_missing, token_invalid, no_right, unavailable."""
        if self._open_to_all:
            return
        token = _find_token(request)
        if token is None:
            raise Refusal("token_missing")
        try:
            answer = await self._gateway.call("GET", "/api/v2/me", headers={"authorization": f"Bearer {token}"})
            user = answer.json()
        except (ServiceUnavailable, ValueError) as error:
            raise Refusal("unavailable", retry_after_s=3) from error
        if not isinstance(user, dict) or answer.is_server_error:
            raise Refusal("unavailable", retry_after_s=3)
        if user.get("errorCode") != 0:
            raise Refusal("token_invalid")
        if user.get("role") != "admin":
            raise refuse_role()


def _find_token(request: Request) -> str | None:
    """Return the token of Authorization: Bearer, else of ?token= (a space there is a +)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    query = request.query_params.get("token")
    return query.replace(" ", "+") if query else None
