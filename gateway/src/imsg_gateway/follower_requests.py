"""/api/v2/followers: who follows, whose contact they are, and tags bound, renewed and revoked.

sender-wechat knows followers, auth knows users: what is about both is put together here.
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
from imsg_gateway.request import ClientRequest
from imsg_gateway.validation_errors import field_wrong
from imsg_runtime.logs import logger
from imsg_web.callers import Caller
from imsg_web.responses import JSON, Answer, ok
from imsg_web.service_client import CALL_TIMEOUT_S, Peer, ServiceFailed

PAGE, MAX_PAGE = 50, 500
MAX_CURSOR = 32
NOBODY = "-"
"""What no tag is: whom a text finds that reads as none."""

TIMEOUT_S = 20.0
"""WeChat itself makes the code, and its own time-out is 15 s."""

OK = 200
METHOD = "wechat"

Fields = Mapping[str, Any]
Told = Fields | Response
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

    async def list(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """List followers in the order of their tags, with whose contact each is."""
        caller = await _caller(credential)
        query = dict(asked.query)
        params = {"limit": str(_read_limit(query.get("limit")))}
        if (account := query.get("account")) is not None:
            params["account"] = self._check_account(account)
        if (cursor := query.get("cursor")) is not None:
            params["after"] = cursor[:MAX_CURSOR]
        if not self._accounts:
            return Answer(ok(followers=[], next=None, accounts=self._named))
        tags = [addresses.tag(query["tag"]) or NOBODY] if "tag" in query else []
        if (user := query.get("user")) is not None:
            contact = await self._find_contact(user)
            if contact is None or (tags and contact not in tags):
                return Answer(ok(followers=[], next=None, accounts=self._named))
            tags = [contact]
        if tags:
            params["tag"] = tags[0]
        told = await self._ask(self._wechat, "GET", "/internal/followers", asked, caller, params=params)
        if isinstance(told, Response):
            return told
        names = await self._find_users([one["tag"] for one in told["followers"]])
        followers = [{**one, "username": names.get(one["tag"])} for one in told["followers"]]
        return Answer(ok(followers=followers, next=told["next"], accounts=self._named))

    async def bind(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Have a code made that binds whoever scans it to a user, once that is confirmed."""
        caller = await _caller(credential)
        account, username = (_read_text(asked, name) for name in ("account", "username"))
        self._check_account(account)
        user = await self._ask(self._auth, "GET", f"/api/users/{quote(username, safe='')}", asked, caller)
        if isinstance(user, Response):
            return user
        body = {"account": account, "username": user["username"], "user_id": user["id"]}
        told = await self._ask(self._wechat, "POST", "/internal/bindings", asked, caller, json=body)
        return told if isinstance(told, Response) else Answer(ok(url=told["url"], **_show(told)))

    async def show_binding(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Say how far a code is, and by which tag whoever scanned it goes."""
        told = await self._find_binding(asked, await _caller(credential))
        return told if isinstance(told, Response) else Answer(ok(**_show(told)))

    async def confirm(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Make whoever scanned the code the user's contact; asked again, it is done still.

        Raises Refusal not_scanned, code_expired, no_such_user.
        """
        caller = await _caller(credential)
        found = await self._find_binding(asked, caller)
        if isinstance(found, Response):
            return found
        if found["state"] == "waiting":
            raise Refusal("not_scanned")
        if found["state"] == "expired":
            raise Refusal("code_expired")
        url = f"/api/users/{quote(found['username'], safe='')}"
        user = await self._ask(self._auth, "GET", url, asked, caller)
        if isinstance(user, Response):
            return user
        if user["id"] != found["user_id"]:  # removed since, and the name given to somebody else
            raise Refusal("no_such_user", username=found["username"])
        changed = await self._ask(self._auth, "PATCH", url, asked, caller, json={"wechat": found["tag"]})
        if isinstance(changed, Response):
            return changed
        path = f"/internal/bindings/{quote(found['id'], safe='')}/confirmed"
        told = await self._ask(self._wechat, "POST", path, asked, caller)
        return told if isinstance(told, Response) else Answer(ok(**_show(told)))

    async def renew(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Give a follower another tag; the user whose contact the old one was has the new one.

        Asked again with the old tag it answers the same new one, and finishes what was begun.
        """
        caller = await _caller(credential)
        tag = _read_tag(asked.names[0])
        path = f"/internal/followers/{quote(tag, safe='')}/renew"
        told = await self._ask(self._wechat, "POST", path, asked, caller)
        if isinstance(told, Response):
            return told
        names = await self._find_users([tag, told["tag"]])
        if (username := names.get(tag)) is not None:
            url = f"/api/users/{quote(username, safe='')}"
            changed = await self._ask(self._auth, "PATCH", url, asked, caller, json={"wechat": told["tag"]})
            if isinstance(changed, Response):
                return changed
        await self._note(caller, "tag_renewed", told["tag"], told["account"])
        shown = {name: told[name] for name in ("account", "tag", "following", "since")}
        return Answer(ok(**shown, username=username or names.get(told["tag"])))

    async def revoke(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Take a tag away: it is refused from now on; whoever had it gets another by asking."""
        caller = await _caller(credential)
        tag = _read_tag(asked.names[0])
        told = await self._ask(self._wechat, "DELETE", f"/internal/followers/{quote(tag, safe='')}", asked, caller)
        if isinstance(told, Response):
            return told
        await self._note(caller, "tag_revoked", tag, told["account"])
        return Answer(ok())

    async def _find_binding(self, asked: ClientRequest, caller: Caller) -> Told:
        path = f"/internal/bindings/{quote(asked.names[0], safe='')}"
        return await self._ask(self._wechat, "GET", path, asked, caller)

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
        asked: ClientRequest,
        caller: Caller,
        *,
        json: Fields | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Told:
        """Ask another service on the caller's behalf. Raises ServiceUnavailable."""
        headers = {"accept-language": asked.language.encode("ascii", "ignore").decode()}
        headers["x-imsg-address"] = asked.address
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
            # What was asked is done; only the audit lacks it.
            log.warning("change_not_published", action=action, why=str(lost))


async def _caller(credential: Credential | None) -> Caller:
    assert credential is not None  # noqa: S101  the table wants an administrator's
    return await credential.authenticate()


def _show(binding: Fields) -> Fields:
    return {name: binding[name] for name in ("id", "account", "username", "state", "tag", "expires_at")}


def _read_text(asked: ClientRequest, field: str) -> str:
    """Read a field of the body that has to be there. Raises Refusal missing, wrong_type."""
    given = asked.fields.get(field)
    if given is None:
        raise Refusal("missing", field=field)
    if not isinstance(given, str) or not given or "\0" in given:
        raise field_wrong(field, "应为非空字符串", "it must be a string that is not empty")
    return given


def _read_tag(text: str) -> str:
    """Read a tag, however it is written. Raises Refusal not_found: what is no tag is nobody's."""
    tag = addresses.tag(text)
    if tag is None:
        raise Refusal("not_found", what=text[:32])
    return tag


def _read_limit(text: str | None) -> int:
    """Read how many a page may have. Raises Refusal wrong_type."""
    if text is None:
        return PAGE
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE)) else 0
    if not 1 <= limit <= MAX_PAGE:
        raise field_wrong("limit", f"应为 1 到 {MAX_PAGE} 的整数", f"it must be a whole number from 1 to {MAX_PAGE}")
    return limit
