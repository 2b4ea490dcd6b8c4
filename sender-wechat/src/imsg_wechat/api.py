"""The calls of WeChat's API that iMSG makes for one official account."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.templates import Notice, TemplateMessage, Text
from imsg_wechat.tokens import TokenSource
from imsg_wechat.transport import ApiAnswer, Fields, Transport


class Api:
    """Makes the calls with the token of one account."""

    def __init__(self, tokens: TokenSource, transport: Transport, endpoint: str) -> None:
        self._tokens = tokens
        self._transport = transport
        self._endpoint = endpoint

    async def send(self, openid: str, message: TemplateMessage, message_id: str) -> ApiAnswer:
        """Send a template message; WeChat sends the same `message_id` only once within 10 minutes."""
        page = message.page
        body = _make_body(openid, message.template, message.values, page.miniprogram) | {"client_msg_id": message_id}
        return await self._call("/cgi-bin/message/template/send", body | ({"url": page.url} if page.url else {}))

    async def send_notice(self, openid: str, notice: Notice) -> ApiAnswer:
        """Send a subscribe notice: each call uses one grant, and a repeat is a second notice."""
        page = notice.page
        body = _make_body(openid, notice.template, notice.values, page.miniprogram)
        return await self._call("/cgi-bin/message/subscribe/bizsend", body | ({"page": page.url} if page.url else {}))

    async def send_text(self, openid: str, text: Text) -> ApiAnswer:
        """Send a customer-service text; a repeat is a second text."""
        body = {"touser": openid, "msgtype": "text", "text": {"content": text.text}}
        return await self._call("/cgi-bin/message/custom/send", body)

    async def list_templates(self) -> ApiAnswer:
        """List the account's templates for template messages."""
        return await self._call("/cgi-bin/template/get_all_private_template")

    async def list_notices(self) -> ApiAnswer:
        """List the account's templates for subscribe notices."""
        return await self._call("/wxaapi/newtmpl/gettemplate")

    async def make_qr_code(self, scene: str, for_s: int) -> ApiAnswer:
        """Make a QR code. A scan pushes `scene` to the webhook; `url` of the answer is the text of the code."""
        info = {"scene": {"scene_str": scene}}
        body = {"expire_seconds": for_s, "action_name": "QR_STR_SCENE", "action_info": info}
        return await self._call("/cgi-bin/qrcode/create", body)

    async def read_menu(self) -> ApiAnswer:
        """Read the menu that was made by the API; error 46003 if there is none."""
        return await self._call("/cgi-bin/menu/get")

    async def read_console_menu(self) -> ApiAnswer:
        """Read the current menu, also one made in WeChat's console: `is_menu_open`, `selfmenu_info`."""
        return await self._call("/cgi-bin/get_current_selfmenu_info")

    async def write_menu(self, buttons: Sequence[Mapping[str, Any]]) -> ApiAnswer:
        """Replace the account's menu."""
        return await self._call("/cgi-bin/menu/create", {"button": buttons})

    async def _call(self, path: str, body: Fields | None = None) -> ApiAnswer:
        """Call with the token, and again with a fresh one if the token is refused."""
        token = await self._tokens.get()
        if not isinstance(token, str):
            return token
        answer = await self._call_with(path, token, body)
        if not isinstance(answer, ErrorAnswer) or not answer.is_stale_token:
            return answer
        fresh = await self._tokens.get(stale=token)
        if not isinstance(fresh, str):
            return fresh
        return await self._call_with(path, fresh, body)

    async def _call_with(self, path: str, token: str, body: Fields | None) -> ApiAnswer:
        params = {"access_token": token}
        return await self._transport.call(
            "GET" if body is None else "POST", f"{self._endpoint}{path}", params=params, body=body
        )


def _make_body(
    openid: str, template: str, values: Mapping[str, str], miniprogram: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return the fields that template messages and subscribe notices share."""
    data = {name: {"value": value} for name, value in values.items()}
    body: dict[str, Any] = {"touser": openid, "template_id": template, "data": data}
    return body if miniprogram is None else body | {"miniprogram": dict(miniprogram)}
