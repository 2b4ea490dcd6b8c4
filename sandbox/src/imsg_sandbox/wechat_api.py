"""WeChat's API under cgi-bin, refusing what the real one refuses (docs/providers.md, WeChat)."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from imsg_contract.constant_time import equals
from imsg_sandbox import wechat_codes, wechat_menu, wechat_templates
from imsg_sandbox.body import read_body
from imsg_sandbox.cut import Cut, linger
from imsg_sandbox.faults import HANG_S, Fault, Faults, Order
from imsg_sandbox.inbox import Inbox, Received
from imsg_sandbox.wechat_accounts import Account, Accounts
from imsg_sandbox.wechat_errors import Refused, read_json
from imsg_sandbox.wechat_push import Pusher
from imsg_sandbox.wechat_tokens import CLEARS_A_MONTH, MENUS_A_DAY, TEMPLATES_A_DAY, Desk, Quotas

METHOD = "wechat"

REMEMBERED_S = 600
"""How long a client_msg_id is remembered."""

EARLY_RECEIPT_EVERY = 4
"""Of so many receipts one comes before the answer to the send."""

FIRST_MSGID = 2**61
"""Beyond 2^53, where whoever reads it as a float reads another."""

Given = dict[str, Any]
Answer = Given | Response


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API."""

    verb: str
    carry_out: Callable[[Request, bytes], Awaitable[Answer]]


