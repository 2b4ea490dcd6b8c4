"""The users with followers as contacts, from auth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_contract.errors import Refusal
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed

OK, NOT_FOUND, CONFLICT = 200, 404, 409

METHOD = "wechat"

MAX_SHOWN = 80
"""Characters of an unknown username that an answer repeats."""


@dataclass(frozen=True, slots=True)
class User:
    """A user."""

    id: str
    username: str
    tag: str | None
    """The follower's who is the user's contact."""


class Users:
    """Calls auth. Every method raises ServiceUnavailable."""

    def __init__(self, auth: Peer) -> None:
        self._auth = auth

    async def find(self, username: str) -> User:
        """Find a user by name, in any spelling. Raises Refusal no_such_user."""
        fields = await self._call("POST", "/internal/wechat/user", username, json={"username": username})
        return User(fields["user_id"], fields["username"], fields["tag"])

    async def find_usernames(self, tags: Sequence[str]) -> Mapping[str, str]:
        """Return tag → name of the user with this contact; other tags are absent."""
        if not tags:
            return {}
        answer = await self._call("POST", "/internal/wechat/usernames", "", json={"tags": list(tags)})
        usernames: Mapping[str, str] = answer["usernames"]
        return usernames

    async def set_tag(self, administrator: Caller, username: str, tag: str, user_id: str | None = None) -> None:
        """Make a follower a user's contact. With `user_id` the user must have this id.

        Raises Refusal no_such_user, contact_taken.
        """
        body = {"username": username, "user_id": user_id, "wechat": tag}
        await self._call("PUT", "/internal/wechat/contacts", username, caller=administrator, json=body)

    async def _call(self, verb: str, path: str, username: str, **sent: Any) -> Mapping[str, Any]:  # noqa: ANN401  arguments of Peer.call
        answer = await self._auth.call(verb, path, **sent)
        if answer.status_code not in (OK, NOT_FOUND, CONFLICT):
            raise ServiceFailed(f"auth answered {answer.status_code} to {path}")
        fields: Mapping[str, Any] = answer.json()
        match fields.get("reason"):
            case None:
                return fields
            case "no_such_user":
                raise Refusal("no_such_user", username=username[:MAX_SHOWN])
            case "contact_taken":
                raise Refusal("contact_taken", field=METHOD)
            case reason:
                raise ServiceFailed(f"auth answered {reason} to {path}")
