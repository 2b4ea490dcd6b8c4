"""Which suppressions failed a user's own messages."""

from urllib.parse import urlencode

from starlette.responses import Response

from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_web.responses import JSON
from imsg_web.service_client import Peer, ServiceFailed

OK = 200


class FailedSuppressions:
    """Lists the suppressed among the recipients that a user's messages did not reach, from history and the catalog."""

    def __init__(self, history: Peer, catalog: Peer) -> None:
        self._history = history
        self._catalog = catalog

    async def list(self, request: ClientRequest, credential: Credential) -> Response:
        """Answer the catalog's page. Raises ServiceUnavailable."""
        caller = await credential.authenticate()
        failed = await self._history.call("GET", "/internal/failed", caller=caller)
        if failed.status_code != OK:
            raise ServiceFailed(f"history answered {failed.status_code} to /internal/failed")
        path = "/internal/suppressions/failed"
        if request.query:
            path += f"?{urlencode(request.query)}"
        language = {"accept-language": request.language.encode("ascii", "ignore").decode()}
        body = {"recipients": failed.json()["recipients"]}
        answer = await self._catalog.call("POST", path, caller=caller, json=body, headers=language)
        return Response(answer.content, answer.status_code, media_type=JSON)