class Api:
    """The calls there are."""

    def __init__(
        self,
        accounts: Accounts,
        faults: Faults,
        inbox: Inbox,
        pusher: Pusher,
        *,
        now: Callable[[], float],
        late_s: float,
        allowed: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        """`late_s` is how long after a send its receipt comes, `allowed` who may ask for a token (empty: all)."""
        self._accounts = accounts
        self._faults = faults
        self._inbox = inbox
        self._pusher = pusher
        self._now = now
        self._late_s = late_s
        self._allowed = allowed
        self._quotas = Quotas(now)
        self._desk = Desk(self._quotas, now)
        self._sent: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._msgid = FIRST_MSGID + secrets.randbelow(2**40)
        self._receipts = 0
        self._calls: Mapping[str, Call] = {
            "token": Call("GET", self._token),
            "stable_token": Call("POST", self._stable_token),
            "message/template/send": Call("POST", self._send),
            "message/custom/send": Call("POST", self._write),
            "message/subscribe/bizsend": Call("POST", self._notify),
            "newtmpl/gettemplate": Call("GET", self._notices),
            "qrcode/create": Call("POST", self._make_code),
            "menu/create": Call("POST", self._make_menu),
            "menu/get": Call("GET", self._menu),
            "get_current_selfmenu_info": Call("GET", self._show_menu),
            "template/get_all_private_template": Call("GET", self._templates),
            "user/info": Call("GET", self._user),
            "clear_quota": Call("POST", self._clear_quota),
        }

    async def call(self, path: str, request: Request) -> Answer:
        """Carry out the call of this path. Raises Refused."""
        known = self._calls.get(path)
        if known is None:
            raise Refused(40066)
        if known.verb != request.method:
            raise Refused(43002 if known.verb == "POST" else 43001)
        return await known.carry_out(request, await read_body(request))

    async def _token(self, request: Request, _: bytes) -> Answer:
        asked = dict(request.query_params)
        account = self._check_credentials(asked, request)
        return _give_token(*self._desk.plain(account.appid))

    async def _stable_token(self, request: Request, body: bytes) -> Answer:
        asked = read_json(body)
        account = self._check_credentials(asked, request)
        return _give_token(*self._desk.stable(account.appid, force=asked.get("force_refresh") is True))

    def _check_credentials(self, asked: Mapping[str, Any], request: Request) -> Account:
        if asked.get("grant_type") != "client_credential":
            raise Refused(40002)
        if not asked.get("appid"):
            raise Refused(41002)
        if not asked.get("secret"):
            raise Refused(41004)
        account = self._accounts.of_appid(str(asked["appid"]))
        if account is None:
            raise Refused(40013)
        if not equals(str(asked["secret"]), account.secret):
            raise Refused(40125)
        address = request.client.host if request.client else ""
        if self._allowed and not any(ip_address(address) in network for network in self._allowed):
            raise Refused(40164, f"invalid ip {address} ipv6 ::ffff:{address}, not in whitelist")
        return account

    def _whose(self, request: Request) -> Account:
        code, appid = self._desk.check(request.query_params.get("access_token", ""))
        account = self._accounts.of_appid(appid)
        if code or account is None:
            raise Refused(code or 40001)
        return account

    async def _send(self, request: Request, body: bytes) -> Answer:
        account = self._whose(request)
        if self._faults.strike(METHOD, Fault.EXPIRED_TOKEN):
            self._desk.kill(request.query_params["access_token"])
            raise Refused(42001)
        fault = self._faults.strike(
            METHOD, Fault.HANG, Fault.RESET_BEFORE, Fault.SERVER_ERROR, Fault.RESET_AFTER, Fault.LATENCY
        )
        if fault is not None and (silence := await _before(fault, request)) is not None:
            return silence
        taken = await self._take(account, body)
        return Cut() if fault is not None and fault.fault is Fault.RESET_AFTER else taken

    async def _take(self, account: Account, body: bytes) -> Given:
        asked = read_json(body)
        openid, template = str(asked.get("touser", "")), str(asked.get("template_id", ""))
        if not account.knows(openid):
            raise Refused(40003)
        if template not in account.templates:
            raise Refused(40037)
        if not account.is_followed_by(openid):
            raise Refused(43004)
        constants = account.constants_of(template)
        if (complaint := wechat_templates.wrong(asked.get("data"), account.templates[template], constants)) is not None:
            raise Refused(47003, complaint)
        name = asked.get("client_msg_id")
        known = self._remember((account.appid, openid, str(name))) if name else None
        if known is None:
            if not self._quotas.use(account.appid, "template", TEMPLATES_A_DAY):
                raise Refused(45009)
            known = self._keep(account, openid, body)
            if name:
                self._sent[account.appid, openid, str(name)] = (known, self._now())
            await self._receipt(account, openid, known)
        return {"errcode": 0, "errmsg": "ok", "msgid": known}

    def _remember(self, key: tuple[str, str, str]) -> int | None:
        now = self._now()
        while self._sent and now - next(iter(self._sent.values()))[1] > REMEMBERED_S:
            del self._sent[next(iter(self._sent))]
        found = self._sent.get(key)
        return None if found is None else found[0]

    def _keep(self, account: Account, openid: str, body: bytes) -> int:
        self._inbox.keep(Received(METHOD, openid, account.name, body, datetime.now(UTC)))
        self._msgid += 1
        return self._msgid

    async def _receipt(self, account: Account, openid: str, msgid: int) -> None:
        if self._faults.strike(METHOD, Fault.LOST_RECEIPT):
            return
        fields = {
            "MsgType": "event",
            "Event": "TEMPLATESENDJOBFINISH",
            "MsgID": str(msgid),
            "Status": "failed:user block" if openid in account.blocking else "success",
        }
        self._receipts += 1
        if self._receipts % EARLY_RECEIPT_EVERY == 0:
            await self._pusher.push(account, openid, fields)
            return
        self._pusher.push_later(account, openid, fields, self._late_s * random.uniform(0.5, 1.5))  # noqa: S311

    async def _write(self, request: Request, body: bytes) -> Answer:
        """Take a customer-service message: only for a while after its recipient did something (A5)."""
        account = self._whose(request)
        asked = read_json(body)
        openid, text = str(asked.get("touser", "")), asked.get("text")
        if not account.knows(openid):
            raise Refused(40003)
        if asked.get("msgtype") != "text" or not isinstance(text, dict) or not text.get("content"):
            raise Refused(47001)
        if wechat_templates.is_text_too_long(str(text["content"])):
            raise Refused(45002)
        if code := account.write_to(openid, self._now()):
            raise Refused(code)
        self._keep(account, openid, body)
        return {"errcode": 0, "errmsg": "ok"}

    async def _notify(self, request: Request, body: bytes) -> Answer:
        """Take a subscribe notice: each uses up one that its recipient has granted (A6)."""
        account = self._whose(request)
        fault = self._faults.strike(
            METHOD, Fault.HANG, Fault.RESET_BEFORE, Fault.SERVER_ERROR, Fault.RESET_AFTER, Fault.LATENCY
        )
        if fault is not None and (silence := await _before(fault, request)) is not None:
            return silence
        asked = read_json(body)
        openid, template = str(asked.get("touser", "")), str(asked.get("template_id", ""))
        if not account.knows(openid):
            raise Refused(40003)
        if template not in account.notices:
            raise Refused(40037)
        constants = account.constants_of(template)
        if (complaint := wechat_templates.wrong(asked.get("data"), account.notices[template], constants)) is not None:
            raise Refused(47003, complaint)
        if not account.grants.get((openid, template)):
            raise Refused(43101)
        account.grant(openid, template, -1)
        known = self._keep(account, openid, body)
        if not self._faults.strike(METHOD, Fault.LOST_RECEIPT):
            failed = openid in account.blocking
            item = {
                "TemplateId": template,
                "MsgID": str(known),
                "ErrorCode": "43019" if failed else "0",
                "ErrorStatus": "failed:user block" if failed else "success",
            }
            fields = {"MsgType": "event", "Event": "subscribe_msg_sent_event"}
            self._pusher.push_later(account, openid, fields, self._late_s, ("SubscribeMsgSentEvent", [item]))
        if fault is not None and fault.fault is Fault.RESET_AFTER:
            return Cut()
        return {"errcode": 0, "errmsg": "ok", "msgid": known}

    async def _notices(self, request: Request, _: bytes) -> Answer:
        account = self._whose(request)
        listed = [wechat_templates.describe_notice(name, fields) for name, fields in account.notices.items()]
        return {"errcode": 0, "errmsg": "ok", "data": listed}

    async def _make_code(self, request: Request, body: bytes) -> Answer:
        """Make a QR code that tells its scene to the webhook when it is scanned."""
        account = self._whose(request)
        asked = read_json(body)
        scene = wechat_codes.read_scene(asked)
        for_s = wechat_codes.read_life(asked)
        code = account.codes.make(scene, self._now() + for_s)
        return {"ticket": code.ticket, "expire_seconds": for_s, "url": code.url}

    async def _make_menu(self, request: Request, body: bytes) -> Answer:
        account = self._whose(request)
        buttons = wechat_menu.check(read_json(body))
        if not self._quotas.use(account.appid, "menu", MENUS_A_DAY):
            raise Refused(45009)
        account.menu = {"button": buttons}
        return {"errcode": 0, "errmsg": "ok"}

    async def _menu(self, request: Request, _: bytes) -> Answer:
        account = self._whose(request)
        if account.menu is None:
            raise Refused(46003)
        return {"menu": account.menu}

    async def _show_menu(self, request: Request, _: bytes) -> Answer:
        account = self._whose(request)
        menu = account.menu if isinstance(account.menu, dict) else {}
        return {"is_menu_open": int(bool(menu)), "selfmenu_info": wechat_menu.as_shown(menu)}

    async def _templates(self, request: Request, _: bytes) -> Answer:
        account = self._whose(request)
        return {"template_list": [wechat_templates.describe(name, names) for name, names in account.templates.items()]}

    async def _user(self, request: Request, _: bytes) -> Answer:
        account = self._whose(request)
        openid = request.query_params.get("openid", "")
        if not account.knows(openid):
            raise Refused(40003)
        if not account.is_followed_by(openid):
            return {"subscribe": 0, "openid": openid, "tagid_list": []}
        return {
            "subscribe": 1,
            "openid": openid,
            "nickname": "",
            "language": request.query_params.get("lang", "zh_CN"),
            "headimgurl": "",
            "subscribe_time": int(self._now()),
            "remark": "",
            "groupid": 0,
            "tagid_list": [],
            "subscribe_scene": "ADD_SCENE_SEARCH",
            "qr_scene": 0,
            "qr_scene_str": "",
        }

    async def _clear_quota(self, request: Request, body: bytes) -> Answer:
        account = self._whose(request)
        if read_json(body).get("appid") != account.appid:
            raise Refused(40013)
        if not self._quotas.use(account.appid, "clear", CLEARS_A_MONTH, "%Y%m"):
            raise Refused(48006)
        self._quotas.clear(account.appid)
        return {"errcode": 0, "errmsg": "ok"}


def routes(api: Api) -> APIRouter:
    """Make the one route; whoever calls it shows an appid and its secret, or a token."""
    router = APIRouter()

    @router.api_route("/cgi-bin/{path:path}", methods=["GET", "POST"])
    @router.api_route("/wxaapi/{path:path}", methods=["GET", "POST"])
    async def call(path: str, request: Request) -> Response:
        """Carry out one call of the API."""
        try:
            answer = await api.call(path, request)
        except Refused as refused:
            answer = refused.answer
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    return router


async def _before(order: Order, request: Request) -> Response | None:
    """Play what goes wrong before a message is taken; None where it is taken all the same."""
    match order.fault:
        case Fault.HANG:
            await linger(request, HANG_S)
            return Cut()
        case Fault.RESET_BEFORE:
            return Cut()
        case Fault.SERVER_ERROR:
            return Response("<html><body>502 Bad Gateway</body></html>", 502, media_type="text/html")
        case Fault.LATENCY:
            await asyncio.sleep(order.ms / 1000)
    return None


def _give_token(code: int, token: str, expires_in: int) -> Given:
    if code:
        raise Refused(code)
    return {"access_token": token, "expires_in": expires_in}
