"""A person's copy: what auth, catalog, callbacks and sender-wechat keep of them, for history to add its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from imsg_channels import BY_NAME
from imsg_contract.errors import Refusal
from imsg_gateway.relay import Owner
from imsg_web.callers import Caller
from imsg_web.responses import refuse_value
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

SUCCESS, NOT_FOUND = 200, 404
PAGE = 500

CONTACTS = {"smtp": "email", "sms": "phone", "wechat": "wechat"}
"""Method → the field of a user that is the contact for it."""

ENVELOPE = ("errorCode", "errorMessage")

Kept = dict[str, Any]


class Person(NamedTuple):
    """One address of a person, in the normal form."""

    method: str
    to: str


class Exports:
    """Gathers what is kept of a person, and has history make the file."""

    def __init__(self, owners: Mapping[Owner, Peer]) -> None:
        self._owners = owners

    async def begin(self, caller: Caller, method: str | None, to: str | None, username: str | None) -> str:
        """Begin the export of a user, or of the person with an address, and return its id.

        Raises Refusal missing, wrong_type, recipients_invalid, no_such_user; ServiceUnavailable.
        """
        if username is not None:
            if method is not None or to is not None:
                raise refuse_value("username", "与 method、to 不能同时填写", "leave it out, or method and to")
            users = [await self._get_user(caller, username)]
            people = [Person(name, user) for name, field in CONTACTS.items() if (user := users[0][field])]
        else:
            person = _read_person(method, to)
            people, users = [person], await self._find_users(caller, person)
        kept: Kept = {"users": users, "suppressions": [], "groups": [], "followers": [], "events": []}
        for person in people:
            query = {"method": person.method, "to": person.to}
            kept["suppressions"] += await self._list(caller, "catalog", "/api/suppressions", "suppressions", query)
            kept["groups"] += await self._list(caller, "catalog", "/internal/groups/memberships", "memberships", query)
            kept["events"] += await self._list(caller, "callbacks", "/internal/events", "events", query)
            if person.method == "wechat":
                kept["followers"] += await self._list_followers(caller, person.to)
        body = {"username": username, "people": [person._asdict() for person in people], "kept": kept}
        answer = await self._owners["history"].call("POST", "/internal/exports", caller=caller, json=body)
        return str(_read(answer.status_code, answer.json(), "/internal/exports")["id"])

    async def _get_user(self, caller: Caller, username: str) -> Mapping[str, Any]:
        answer = await self._owners["auth"].call("GET", f"/api/users/{quote(username, safe='')}", caller=caller)
        if answer.status_code == NOT_FOUND:
            raise Refusal("no_such_user", username=username[:80])
        record = _read(answer.status_code, answer.json(), "/api/users")
        return {name: value for name, value in record.items() if name not in ENVELOPE}

    async def _find_users(self, caller: Caller, person: Person) -> list[Mapping[str, Any]]:
        body = {"method": person.method, "address": person.to}
        answer = await self._owners["auth"].call("POST", "/internal/holders", json=body)
        names = _read(answer.status_code, answer.json(), "/internal/holders")["usernames"]
        return [await self._get_user(caller, name) for name in names]

    async def _list(
        self, caller: Caller, owner: Owner, path: str, field: str, query: Mapping[str, str]
    ) -> list[Mapping[str, Any]]:
        """Read all pages of a list."""
        rows: list[Mapping[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            params = {**query, "limit": str(PAGE), **more}
            answer = await self._owners[owner].call("GET", path, caller=caller, params=params)
            page = _read(answer.status_code, answer.json(), path)
            rows += page[field]
            cursor = page["next"]
        return rows

    async def _list_followers(self, caller: Caller, tag: str) -> list[Mapping[str, Any]]:
        """Read the follower of a tag; none where sender-wechat does not run."""
        try:
            return await self._list(caller, "wechat", "/api/followers", "followers", {"tag": tag})
        except ServiceFailed:
            raise
        except ServiceUnavailable:
            return []


def _read_person(method: str | None, to: str | None) -> Person:
    for name, given in (("method", method), ("to", to)):
        if given is None:
            raise Refusal("missing", field=name)
    spec = BY_NAME.get(method or "")
    if spec is None:
        raise refuse_value("method", "没有这个发送方式", "there is no such method")
    address = spec.address.parse((to or "").strip())
    if address is None:
        zh, en = "to 应是一个该方式的地址", "to must be one address of this method"
        raise Refusal("recipients_invalid", why_zh=zh, why_en=en)
    return Person(spec.name, address)


def _read(status: int, answer: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    if status != SUCCESS:
        raise ServiceFailed(f"{path} was answered {status}")
    return answer
