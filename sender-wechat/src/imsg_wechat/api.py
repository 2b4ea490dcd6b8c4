"""One official account's API: what iMSG asks of WeChat, with a valid token each time."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_wechat.codes import Complaint
from imsg_wechat.tokens import Tokens
from imsg_wechat.transport import Answer, Fields, Transport


class Api:
    """Calls in the name of one account."""

    def __init__(self, tokens: Tokens, transport: Transport, endpoint: str) -> None:
        self._tokens = tokens
        self._transport = transport
        self._endpoint = endpoint

    async def send(self, openid: str, template: str, values: dict[str, str], message_id: str) -> Answer:
        """Send a template message; WeChat sends the same `message_id` only once within 10 minutes."""
        data: dict[str, Any] = {name: {"value": value} for name, value in values.items()}
        body = {"touser": openid, "template_id": template, "data": data, "client_msg_id": message_id}
        return await self._call("/cgi-bin/message/template/send", body)

    async def read_menu(self) -> Answer:
        """Read the menu that an API made; 46003 where there is none."""
        return await self._call("/cgi-bin/menu/get")

    async def read_console_menu(self) -> Answer:
        """Read the menu as it is shown, also one made in WeChat's console: `is_menu_open`, `selfmenu_info`."""
        return await self._call("/cgi-bin/get_current_selfmenu_info")

    async def write_menu(self, buttons: Sequence[Mapping[str, Any]]) -> Answer:
        """Replace the account's menu."""
        return await self._call("/cgi-bin/menu/create", {"button": buttons})

    async def _call(self, path: str, body: Fields | None = None) -> Answer:
        """Call with the shared token, and once more with a fresh one where that is refused."""
        token = await self._tokens.get()
        if not isinstance(token, str):
            return token
        answer = await self._call_with(path, token, body)
        if not isinstance(answer, Complaint) or not answer.is_stale_token:
            return answer
        fresh = await self._tokens.get(stale=token)
        if not isinstance(fresh, str):
            return fresh
        return await self._call_with(path, fresh, body)

    async def _call_with(self, path: str, token: str, body: Fields | None) -> Answer:
        params = {"access_token": token}
        return await self._transport.call(
            "GET" if body is None else "POST", f"{self._endpoint}{path}", params=params, body=body
        )
