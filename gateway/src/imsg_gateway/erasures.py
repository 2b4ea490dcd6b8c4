"""What must not be erased: an address that is a user's contact."""

from imsg_contract.errors import Refusal
from imsg_web.service_client import Peer, ServiceFailed


class ErasureGuard:
    """Finds in auth the users with an address as a contact."""

    def __init__(self, auth: Peer) -> None:
        self._auth = auth

    async def check(self, method: object, to: object) -> None:
        """Raise Refusal contact_in_use for the contact of a user, which goes when the user is removed.

        Raises ServiceUnavailable. What is no text is left to history, which refuses it.
        """
        if not isinstance(method, str) or not isinstance(to, str):
            return
        answer = await self._auth.call("POST", "/internal/holders", json={"method": method, "address": to})
        if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
            raise ServiceFailed(f"auth answered {answer.status_code} to /internal/holders")
        if usernames := answer.json()["usernames"]:
            raise Refusal("contact_in_use", username="、".join(usernames[:3]))
