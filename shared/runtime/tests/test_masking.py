"""No secret comes into a line of the log, however it is written there."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus, unquote

import pytest
from pydantic import BaseModel, SecretStr

from imsg_runtime.masking import Secrets, mask_line

SECRET = "s3cr3t-geheim"  # what may be seen nowhere

URL = f"https://example.com/callback?a=1&access_token={SECRET}&b=2"


@pytest.mark.parametrize(
    "line",
    [
        f"GET /api/query?token={SECRET}&id=1",
        f"GET /api/query?user[password]={SECRET}",
        f"GET /api/query?api-key={SECRET}",
        f"GET /api/query?API.KEY={SECRET}",
        f"GET /api/query?p%61ssword={SECRET}",
        f"password={SECRET}&user=zhang",
        f"refresh_token={SECRET}",
        f"redirect={quote(URL, safe='')}",
        f"redirect={quote(quote(URL, safe=''), safe='')}",
        json.dumps({"url": URL}).replace("/", "\\/").replace("&", "\\u0026"),
        json.dumps({"user": "zhang", "password": SECRET}),
        json.dumps({"password": f'a"{SECRET}'}),
        json.dumps({"body": json.dumps({"clientSecret": SECRET})}),
        json.dumps({"body": json.dumps({"body": json.dumps({"token": SECRET})})}),
        repr({"api_key": SECRET}),
        f"POST /hooks/smtp/{SECRET}",
        f"POST /hooks/sms/aliyun/{SECRET}",
        f"POST %2Fhooks%2Fsmtp%2F{SECRET}",
        f"POST /hooks/%73mtp/{SECRET}",
        f"GET \\/u\\/{SECRET}",
        f"redis://imsg:{SECRET}@host:6379/0",
        quote(f"redis://imsg:{SECRET}@host:6379/0", safe=""),
        f"Authorization: Bearer {SECRET}",
    ],
)
def test_a_secret_is_hidden(line: str) -> None:
    masked = mask_line(line)
    assert SECRET not in masked
    assert "geheim" not in masked
    assert "••••" in masked


@pytest.mark.parametrize(
    "line",
    [
        "the token is missing",
        "HTTP 500 of https://example.com/a%20b?page=2",
        "状态 = 已发送",
        json.dumps({"status": "sent", "count": 3}),
        r"C:\\users\\a%41",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(line: str) -> None:
    assert mask_line(line) == line


class Login(BaseModel):
    """Settings with secrets."""

    password: SecretStr
    more: Mapping[str, SecretStr] = {}


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda secret: quote(f"a={secret}&b"),
        quote_plus,
        lambda secret: json.dumps({"p": secret}),
        lambda secret: json.dumps({"p": secret}, ensure_ascii=False),
        lambda secret: json.dumps({"said": json.dumps({"p": secret}, ensure_ascii=False)}, ensure_ascii=False),
        lambda secret: base64.b64encode(f"{secret}é".encode()).decode(),
        lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"us:{secret}?".encode()).decode(),
        lambda secret: hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest(),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, 'é+/" &=%geheim', "0123456789", '0123456789"/'])
def test_what_repeats_a_secret_hides_it(secret: str, write: Callable[[str], str]) -> None:
    """The rest of the answer stays."""
    said, login = f"no: {write(secret)}", Login(password=SecretStr("another one"), more={"key": SecretStr(secret)})
    hidden = Secrets(login).hide_in(said)
    assert hidden.startswith("no: ")
    assert "****" in hidden
    assert secret not in unquote(hidden)
    assert "0123456789" not in hidden
    assert Secrets(Login(password=SecretStr("no"))).hide_in(said) == said, "too short to be looked for"
