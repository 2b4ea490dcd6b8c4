"""Who calls a route of the public API: FastAPI's dependencies."""

from typing import Annotated

from fastapi import Depends

from imsg_contract.errors import Refusal
from imsg_gateway.authentication import Credential
from imsg_gateway.request import ClientRequest


async def require_user(request: ClientRequest) -> Credential:
    """Return the calling user's credential, verified.

    Raises Refusal token_missing, token_invalid, and what the route's `check_fields` raises; ServiceUnavailable,
    RedisUnavailable.
    """
    credential: Credential = request.app.state.parts.authenticator.read(request.token)
    await credential.authenticate()
    request.scope["route"].check_fields(request)
    return credential


async def require_administrator(credential: Annotated[Credential, Depends(require_user)]) -> Credential:
    """Return the calling administrator's credential. Raises Refusal no_right, and what `require_user` raises."""
    if not (await credential.authenticate()).is_admin:
        raise Refusal("no_right")
    return credential


async def check_fields(request: ClientRequest) -> None:
    """Refuse what the route does not read, where nobody has to show a token. Raises Refusal unknown_field."""
    request.scope["route"].check_fields(request)


User = Annotated[Credential, Depends(require_user)]
Administrator = Annotated[Credential, Depends(require_administrator)]
