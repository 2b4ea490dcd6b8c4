"""No secret comes into a line of the log, however it is written there."""

import json
from urllib.parse import quote

import pytest

from imsg_runtime.masking import mask_line

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
