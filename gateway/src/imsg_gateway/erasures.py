"""POST /api/v2/erasures: history erases; before it is asked, whether a user has the address still."""

from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_gateway.authentication import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes import Handler
from imsg_web.service_client import Peer, ServiceFailed

PATH = "/api/v2/erasures"


def guard(relayed: Handler, auth: Peer) -> Handler:
    """Make the handler that refuses to erase what is a user's contact: to erase a user is to delete it.

    It raises Refusal contact_in_use, ServiceUnavailable, and what `relayed` raises.
    """

    async def answer(asked: ClientRequest, credential: Credential | None) -> Response:
        if credential is not None:
            await credential.authenticate()
        method, to = asked.fields.get("method"), asked.fields.get("to")
        if isinstance(method, str) and isinstance(to, str):
            found = await auth.call("POST", "/internal/holders", json={"method": method, "address": to})
            if found.status_code != 200:  # noqa: PLR2004  HTTP's own number
                raise ServiceFailed(f"auth answered {found.status_code} to /internal/holders")
            if usernames := found.json()["usernames"]:
                raise Refusal("contact_in_use", username="、".join(usernames[:3]))
        return await relayed(asked, credential)

    return answer
