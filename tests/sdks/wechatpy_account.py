"""wechatpy against an account: `API APPID SECRET OPENID` → what it was answered, as JSON."""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")  # its own, of the Python it was written for

import requests  # noqa: E402
from wechatpy import WeChatClient  # noqa: E402
from wechatpy.exceptions import WeChatClientException  # noqa: E402

api, appid, secret, openid = sys.argv[1:]
WeChatClient.API_BASE_URL = api
asked = {"grant_type": "client_credential", "appid": appid, "secret": secret}
token = requests.get(f"{api}token", params=asked, timeout=10).json()["access_token"]  # it asks WeChat itself for one
client = WeChatClient(appid, secret, access_token=token)


def find_code(call: Callable[..., Any], *given: Any) -> int:  # noqa: ANN401  any call of it
    """Return the errcode of a call, 0 where it went well."""
    try:
        call(*given)
    except WeChatClientException as error:
        return int(error.errcode)
    return 0


def fields(**values: str) -> dict[str, dict[str, str]]:
    """Write the data of a message."""
    return {name: {"value": value} for name, value in values.items()}


ORDER, NOTICE = "imsg-sandbox-order", "imsg-sandbox-notice"
sound = {"thing1": "茶叶", "character_string2": "A-100", "const3": "已发货", "time4": "2026年11月25日 15:01"}
send, notify = client.message.send_template, client.message.send_subscribe_message
sent = send(openid, ORDER, fields(**sound), url="https://example.com/")
codes = {
    "too long": find_code(send, openid, ORDER, fields(**{**sound, "thing1": "长" * 21})),
    "wrong kind": find_code(send, openid, ORDER, fields(**{**sound, "character_string2": "甲"})),
    "unregistered": find_code(send, openid, ORDER, fields(**{**sound, "const3": "已签收"})),
    "two lines": find_code(send, openid, "imsg-sandbox-template", fields(content="明天\n下雨")),
    "unknown template": find_code(send, openid, "TM9", fields(content="x")),
    "stranger": find_code(send, "o" * 28, ORDER, fields(**sound)),
    "text": find_code(client.message.send_text, openid, "您好"),
    "long text": find_code(client.message.send_text, openid, "长" * 601),
}
scene = {"scene": {"scene_str": "s1"}}
made = client.qrcode.create({"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": scene})
listed = client.template.get_all_private_template()
print(  # noqa: T201  its answer
    json.dumps(
        {
            "msgid": str(sent["msgid"]),
            "codes": codes,
            "subscribe": client.user.get(openid)["subscribe"],
            "url": made["url"],
            "templates": [template["template_id"] for template in listed["template_list"]],
        }
    )
)
