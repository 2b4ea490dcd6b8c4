"""The inbox over HTTP: filters, its bound, and who may look."""

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_sandbox.inbox import SHORT_CHARACTERS
from imsg_testing.sandbox import mail, open_sandbox
from imsg_web.responses import ApiResponse, ok, refuse_with


async def test_filters_find_by_method_and_recipient() -> None:
    async with open_sandbox() as sandbox:
        for name in ("zhang", "li", "zhang"):
            await sandbox.send(mail(to=f"{name}@example.com"))

        assert len(await sandbox.inbox(to="ZHANG@example.com")) == 2
        assert len(await sandbox.inbox(method="smtp", to="li@example.com")) == 1
        assert await sandbox.inbox(method="sms") == []
        assert [message["to"] for message in await sandbox.list_heads(limit="1")] == ["zhang@example.com"]


async def test_a_list_answers_heads_and_each_message_its_whole_and_its_files() -> None:
    """What is shown of a hundred megabytes at once would be as many, and hold up the loop for seconds."""
    async with open_sandbox() as sandbox:
        files = {"附件.bin": b"x" * 3_000_000, "b.txt": b"second"}
        for name in ("zhang", "li", "wang"):
            await sandbox.send(mail(to=f"{name}@example.com", text="您好" * 3_000, files=files))
        answer = await sandbox.client.get("/sandbox/inbox")
        heads = answer.json()["messages"]

        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.content) < 100_000
        assert [head["to"] for head in heads] == ["zhang@example.com", "li@example.com", "wang@example.com"]
        assert {(head["is_whole"], head["html"], head["raw"]) for head in heads} == {(False, None, None)}
        assert {head["text"] for head in heads} == {("您好" * 3_000)[:SHORT_CHARACTERS]}
        assert all(head["size"] > 4_000_000 for head in heads)

        whole, cut = await sandbox.get(heads[1]["url"]), await sandbox.get(heads[1]["url"], most="1000")
        assert (whole["to"], whole["text"]) == ("li@example.com", "您好" * 3_000)
        assert len(whole["raw"]) == heads[1]["size"]
        assert (len(cut["raw"]), len(cut["text"])) == (1_000, 1_000)
        assert whole["attachments"] == cut["attachments"] == heads[1]["attachments"]
        for n, content in enumerate(files.values()):
            download = await sandbox.client.get(f"{whole['url']}/attachments/{n}")
            assert download.content == content
            assert download.headers["content-type"] == "application/octet-stream"
            assert download.headers["content-disposition"].startswith("attachment;")


async def test_a_short_message_stands_whole_in_the_list() -> None:
    async with open_sandbox() as sandbox:
        await sandbox.send(mail(text="您好"))
        (head,) = await sandbox.list_heads()
        assert (head["is_whole"], head["text"]) == (True, "您好")
        whole = await sandbox.get(head["url"])
        assert {name: whole[name] for name in head} == head


@pytest.mark.parametrize("limit", ["1", "3", "500"])
async def test_pages_lead_from_the_newest_to_the_oldest(limit: str) -> None:
    async with open_sandbox() as sandbox:
        for number in range(7):
            await sandbox.send(mail(to=f"{number}@example.com"))
        found: list[str] = []
        asked = {"limit": limit}
        while True:
            page = await sandbox.get("/sandbox/inbox", **asked)
            assert len(page["messages"]) <= int(limit)
            found = [*(message["to"][0] for message in page["messages"]), *found]
            if page["next"] is None:
                break
            asked["cursor"] = page["next"]
        assert found == list("0123456")


async def test_a_page_ends_where_it_grows_long() -> None:
    async with open_sandbox() as sandbox:
        long = mail(text="x" * 3_500, files={f"{n}-{'n' * 200}.txt": b"x" for n in range(30)})
        for _ in range(200):
            await sandbox.send(long)
        answer = await sandbox.client.get("/sandbox/inbox")
        assert 1_000_000 < len(answer.content) < 1_100_000
        assert answer.json()["next"] is not None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sandbox/inbox/2", 404),
        ("/sandbox/inbox/0", 404),
        ("/sandbox/inbox/-1", 404),
        ("/sandbox/inbox/x", 400),
        ("/sandbox/inbox/1/attachments/0", 404),
        ("/sandbox/inbox/1/attachments/-1", 404),
        ("/sandbox/inbox?cursor=x", 400),
        ("/sandbox/inbox?cursor=0", 400),
        ("/sandbox/inbox?limit=501", 400),
        ("/sandbox/inbox?limit=0", 400),
    ],
)
async def test_a_path_that_does_not_exist_returns_its_reason(path: str, status: int) -> None:
    async with open_sandbox() as sandbox:
        await sandbox.send(mail())
        answer = await sandbox.client.get(path)
    assert answer.status_code == status
    assert answer.json()["reason"] in ("not_found", "wrong_type", "no_such_url")


async def test_delete_empties_it() -> None:
    async with open_sandbox() as sandbox:
        await sandbox.send(mail())

        answer = await sandbox.client.delete("/sandbox/inbox")

        assert answer.json() == {"errorCode": 0, "errorMessage": "OK", "removed": 1}
        assert await sandbox.inbox() == []


async def test_the_oldest_make_room_when_it_is_full() -> None:
    async with open_sandbox(inbox_bytes=40_000) as sandbox:
        for number in range(5):
            await sandbox.send(mail(to=f"{number}@example.com", text="x" * 9_000))

        assert [message["to"][0] for message in await sandbox.inbox()] == ["2", "3", "4"]


async def test_html_and_text_show_both() -> None:
    async with open_sandbox() as sandbox:
        both = mail(text="您好\n第二行")
        both.add_alternative("<p>您好</p>", subtype="html")
        await sandbox.send(both)

        (arrived,) = await sandbox.inbox()
        assert (arrived["text"], arrived["html"]) == ("您好\n第二行", "<p>您好</p>")


async def test_unknown_paths_answer_in_the_public_shape() -> None:
    async with open_sandbox() as sandbox:
        answer = await sandbox.client.get("/sandbox/nothing")

        assert (answer.status_code, answer.json()["errorCode"]) == (404, 10001)


async def test_off_loopback_only_an_administrator_may_look() -> None:
    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        token = Request(scope).headers.get("authorization", "")
        known = {"Bearer a+b=": "admin", "Bearer c": "user"}
        me = ok(username="x", role=known[token]) if token in known else None
        answer = ApiResponse(me) if me else refuse_with(Refusal("token_invalid"), "en")
        await answer(scope, receive, send)

    async with open_sandbox({"gateway": gateway}, host="0.0.0.0") as sandbox:

        async def code(**asked: str) -> int:
            answer = await sandbox.client.get(
                "/sandbox/inbox", headers=asked if "authorization" in asked else {}, params=asked
            )
            found: int = answer.json()["errorCode"]
            return found

        assert await code() == 10002
        assert await code(authorization="Bearer forged") == 10005
        assert await code(authorization="Bearer c") == 10016
        assert await code(authorization="Bearer a+b=") == 0
        assert await code(token="a b=") == 0


async def test_while_the_gateway_is_away_no_request_is_admitted() -> None:
    async with open_sandbox(host="0.0.0.0") as sandbox:
        answer = await sandbox.client.get("/sandbox/inbox", params={"token": "a"})

        assert (answer.status_code, answer.json()["errorCode"]) == (503, 10012)
