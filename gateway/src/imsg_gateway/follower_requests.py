"""Followers of the official accounts, and which user each is the contact of.

sender-wechat knows followers and auth knows users; an answer about both is put together here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract import addresses
from imsg_contract.errors import Refusal
from imsg_contract.topology import CHANGE
from imsg_contract.wire import Change
from imsg_gateway.authentication import Credential
from imsg_gateway.follower_schemas import FollowersQuery
from imsg_gateway.request import ClientRequest
from imsg_runtime.logs import logger
from imsg_web.callers import Caller
from imsg_web.responses import JSON, Answer, ok
from imsg_web.service_client import CALL_TIMEOUT_S, Peer, ServiceFailed

MAX_CURSOR = 32
NOBODY = "-"
"""What no tag is: whom a text finds that reads as none."""

TIMEOUT_S = 20.0
"""WeChat itself makes the code, and its own time-out is 15 s."""

OK = 200
METHOD = "wechat"

Fields = Mapping[str, Any]
FieldsOrRefusal = Fields | Response
"""What another service answered: its fields, or the refusal that is the client's answer too."""

log = logger(__name__)


class FollowerRequests:
    """Answers the URLs; all are an administrator's."""

    def __init__(self, wechat: Peer, auth: Peer, broker: Broker, accounts: Sequence[str]) -> None:
        """`accounts` are the official accounts that are configured."""
        self._wechat = wechat
        self._auth = auth
        self._broker = broker
        self._accounts = frozenset(accounts)
        self._named = sorted(accounts)

    async def list(self, request: ClientRequest, credential: Credential, query: FollowersQuery) -> Response:
        """List followers in the order of their tags, each with the user whose contact it is.

        Raises Refusal no_such_account, no_such_user; ServiceUnavailable.
        """
        caller = await credential.authenticate()
        params = {"limit": str(query.limit)}
        if query.account is not None:
            params["account"] = self._check_account(query.account)
        if query.cursor is not None:
            params["after"] = query.cursor[:MAX_CURSOR]
        if not self._accounts:
            return Answer(ok(followers=[], next=None, accounts=self._named))
        tags = [addresses.tag(query.tag) or NOBODY] if query.tag is not None else []
        if query.user is not None:
            contact = await self._find_contact(query.user)
            if contact is None or (tags and contact not in tags):
                return Answer(ok(followers=[], next=None, accounts=self._named))
            tags = [contact]
        if tags:
            params["tag"] = tags[0]
        answer = await self._ask(self._wechat, "GET", "/internal/followers", request, caller, params=params)
        if isinstance(answer, Response):
            return answer
        names = await self._find_users([one["tag"] for one in answer["followers"]])
        followers = [{**one, "username": names.get(one["tag"])} for one in answer["followers"]]
        return Answer(ok(followers=followers, next=answer["next"], accounts=self._named))

    async def bind(self, request: ClientRequest, credential: Credential, account: str, username: str) -> Response:
        """Have a code made: the follower who scans it becomes the user's contact once that is confirmed.

        Raises Refusal no_such_account; ServiceUnavailable.
        """
        caller = await credential.authenticate()
        self._check_account(account)
        user = await self._ask(self._auth, "GET", f"/api/users/{quote(username, safe='')}", request, caller)
        if isinstance(user, Response):
            return user
        body = {"account": account, "username": user["username"], "user_id": user["id"]}
        answer = await self._ask(self._wechat, "POST", "/internal/bindings", request, caller, json=body)
        return answer if isinstance(answer, Response) else Answer(ok(url=answer["url"], **_show(answer)))

    async def show_binding(self, request: ClientRequest, credential: Credential, name: str) -> Response:
        """Show the state of a code, and the tag of the follower who scanned it. Raises ServiceUnavailable."""
        answer = await self._find_binding(request, await credential.authenticate(), name)
        return answer if isinstance(answer, Response) else Answer(ok(**_show(answer)))

    async def confirm(self, request: ClientRequest, credential: Credential, name: str) -> Response:
        """Make the follower who scanned a code the user's contact. Confirming twice changes nothing.

        Raises Refusal not_scanned, code_expired, no_such_user; ServiceUnavailable.
        """
        caller = await credential.authenticate()
        found = await self._find_binding(request, caller, name)
        if isinstance(found, Response):
            return found
        if found["state"] == "waiting":
            raise Refusal("not_scanned")
        if found["state"] == "expired":
            raise Refusal("code_expired")
        url = f"/api/users/{quote(found['username'], safe='')}"
        user = await self._ask(self._auth, "GET", url, request, caller)
        if isinstance(user, Response):
            return user
        if user["id"] != found["user_id"]:  # removed since, and another user has the name
            raise Refusal("no_such_user", username=found["username"])
        changed = await self._ask(self._auth, "PATCH", url, request, caller, json={"wechat": found["tag"]})
        if isinstance(changed, Response):
            return changed
        path = f"/internal/bindings/{quote(found['id'], safe='')}/confirmed"
        answer = await self._ask(self._wechat, "POST", path, request, caller)
        return answer if isinstance(answer, Response) else Answer(ok(**_show(answer)))

    async def renew(self, request: ClientRequest, credential: Credential, tag: str) -> Response:
        """Give a follower another tag, also as the contact of the user who had the old one.

        Repeated with the old tag it answers the same new one, and finishes what was begun.
        Raises Refusal not_found; ServiceUnavailable.
        """
        caller = await credential.authenticate()
        tag = _read_tag(tag)
        path = f"/internal/followers/{quote(tag, safe='')}/renew"
        answer = await self._ask(self._wechat, "POST", path, request, caller)
        if isinstance(answer, Response):
            return answer
        names = await self._find_users([tag, answer["tag"]])
        if (username := names.get(tag)) is not None:
            url = f"/api/users/{quote(username, safe='')}"
            changed = await self._ask(self._auth, "PATCH", url, request, caller, json={"wechat": answer["tag"]})
            if isinstance(changed, Response):
                return changed
        await self._note(caller, "tag_renewed", answer["tag"], answer["account"])
        shown = {name: answer[name] for name in ("account", "tag", "following", "since")}
        return Answer(ok(**shown, username=username or names.get(answer["tag"])))

    async def revoke(self, request: ClientRequest, credential: Credential, tag: str) -> Response:
        """Revoke a tag: sends to it are refused, and its follower gets another one on request.

        Raises Refusal not_found; ServiceUnavailable.
        """
        caller = await credential.authenticate()
        tag = _read_tag(tag)
        answer = await self._ask(self._wechat, "DELETE", f"/internal/followers/{quote(tag, safe='')}", request, caller)
        if isinstance(answer, Response):
            return answer
        await self._note(caller, "tag_revoked", tag, answer["account"])
        return Answer(ok())

    async def _find_binding(self, request: ClientRequest, caller: Caller, name: str) -> FieldsOrRefusal:
        path = f"/internal/bindings/{quote(name, safe='')}"
        return await self._ask(self._wechat, "GET", path, request, caller)

    def _check_account(self, name: str) -> str:
        """Raise Refusal no_such_account where an account is not configured."""
        if name not in self._accounts:
            raise Refusal("no_such_account", account=name[:64])
        return name

    async def _find_contact(self, username: str) -> str | None:
        """Find a user's tag. Raises Refusal no_such_user."""
        body = {"method": METHOD, "names": [username]}
        contacts = (await self._call(self._auth, "/internal/contacts", body))["contacts"]
        if username not in contacts:
            raise Refusal("no_such_user", username=username[:80])
        found: str | None = contacts[username]
        return found

    async def _find_users(self, tags: Sequence[str]) -> Mapping[str, str]:
        """Find whose contacts tags are; absent: nobody's."""
        if not tags:
            return {}
        body = {"method": METHOD, "addresses": list(tags)}
        found: Mapping[str, str] = (await self._call(self._auth, "/internal/usernames", body))["usernames"]
        return found

    async def _call(self, peer: Peer, path: str, body: Fields) -> Fields:
        answer = await peer.call("POST", path, json=body)
        if answer.status_code != OK:
            raise ServiceFailed(f"auth answered {answer.status_code} to {path}")
        fields: Fields = answer.json()
        return fields

    async def _ask(
        self,
        peer: Peer,
        verb: str,
        path: str,
        request: ClientRequest,
        caller: Caller,
        *,
        json: Fields | None = None,
        params: Mapping[str, str] | None = None,
    ) -> FieldsOrRefusal:
        """Call another service on the caller's behalf. Raises ServiceUnavailable."""
        headers = {"accept-language": request.language.encode("ascii", "ignore").decode()}
        headers["x-imsg-address"] = request.address
        timeout_s = CALL_TIMEOUT_S if verb == "GET" else TIMEOUT_S
        answer = await peer.call(
            verb, path, caller=caller, json=json, params=params, headers=headers, timeout_s=timeout_s
        )
        if "json" not in answer.headers.get("content-type", ""):
            raise ServiceFailed(f"{path} was answered {answer.status_code} by something else than its owner")
        fields: Fields = answer.json()
        if answer.status_code == OK:
            return fields
        if fields.get("reason") in ("no_such_url", "no_such_method"):
            raise ServiceFailed(f"nobody has {verb} {path}: its owner is of an older version")
        return Response(answer.content, answer.status_code, media_type=JSON)

    async def _note(self, caller: Caller, action: str, tag: str, account: str) -> None:
        change = Change(
            actor=caller.username,
            action=action,
            subject=tag,
            details={"account": account},
            at=datetime.now(UTC),
            actor_id=caller.user_id,
        )
        try:
            await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))
        except (PublishRefused, PublishUnknown) as lost:
            # The change is made; only the audit lacks it.
            log.warning("change_not_published", action=action, why=str(lost))


def _show(binding: Fields) -> Fields:
    return {name: binding[name] for name in ("id", "account", "username", "state", "tag", "expires_at")}


def _read_tag(text: str) -> str:
    """Read a tag, however it is written. Raises Refusal not_found: what is no tag is nobody's."""
    tag = addresses.tag(text)
    if tag is None:
        raise Refusal("not_found", what=text[:32])
    return tag
