"""WeChat in the sandbox: people who follow, press buttons, write and leave."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from imsg_contract.errors import Refusal
from imsg_sandbox.admission import Admission
from imsg_sandbox.body import read_body
from imsg_sandbox.wechat_accounts import Account, Accounts
from imsg_sandbox.wechat_push import Pusher
from imsg_web.responses import Answer, ok, wrong_field

PREFIX = "/sandbox/wechat"


class Following(BaseModel):
    """Body of POST /sandbox/wechat/followers."""

    model_config = ConfigDict(extra="ignore", strict=True)

    account: str | None = None
    blocks: bool = False
    """Whether they block the account's messages, so that receipts say `failed:user block`."""
    scan: str | None = None
    """The `url` of a QR code by which they came."""


class Scan(BaseModel):
    """Body of POST …/scan."""

    model_config = ConfigDict(extra="ignore", strict=True)

    url: str


class Grant(BaseModel):
    """Body of POST …/grant and …/revoke."""

    model_config = ConfigDict(extra="ignore", strict=True)

    templates: list[str] = []
    """Of notices; left out: all that the account has."""


class Press(BaseModel):
    """Body of POST …/press."""

    model_config = ConfigDict(extra="ignore", strict=True)

    key: str


class Text(BaseModel):
    """Body of POST …/say."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: str


class People:
    """Those who follow, and what they do."""

    def __init__(self, accounts: Accounts, pusher: Pusher, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._pusher = pusher
        self._now = now

    async def about(self) -> Answer:
        """Say which accounts there are, and where their API is."""
        listed = [
            {
                "account": account.name,
                "appid": account.appid,
                "secret": account.secret,
                "templates": {name: list(variables) for name, variables in account.templates.items()},
                "notices": {name: list(fields) for name, fields in account.notices.items()},
                "codes": account.codes.list(self._now()),
                "encrypted": account.aes_key is not None,
                "menu": account.menu,
            }
            for account in self._accounts
        ]
        return Answer(ok(api=f"{PREFIX}/api/cgi-bin/…", accounts=listed))

    async def list_followers(self) -> Answer:
        """Answer who followed since the start."""
        people = [
            {"account": account.name, "openid": openid, "following": openid not in account.left}
            for account in self._accounts
            for openid in account.followers
        ]
        return Answer(ok(followers=people))

    async def follow(self, request: Request) -> Answer:
        """Let somebody new follow an account; `reply` is what it greets them with."""
        asked = _read(Following, await read_body(request) or b"{}")
        account = self._accounts.find(asked.account)
        if account is None:
            raise Refusal("no_such_account", account=asked.account or "")
        scene = None if asked.scan is None else self._scene(account, asked.scan)
        return await self._follow(account, account.follow(blocks=asked.blocks), scene)

    async def follow_again(self, openid: str) -> Answer:
        """Let somebody who has left follow again."""
        account = self._account(openid)
        account.left.discard(openid)
        account.followers.setdefault(openid)
        return await self._follow(account, openid)

    async def scan(self, openid: str, request: Request) -> Answer:
        """Scan a QR code of the account; whoever has left follows again by it."""
        asked = _read(Scan, await read_body(request))
        account = self._account(openid)
        scene = self._scene(account, asked.url)
        if openid in account.left:
            account.left.discard(openid)
            return await self._follow(account, openid, scene)
        return await self._push(openid, "scan", {"MsgType": "event", "Event": "SCAN", **scene})

    async def grant(self, openid: str, request: Request) -> Answer:
        """Say yes to notices, once each, whether they follow or not."""
        return await self._change(openid, request, "subscribe_msg_popup_event", "accept")

    async def revoke(self, openid: str, request: Request) -> Answer:
        """Take back what was granted, in WeChat's own settings."""
        return await self._change(openid, request, "subscribe_msg_change_event", "reject")

    async def _change(self, openid: str, request: Request, event: str, said: str) -> Answer:
        asked = _read(Grant, await read_body(request) or b"{}")
        account = self._account(openid)
        templates = asked.templates or list(account.notices)
        for template in templates:
            account.grant(openid, template, 1 if said == "accept" else -account.grants.get((openid, template), 0))
        listed = [{"TemplateId": one, "SubscribeStatusString": said, "PopupScene": "0"} for one in templates]
        name = "SubscribeMsgPopupEvent" if said == "accept" else "SubscribeMsgChangeEvent"
        answered = await self._pusher.push(account, openid, {"MsgType": "event", "Event": event}, (name, listed))
        left = {one: account.grants.get((openid, one), 0) for one in templates}
        return Answer(ok(answered=answered.ok, grants=left))

    async def press(self, openid: str, request: Request) -> Answer:
        """Press a button of the menu; `reply` is what the account answers."""
        asked = _read(Press, await read_body(request))
        return await self._push(openid, "press", {"MsgType": "event", "Event": "CLICK", "EventKey": asked.key})

    async def say(self, openid: str, request: Request) -> Answer:
        """Write a text; `reply` is what the account answers."""
        asked = _read(Text, await read_body(request))
        account = self._account(openid)
        account.messages += 1
        fields = {"MsgType": "text", "Content": asked.text, "MsgId": str(account.messages)}
        return await self._push(openid, "say", fields)

    async def leave(self, openid: str) -> Answer:
        """Let somebody follow no more."""
        account = self._find_follower_account(openid)
        account.left.add(openid)
        answered = await self._pusher.push(
            account, openid, {"MsgType": "event", "Event": "unsubscribe", "EventKey": ""}
        )
        return Answer(ok(openid=openid, answered=answered.ok))

    def _scene(self, account: Account, url: str) -> dict[str, str]:
        """Find what a code tells when it is scanned. Raises Refusal not_found."""
        code = account.codes.find(url, self._now())
        if code is None:
            raise Refusal("not_found", what=url[:80])
        return {"EventKey": code.scene, "Ticket": code.ticket}

    async def _follow(self, account: Account, openid: str, scene: dict[str, str] | None = None) -> Answer:
        account.note_act(openid, "follow", self._now())
        by = {"EventKey": ""} if scene is None else {**scene, "EventKey": f"qrscene_{scene['EventKey']}"}
        answered = await self._pusher.push(account, openid, {"MsgType": "event", "Event": "subscribe", **by})
        return Answer(ok(openid=openid, account=account.name, reply=answered.reply, answered=answered.ok))

    async def _push(self, openid: str, what: str, fields: dict[str, str]) -> Answer:
        account = self._find_follower_account(openid)
        account.note_act(openid, what, self._now())
        answered = await self._pusher.push(account, openid, fields)
        return Answer(ok(reply=answered.reply, answered=answered.ok))

    def _account(self, openid: str) -> Account:
        account = self._accounts.find_followed(openid)
        if account is None:
            raise Refusal("no_such_url", path=f"{PREFIX}/followers/{openid}")
        return account

    def _find_follower_account(self, openid: str) -> Account:
        account = self._account(openid)
        if openid in account.left:
            raise Refusal("not_following", who=openid)
        return account


def routes(people: People, admission: Admission) -> APIRouter:
    """Make the routes under /sandbox/wechat."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(admission)])
    router.add_api_route("", people.about, methods=["GET"])
    router.add_api_route("/followers", people.list_followers, methods=["GET"])
    router.add_api_route("/followers", people.follow, methods=["POST"])
    router.add_api_route("/followers/{openid}", people.leave, methods=["DELETE"])
    router.add_api_route("/followers/{openid}/follow", people.follow_again, methods=["POST"])
    router.add_api_route("/followers/{openid}/scan", people.scan, methods=["POST"])
    router.add_api_route("/followers/{openid}/grant", people.grant, methods=["POST"])
    router.add_api_route("/followers/{openid}/revoke", people.revoke, methods=["POST"])
    router.add_api_route("/followers/{openid}/press", people.press, methods=["POST"])
    router.add_api_route("/followers/{openid}/say", people.say, methods=["POST"])
    return router


def _read(model: type[Any], body: bytes) -> Any:  # noqa: ANN401  an instance of the model
    try:
        return model.model_validate_json(body or b"null")
    except ValidationError as error:
        raise wrong_field(error.errors()[0]) from error
