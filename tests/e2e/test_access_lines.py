"""The gateway logs a line for each answer: the user, the key, the call, its duration, and the accepted id."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from imsg_testing.deployment import running
from imsg_testing.waiting import wait

SECRET = "the words of a message"
MAIL = {"to": "wang.wu@example.com", "method": "smtp", "content": {"subject": SECRET, "text": SECRET}}
FIELDS = {"event", "verb", "route", "status", "code", "ms", "address", "user", "key", "request"}


@pytest.mark.long  # two starts
@pytest.mark.parametrize("form", ["json", "text"])
def test_each_answer_is_one_line_without_secrets(tmp_path: Path, form: str) -> None:
    with running(tmp_path, {"IMSG_LOG_FORMAT": form, "IMSG_LOG_LEVEL": "INFO"}) as deployment:
        token = deployment.token()
        wanted = {"token": token, "name": "library system", "kind": "live", "scopes": ["send:smtp", "query"]}
        key = deployment.call("POST", "/api/v2/keys", wanted)["key"]
        sent = [deployment.client.post(path, json=MAIL | {"token": key}) for path in ("/api/send", "/api/v2/messages")]
        ids = [sent[0].headers["x-imsg-id"], sent[1].json()["id"]]
        for query in (f"token={quote(key)}&to=wang.wu", f"token={quote(key)}&no_such=1"):
            deployment.client.get(f"/api/v2/messages?{query}")
        deployment.client.get(f"/api/v2/messages?token={quote(token)}0")
        deployment.client.get(f"/api/v2/no/such?password={SECRET}")

        def find(*words: str) -> list[str]:
            lines = [line for line in deployment.logs.splitlines() if "answered" in line]
            return [line for line in lines if all(word in line for word in words)]

        def list_deliveries(request: str) -> list[str]:
            return [line for line in deployment.logs.splitlines() if request in line and "delivered" in line]

        wait(lambda: bool(find("unknown")), 60, why=lambda: deployment.logs)
        for request in ids:
            deployment.wait_settled(request)
        for request in ids:
            wait(lambda r=request: bool(list_deliveries(r)), 60, why=lambda: deployment.logs)  # type: ignore[misc]
            (line,) = find(request)
            assert "library system" in line
            assert "admin" in line
            assert len(list_deliveries(request)) == 1
        if form == "json":
            first = json.loads(find(ids[1])[0])
            assert first.keys() >= FIELDS
            assert (first["user"], first["key"], first["route"]) == ("admin", "library system", "/api/v2/messages")
            assert (first["status"], first["code"], first["address"]) == (202, "0", "127.0.0.1")
        by_key = find("library system", "GET")
        assert [("10017" in line, "400" in line) for line in by_key] == [(False, False), (True, True)]
        assert len(find("10005", "401")) == 1
        everything = "\n".join(find())
        for secret in (key, token, SECRET, "wang.wu", "no_such", "no/such"):
            assert secret not in everything
