"""The followers of the sandbox's official accounts: they follow, press buttons, scan codes, write and leave."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from imsg_contract.errors import Refusal
from imsg_sandbox.admission import Admission
from imsg_sandbox.body import read_model
from imsg_sandbox.wechat_accounts import Account, Accounts
from imsg_sandbox.wechat_push import Pusher
from imsg_web.responses import ApiResponse, ok

PREFIX = "/sandbox/wechat"


class Following(BaseModel):
    """Body of POST /sandbox/wechat/followers."""

    model_config = ConfigDict(extra="ignore", strict=True)

    account: str | None = None
    blocks: bool = False
    """Whether the follower blocks the account's messages: receipts then say `failed:user block`."""
    scan: str | None = None
    """The `url` of the QR code by which the follower came."""


class Scan(BaseModel):
    """Body of POST …/scan."""

    model_config = ConfigDict(extra="ignore", strict=True)

    url: str


class Grant(BaseModel):
    """Body of POST …/grant and …/revoke."""

    model_config = ConfigDict(extra="ignore", strict=True)

    templates: list[str] = []
    """The templates of notices; empty: all of the account."""


class Press(BaseModel):
    """Body of POST …/press."""

    model_config = ConfigDict(extra="ignore", strict=True)

    key: str


class Text(BaseModel):
    """Body of POST …/say."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: str


class Followers:
    """The acts of followers."""

    def __init__(self, accounts: Accounts, pusher: Pusher, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._pusher = pusher
        self._now = now

    async def about(self) -> ApiResponse:
        """List the accounts, and the path of their API."""
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
        return ApiResponse(ok(api=f"{PREFIX}/api/cgi-bin/…", accounts=listed))

    async def list_followers(self) -> ApiResponse:
        """List the followers since the start."""
        rows = [
            {"account": account.name, "openid": openid, "following": openid not in account.left}
            for account in self._accounts
            for openid in account.followers
        ]
        return ApiResponse(ok(followers=rows))

    async def follow(self, request: Request) -> ApiResponse:
        """Add a follower to an account; `reply` is the account's greeting."""
        body = await read_model(request, Following, b"{}")
        account = self._accounts.find(body.account)
        if account is None:
            raise Refusal("no_such_account", account=body.account or "")
        scene = None if body.scan is None else self._scene(account, body.scan)
        return await self._follow(account, account.follow(blocks=body.blocks), scene)

    async def follow_again(self, openid: str) -> ApiResponse:
        """Subscribe a former follower again, and push the event."""
        account = self._find_account(openid)
        account.left.discard(openid)
        account.followers.setdefault(openid)
        return await self._follow(account, openid)

    async def scan(self, openid: str, request: Request) -> ApiResponse:
        """Scan a QR code of the account; a former follower follows again by it."""
        body = await read_model(request, Scan)
        account = self._find_account(openid)
        scene = self._scene(account, body.url)
        if openid in account.left:
            account.left.discard(openid)
            return await self._follow(account, openid, scene)
        return await self._push(openid, "scan", {"MsgType": "event", "Event": "SCAN", **scene})

    async def grant(self, openid: str, request: Request) -> ApiResponse:
        """Grant notices, once each; a grant needs no follower."""
        return await self._change(openid, request, "subscribe_msg_popup_event", "accept")

    async def revoke(self, openid: str, request: Request) -> ApiResponse:
        """Revoke all grants, as in WeChat's settings."""
        return await self._change(openid, request, "subscribe_msg_change_event", "reject")

    async def _change(self, openid: str, request: Request, event: str, status: str) -> ApiResponse:
        body = await read_model(request, Grant, b"{}")
        account = self._find_account(openid)
        templates = body.templates or list(account.notices)
        for template in templates:
            account.grant(openid, template, 1 if status == "accept" else -account.grants.get((openid, template), 0))
        listed = [
            {"TemplateId": template, "SubscribeStatusString": status, "PopupScene": "0"} for template in templates
        ]
        name = "SubscribeMsgPopupEvent" if status == "accept" else "SubscribeMsgChangeEvent"
        reply = await self._pusher.push(account, openid, {"MsgType": "event", "Event": event}, (name, listed))
        left = {template: account.grants.get((openid, template), 0) for template in templates}
        return ApiResponse(ok(answered=reply.ok, grants=left))

    async def press(self, openid: str, request: Request) -> ApiResponse:
        """Press a button of the menu; `reply` is the account's answer."""
        body = await read_model(request, Press)
        return await self._push(openid, "press", {"MsgType": "event", "Event": "CLICK", "EventKey": body.key})

    async def say(self, openid: str, request: Request) -> ApiResponse:
        """Write a text; `reply` is the account's answer."""
        body = await read_model(request, Text)
        account = self._find_account(openid)
        account.messages += 1
        fields = {"MsgType": "text", "Content": body.text, "MsgId": str(account.messages)}
        return await self._push(openid, "say", fields)

    async def leave(self, openid: str) -> ApiResponse:
        """Unsubscribe a follower, and push the event."""
        account = self._find_follower_account(openid)
        account.left.add(openid)
        reply = await self._pusher.push(account, openid, {"MsgType": "event", "Event": "unsubscribe", "EventKey": ""})
        return ApiResponse(ok(openid=openid, answered=reply.ok))

    def _scene(self, account: Account, url: str) -> dict[str, str]:
        """Return the event fields of a QR code. Raises Refusal not_found."""
        code = account.codes.find(url, self._now())
        if code is None:
            raise Refusal("not_found", what=url[:80])
        return {"EventKey": code.scene, "Ticket": code.ticket}

    async def _follow(self, account: Account, openid: str, scene: dict[str, str] | None = None) -> ApiResponse:
        account.record_action(openid, "follow", self._now())
        by = {"EventKey": ""} if scene is None else {**scene, "EventKey": f"qrscene_{scene['EventKey']}"}
        reply = await self._pusher.push(account, openid, {"MsgType": "event", "Event": "subscribe", **by})
        return ApiResponse(ok(openid=openid, account=account.name, reply=reply.reply, answered=reply.ok))

    async def _push(self, openid: str, act: str, fields: dict[str, str]) -> ApiResponse:
        account = self._find_follower_account(openid)
        account.record_action(openid, act, self._now())
        reply = await self._pusher.push(account, openid, fields)
        return ApiResponse(ok(reply=reply.reply, answered=reply.ok))

    def _find_account(self, openid: str) -> Account:
        account = self._accounts.find_followed(openid)
        if account is None:
            raise Refusal("no_such_url", path=f"{PREFIX}/followers/{openid}")
        return account

    def _find_follower_account(self, openid: str) -> Account:
        account = self._find_account(openid)
        if openid in account.left:
            raise Refusal("not_following", who=openid)
        return account


def routes(followers: Followers, admission: Admission) -> APIRouter:
    """Make the routes under /sandbox/wechat."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(admission)])
    router.add_api_route("", followers.about, methods=["GET"])
    router.add_api_route("/followers", followers.list_followers, methods=["GET"])
    router.add_api_route("/followers", followers.follow, methods=["POST"])
    router.add_api_route("/followers/{openid}", followers.leave, methods=["DELETE"])
    router.add_api_route("/followers/{openid}/follow", followers.follow_again, methods=["POST"])
    router.add_api_route("/followers/{openid}/scan", followers.scan, methods=["POST"])
    router.add_api_route("/followers/{openid}/grant", followers.grant, methods=["POST"])
    router.add_api_route("/followers/{openid}/revoke", followers.revoke, methods=["POST"])
    router.add_api_route("/followers/{openid}/press", followers.press, methods=["POST"])
    router.add_api_route("/followers/{openid}/say", followers.say, methods=["POST"])
    return router
