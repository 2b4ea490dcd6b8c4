"""The inbox over HTTP: filters, its bound, and who may look."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_runtime.responses import Answer, ok, refuse_with
from imsg_testing.sandbox import mail, open_sandbox


async def test_filters_find_by_method_and_recipient() -> None:
    async with open_sandbox() as sandbox:
        for name in ("zhang", "li", "zhang"):
            await sandbox.send(mail(to=f"{name}@example.com"))

        assert len(await sandbox.inbox(to="ZHANG@example.com")) == 2
        assert len(await sandbox.inbox(method="smtp", to="li@example.com")) == 1
        assert await sandbox.inbox(method="sms") == []
        assert [message["to"] for message in await sandbox.inbox(limit="1")] == ["zhang@example.com"]


async def test_large_mails_come_in_pieces_whole_or_cut() -> None:
    """What is shown of a hundred megabytes at once would hold up the loop for seconds."""
    async with open_sandbox() as sandbox:
        files = {"a.bin": b"x" * 3_000_000}
        for name in ("zhang", "li", "wang"):
            await sandbox.send(mail(to=f"{name}@example.com", files=files))
        answer = await sandbox.client.get("/sandbox/inbox")
        assert answer.headers["cache-control"] == "no-store"
        assert "content-length" not in answer.headers, "written message by message"
        found = await sandbox.inbox()
        assert [one["to"] for one in found] == ["zhang@example.com", "li@example.com", "wang@example.com"]
        assert all(len(one["raw"]) > 4_000_000 for one in found)
        cut = await sandbox.inbox(most="1000")
        assert [len(one["raw"]) for one in cut] == [1000] * 3
        assert [one["attachments"] for one in cut] == [one["attachments"] for one in found]


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
        answer = Answer(me) if me else refuse_with(Refusal("token_invalid"), "en")
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


async def test_a_gateway_that_is_away_lets_nobody_in() -> None:
    async with open_sandbox(host="0.0.0.0") as sandbox:
        answer = await sandbox.client.get("/sandbox/inbox", params={"token": "a"})

        assert (answer.status_code, answer.json()["errorCode"]) == (503, 10012)
