"""WeChat's API under cgi-bin, with the refusals of the real one (docs/providers.md, WeChat)."""

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
from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.http_faults import BrokenResponse, play_fault
from imsg_sandbox.inbox import Inbox, ReceivedMessage
from imsg_sandbox.wechat_accounts import Account, Accounts
from imsg_sandbox.wechat_errors import Refused, read_json
from imsg_sandbox.wechat_push import Pusher
from imsg_sandbox.wechat_tokens import CLEARS_A_MONTH, MENUS_A_DAY, TEMPLATES_A_DAY, Quotas, TokenStore

METHOD = "wechat"

REMEMBERED_S = 600
"""How long a client_msg_id is remembered."""

EARLY_RECEIPT_EVERY = 4
"""One in so many receipts comes before the answer to the send."""

FIRST_MSGID = 2**61
"""Beyond 2^53: a client that reads it as a float gets another number."""

Content = dict[str, Any]
ApiReply = Content | Response


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API."""

    method: str
    perform: Callable[[Request, bytes], Awaitable[ApiReply]]


class Api:
    """The calls of the API."""

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
        """`late_s` is the delay of a receipt; `allowed` are the networks that may get a token (empty: all)."""
        self._accounts = accounts
        self._faults = faults
        self._inbox = inbox
        self._pusher = pusher
        self._now = now
        self._late_s = late_s
        self._allowed = allowed
        self._quotas = Quotas(now)
        self._tokens = TokenStore(self._quotas, now)
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

    async def call(self, path: str, request: Request) -> ApiReply:
        """Perform the call of this path. Raises Refused."""
        call = self._calls.get(path)
        if call is None:
            raise Refused(40066)
        if call.method != request.method:
            raise Refused(43002 if call.method == "POST" else 43001)
        return await call.perform(request, await read_body(request))

    async def _token(self, request: Request, _: bytes) -> ApiReply:
        content = dict(request.query_params)
        account = self._check_credentials(content, request)
        return _show_token(*self._tokens.issue_plain(account.appid))

    async def _stable_token(self, request: Request, body: bytes) -> ApiReply:
        content = read_json(body)
        account = self._check_credentials(content, request)
        return _show_token(*self._tokens.issue_stable(account.appid, force=content.get("force_refresh") is True))

    def _check_credentials(self, content: Mapping[str, Any], request: Request) -> Account:
        if content.get("grant_type") != "client_credential":
            raise Refused(40002)
        if not content.get("appid"):
            raise Refused(41002)
        if not content.get("secret"):
            raise Refused(41004)
        account = self._accounts.of_appid(str(content["appid"]))
        if account is None:
            raise Refused(40013)
        if not equals(str(content["secret"]), account.secret):
            raise Refused(40125)
        address = request.client.host if request.client else ""
        if self._allowed and not any(ip_address(address) in network for network in self._allowed):
            raise Refused(40164, f"invalid ip {address} ipv6 ::ffff:{address}, not in whitelist")
        return account

    def _find_account(self, request: Request) -> Account:
        code, appid = self._tokens.check(request.query_params.get("access_token", ""))
        account = self._accounts.of_appid(appid)
        if code or account is None:
            raise Refused(code or 40001)
        return account

    async def _send(self, request: Request, body: bytes) -> ApiReply:
        account = self._find_account(request)
        if self._faults.use(METHOD, Fault.EXPIRED_TOKEN):
            self._tokens.revoke(request.query_params["access_token"])
            raise Refused(42001)
        if (fault := await play_fault(self._faults, METHOD, request)) is not None:
            return fault
        answer = await self._accept(account, body)
        return BrokenResponse() if self._faults.use(METHOD, Fault.RESET_AFTER) else answer

    async def _accept(self, account: Account, body: bytes) -> Content:
        content = read_json(body)
        openid, template = str(content.get("touser", "")), str(content.get("template_id", ""))
        if not account.knows(openid):
            raise Refused(40003)
        if template not in account.templates:
            raise Refused(40037)
        if not account.is_followed_by(openid):
            raise Refused(43004)
        constants = account.constants_of(template)
        if (
            error := wechat_templates.find_error(content.get("data"), account.templates[template], constants)
        ) is not None:
            raise Refused(47003, error)
        name = content.get("client_msg_id")
        known = self._remember((account.appid, openid, str(name))) if name else None
        if known is None:
            if not self._quotas.use(account.appid, "template", TEMPLATES_A_DAY):
                raise Refused(45009)
            known = self._store(account, openid, body)
            if name:
                self._sent[account.appid, openid, str(name)] = (known, self._now())
            await self._push_receipt(account, openid, known)
        return {"errcode": 0, "errmsg": "ok", "msgid": known}

    def _remember(self, key: tuple[str, str, str]) -> int | None:
        now = self._now()
        while self._sent and now - next(iter(self._sent.values()))[1] > REMEMBERED_S:
            del self._sent[next(iter(self._sent))]
        sent = self._sent.get(key)
        return None if sent is None else sent[0]

    def _store(self, account: Account, openid: str, body: bytes) -> int:
        self._inbox.add(ReceivedMessage(METHOD, openid, account.name, body, datetime.now(UTC)))
        self._msgid += 1
        return self._msgid

    async def _push_receipt(self, account: Account, openid: str, msgid: int) -> None:
        if self._faults.use(METHOD, Fault.LOST_RECEIPT):
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

    async def _write(self, request: Request, body: bytes) -> ApiReply:
        """Accept a customer-service message: only within the reply window of its recipient (A5)."""
        account = self._find_account(request)
        content = read_json(body)
        openid, text = str(content.get("touser", "")), content.get("text")
        if not account.knows(openid):
            raise Refused(40003)
        if content.get("msgtype") != "text" or not isinstance(text, dict) or not text.get("content"):
            raise Refused(47001)
        if wechat_templates.is_text_too_long(str(text["content"])):
            raise Refused(45002)
        if code := account.write_to(openid, self._now()):
            raise Refused(code)
        self._store(account, openid, body)
        return {"errcode": 0, "errmsg": "ok"}

    async def _notify(self, request: Request, body: bytes) -> ApiReply:
        """Accept a subscribe notice: each uses one grant of its recipient (A6)."""
        account = self._find_account(request)
        if (fault := await play_fault(self._faults, METHOD, request)) is not None:
            return fault
        content = read_json(body)
        openid, template = str(content.get("touser", "")), str(content.get("template_id", ""))
        if not account.knows(openid):
            raise Refused(40003)
        if template not in account.notices:
            raise Refused(40037)
        constants = account.constants_of(template)
        if (
            error := wechat_templates.find_error(content.get("data"), account.notices[template], constants)
        ) is not None:
            raise Refused(47003, error)
        if not account.grants.get((openid, template)):
            raise Refused(43101)
        account.grant(openid, template, -1)
        known = self._store(account, openid, body)
        if not self._faults.use(METHOD, Fault.LOST_RECEIPT):
            failed = openid in account.blocking
            item = {
                "TemplateId": template,
                "MsgID": str(known),
                "ErrorCode": "43019" if failed else "0",
                "ErrorStatus": "failed:user block" if failed else "success",
            }
            fields = {"MsgType": "event", "Event": "subscribe_msg_sent_event"}
            self._pusher.push_later(account, openid, fields, self._late_s, ("SubscribeMsgSentEvent", [item]))
        if self._faults.use(METHOD, Fault.RESET_AFTER):
            return BrokenResponse()
        return {"errcode": 0, "errmsg": "ok", "msgid": known}

    async def _notices(self, request: Request, _: bytes) -> ApiReply:
        account = self._find_account(request)
        listed = [wechat_templates.describe_notice(name, fields) for name, fields in account.notices.items()]
        return {"errcode": 0, "errmsg": "ok", "data": listed}

    async def _make_code(self, request: Request, body: bytes) -> ApiReply:
        """Make a QR code; a scan pushes its scene to the webhook."""
        account = self._find_account(request)
        content = read_json(body)
        scene = wechat_codes.read_scene(content)
        for_s = wechat_codes.read_life(content)
        code = account.codes.make(scene, self._now() + for_s)
        return {"ticket": code.ticket, "expire_seconds": for_s, "url": code.url}

    async def _make_menu(self, request: Request, body: bytes) -> ApiReply:
        account = self._find_account(request)
        buttons = wechat_menu.check(read_json(body))
        if not self._quotas.use(account.appid, "menu", MENUS_A_DAY):
            raise Refused(45009)
        account.menu = {"button": buttons}
        return {"errcode": 0, "errmsg": "ok"}

    async def _menu(self, request: Request, _: bytes) -> ApiReply:
        account = self._find_account(request)
        if account.menu is None:
            raise Refused(46003)
        return {"menu": account.menu}

    async def _show_menu(self, request: Request, _: bytes) -> ApiReply:
        account = self._find_account(request)
        menu = account.menu if isinstance(account.menu, dict) else {}
        return {"is_menu_open": int(bool(menu)), "selfmenu_info": wechat_menu.as_shown(menu)}

    async def _templates(self, request: Request, _: bytes) -> ApiReply:
        account = self._find_account(request)
        return {"template_list": [wechat_templates.describe(name, names) for name, names in account.templates.items()]}

    async def _user(self, request: Request, _: bytes) -> ApiReply:
        account = self._find_account(request)
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

    async def _clear_quota(self, request: Request, body: bytes) -> ApiReply:
        account = self._find_account(request)
        if read_json(body).get("appid") != account.appid:
            raise Refused(40013)
        if not self._quotas.use(account.appid, "clear", CLEARS_A_MONTH, "%Y%m"):
            raise Refused(48006)
        self._quotas.clear(account.appid)
        return {"errcode": 0, "errmsg": "ok"}


def routes(api: Api) -> APIRouter:
    """Make the one route; a call has an appid with its secret, or a token."""
    router = APIRouter()

    @router.api_route("/cgi-bin/{path:path}", methods=["GET", "POST"])
    @router.api_route("/wxaapi/{path:path}", methods=["GET", "POST"])
    async def call(path: str, request: Request) -> Response:
        """Perform one call of the API."""
        try:
            answer = await api.call(path, request)
        except Refused as refused:
            answer = refused.answer
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    return router


def _show_token(code: int, token: str, expires_in: int) -> Content:
    if code:
        raise Refused(code)
    return {"access_token": token, "expires_in": expires_in}
