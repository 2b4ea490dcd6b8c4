"""The library against a running iMSG: every operation that needs no administrator, in both colours."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import imsg_client
from imsg_client import AsyncClient, Attachment, Client, ImsgError, LimitReached, Refused, callbacks
from imsg_client.calls import NewMember
from imsg_client.contents import template
from imsg_client.errors import Conflict, ConnectionFailed, NotSettled, Unauthenticated, UnexpectedAnswer
from imsg_testing.deployment import Deployment
from imsg_testing.receiver import receiving
from imsg_testing.stacks import CALLING
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group(CALLING)

PASSWORD = "correct horse 9"
EXAMPLES = sorted(Path(__file__).parents[1].glob("examples/*.py"))


@pytest.fixture
def stack(calling_stack: Deployment) -> Deployment:
    """`imsg up`, started once."""
    return calling_stack


@pytest.fixture
def user(stack: Deployment) -> str:
    return stack.new_user(password=PASSWORD, per_hour=1_000, per_day=1_000)


@pytest.fixture
def imsg(stack: Deployment, user: str) -> Iterator[Client]:
    with Client(stack.url, user, PASSWORD, language="en") as client:
        yield client


@pytest.fixture
async def waiting(stack: Deployment, user: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(stack.url, user, PASSWORD) as client:
        yield client


def test_a_mail_with_a_file_arrives_and_every_look_at_it_agrees(
    stack: Deployment, imsg: Client, tmp_path: Path
) -> None:
    (tmp_path / "会议 纪要.txt").write_text("您好", encoding="utf-8")
    file = Attachment.read(tmp_path / "会议 纪要.txt")
    sent = imsg.send_mail(
        ["a@example.com", "b@example.com"], "纪要 – minutes", "您好", attachments=[file], reference="r-1"
    )
    assert sent.count == 2

    request = imsg.wait_until_settled(sent.id)

    assert (request.counts.sent, request.counts.open, request.reference) == (2, 0, "r-1")
    mail = stack.wait_arrived(to="a@example.com", subject="纪要 – minutes")
    assert [attachment["filename"] for attachment in mail["attachments"]] == ["会议 纪要.txt"]
    listed = list(imsg.messages(reference="r-1", status=["sent", "delivered"], page_size=1))
    assert {message.to for message in listed} == {"a@example.com", "b@example.com"}
    assert all(request.is_settled for request in listed)
    message = imsg.message(f"{sent.id}-0")
    assert message is not None
    assert [entry.status for entry in message.timeline][-1] == "sent"
    assert [request.id for request in imsg.requests(reference="r-1")] == [sent.id]
    assert imsg.message("0" * 32 + "-0") is None
    day = timedelta(days=1)
    stats = imsg.stats(since=datetime.now(UTC) - day, until=datetime.now(UTC) + day, bucket="hour")
    assert stats.bucket == "hour"


async def test_the_asynchronous_one_does_the_same(waiting: AsyncClient) -> None:
    sends = [waiting.send_sms("13800138000", f"第 {n} 条", reference="s-1") for n in range(5)]
    accepted = await asyncio.gather(*sends)
    assert all(message.segments == 1 for message in accepted)
    for message in accepted:
        assert (await waiting.wait_until_settled(message.id)).is_settled
    assert len([message async for message in waiting.messages(reference="s-1", page_size=2)]) == 5
    assert len([request async for request in waiting.requests(reference="s-1", page_size=2)]) == 5
    assert (await waiting.me()).left_hour == 995
    assert {channel.method for channel in await waiting.channels()} >= {"smtp", "sms", "wechat"}
    assert [template async for template in waiting.templates() if template.default]


def test_a_check_lists_who_cannot_be_reached_and_counts_nothing(imsg: Client) -> None:
    check = imsg.check("sms", ["13800138000", "13800138000", "nobody"], "hi")
    assert (check.count, check.duplicates, check.problems_total) == (1, 1, 1)
    assert check.problems[0].to == "nobody"
    assert imsg.me().left_hour == 1_000


def test_a_refusal_names_what_is_wrong_in_the_language_asked_for(imsg: Client) -> None:
    with pytest.raises(Refused) as caught:
        imsg.send_mail("nobody at all", "x", "y")
    assert (caught.value.code, caught.value.status, caught.value.reason) == (10011, 400, "recipients_invalid")
    assert "nobody at all" in caught.value.detail
    assert "no such user" in caught.value.detail
    with pytest.raises(Refused):
        imsg.send_wechat("7K3-M9Q-2XH", template("no such template", {"a": "b"}))


def test_a_used_up_limit_reports_when_it_opens(stack: Deployment) -> None:
    with Client(stack.url, stack.new_user(password=PASSWORD, per_hour=1, per_day=9), PASSWORD, patience_s=20) as imsg:
        imsg.send_mail("a@example.com", "x", "y")
        with pytest.raises(LimitReached) as caught:
            imsg.send_mail("a@example.com", "x", "y")
        assert caught.value.retry_after_s is not None
        assert 0 < caught.value.retry_after_s <= 3_600


def test_the_same_key_sends_once_and_another_body_under_it_is_refused(imsg: Client) -> None:
    first = imsg.send_mail("a@example.com", "x", "y", idempotency_key="invoice-42")
    assert imsg.send_mail("a@example.com", "x", "y", idempotency_key="invoice-42") == first
    with pytest.raises(Conflict):
        imsg.send_mail("a@example.com", "x", "z", idempotency_key="invoice-42")


def test_what_failed_is_resent_once(imsg: Client) -> None:
    sent = imsg.send_mail(["bounce@example.com", "a@example.com"], "x", "y")
    assert imsg.wait_until_settled(sent.id).counts.failed == 1
    again = imsg.resend(sent.id)
    assert again.count == 1
    with pytest.raises(Conflict):
        imsg.resend(sent.id)
    assert imsg.resend(sent.id, again=True).count == 1


def test_an_ended_token_is_replaced_and_a_changed_password_goes_on(stack: Deployment, imsg: Client, user: str) -> None:
    imsg.me()
    with Client(stack.url, user, PASSWORD) as other:
        other.change_password(PASSWORD, PASSWORD + "0")
        assert other.me().username == user
        other.logout(everywhere=True)
        assert other.me().username == user
    with pytest.raises(Unauthenticated):
        imsg.me()  # its password is the old one


def test_a_key_serves_until_it_is_ended(stack: Deployment, user: str) -> None:
    asked = {"token": stack.token(user, PASSWORD), "name": "program", "kind": "live", "scopes": ["send:smtp"]}
    made = stack.call("POST", "/api/v2/keys", asked)
    with Client(stack.url, key=made["key"]) as imsg:
        assert imsg.send("smtp", "li@example.com", {"subject": "hello", "text": "您好"}).count == 1
        stack.call("DELETE", f"/api/v2/keys/{made['id']}", {"token": asked["token"]})
        with pytest.raises(Unauthenticated):
            imsg.me()


def test_a_key_is_made_changed_rotated_and_ended(stack: Deployment, imsg: Client) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    made = imsg.add_key("program", ["query"], networks=["127.0.0.0/8"], expires_at=end)
    other = imsg.add_key("other", ["query"])
    assert [key.id for key in imsg.keys(page_size=1)] == [made.id, other.id]
    changed = imsg.change_key(made.id, name="library", networks=None, expires_at=None)
    assert (changed.name, changed.scopes, changed.networks, changed.expires_at) == ("library", ("query",), (), None)
    assert changed.hint.endswith(made.key[-4:])
    newer = imsg.rotate_key(made.id, old_valid_s=0)
    with Client(stack.url, key=newer.key) as program, Client(stack.url, key=made.key) as old:
        assert program.me().id
        with pytest.raises(Unauthenticated):
            old.me()
        imsg.end_key(newer.id)
        with pytest.raises(Unauthenticated):
            program.me()


def test_a_key_found_in_public_is_revoked_by_its_finder(stack: Deployment, imsg: Client) -> None:
    made = imsg.add_key("program", ["query"])
    with Client(stack.url, "nobody", "wrong") as finder, Client(stack.url, key=made.key) as program:
        assert program.me().id
        finder.report_leak(made.key)
        with pytest.raises(Unauthenticated):
            program.me()


def test_a_token_alone_serves_until_it_ends(stack: Deployment, user: str) -> None:
    with Client(stack.url, token=stack.token(user, PASSWORD)) as imsg:
        assert imsg.me().username == user
        imsg.logout()
    with Client(stack.url, token="none") as imsg, pytest.raises(Unauthenticated):
        imsg.me()
    with pytest.raises(ValueError, match="password"):
        Client(stack.url, user)


def test_a_wrong_password_is_reported_and_not_retried(stack: Deployment, user: str) -> None:
    with Client(stack.url, user, "wrong") as imsg, pytest.raises(Unauthenticated) as caught:
        imsg.me()
    assert caught.value.code == 10007


class Flaky(httpx.BaseTransport):
    """A transport that breaks as ordered: before a call, or by the loss of its answer."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.keys: list[str] = []
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or break."""
        fault = self.faults.pop(0) if self.faults and request.url.path.endswith("/messages") else ""
        if fault == "unreachable":
            raise httpx.ConnectError("refused", request=request)
        if fault == "proxy":
            return httpx.Response(502, html="<h1>Bad Gateway</h1>", request=request)
        if request.url.path.endswith("/messages"):
            self.keys.append(request.headers["Idempotency-Key"])
        answer = self._inner.handle_request(request)
        if fault == "lost":
            answer.read()
            raise httpx.RemoteProtocolError("the answer was lost", request=request)
        return answer

    def close(self) -> None:
        """Close the real way."""
        self._inner.close()


def test_a_send_whose_answer_is_lost_is_repeated_under_its_key_and_sent_once(stack: Deployment, user: str) -> None:
    way = Flaky("unreachable", "lost", "proxy", "lost")
    with Client(stack.url, user, PASSWORD, transport=way) as imsg:
        sent = imsg.send_mail("a@example.com", "once", "y", reference="once")
        assert way.faults == []
        assert len(set(way.keys)) == 1
        wait(lambda: [request.id for request in imsg.requests(reference="once")] == [sent.id])
        assert imsg.me().left_hour == 999


def test_an_unreachable_server_and_one_that_is_not_imsg_are_distinguished(stack: Deployment) -> None:
    with Client("http://127.0.0.1:9", "a", "b", patience_s=0.5) as imsg, pytest.raises(ConnectionFailed, match="login"):
        imsg.me()
    with Client(stack.url + "/docs", "a", "b", patience_s=0.5) as imsg, pytest.raises(ImsgError):
        imsg.me()

    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html="<h1>Log in to the Wi-Fi</h1>", request=request)

    with (
        Client("http://x", "a", "b", transport=httpx.MockTransport(page)) as imsg,
        pytest.raises(UnexpectedAnswer, match="text/html"),
    ):
        imsg.me()


def test_a_request_not_settled_in_time_reports_what_is_open(stack: Deployment, imsg: Client) -> None:
    stack.order("greylist", times=None, method="smtp")  # whichever mail comes next
    sent = imsg.send_mail("a@example.com", "x", "y")
    with pytest.raises(NotSettled, match="1 of its messages"):
        imsg.wait_until_settled(sent.id, timeout_s=2)
    stack.call("DELETE", "/sandbox/faults")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_stands(stack: Deployment, user: str, example: Path, tmp_path: Path) -> None:
    (tmp_path / "客户.csv").write_text("姓名,手机号\n张三,13800138000\n李四,15912341256\n", encoding="utf-8")
    (tmp_path / "纪要.txt").write_text("会议纪要\n", encoding="utf-8")
    done = subprocess.run(  # noqa: S603  ours
        [sys.executable, str(example)],
        cwd=tmp_path,
        env={"IMSG_URL": stack.url, "IMSG_USERNAME": user, "IMSG_PASSWORD": PASSWORD, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sent" in done.stdout or "delivered" in done.stdout or "已发" in done.stdout


def test_events_are_read_on_from_where_one_stopped(imsg: Client) -> None:
    reading = imsg.events(wait_s=20)
    first = imsg.add_callback("https://callbacks.example.com/", ["message.sent"])  # from here on there are events
    sent = imsg.send_mail("c@example.com", "您好", "您好")

    event = next(reading)

    assert (event.type, event.data["request"]) == ("message.sent", sent.id)
    again = imsg.send_mail("d@example.com", "您好", "您好")
    following = next(event for event in reading if event.data["request"] == again.id)
    told = next(event for event in imsg.events(following.cursor, wait_s=20))
    assert told.data["request"] in (sent.id, again.id)
    with pytest.raises(Refused):
        next(imsg.events("made up"))
    imsg.remove_callback(first.id)


async def test_events_are_read_by_the_other_colour_too(waiting: AsyncClient) -> None:
    await waiting.add_callback("https://callbacks.example.com/", ["message.sent"])
    sent = await waiting.send_mail("c@example.com", "您好", "您好")
    async for event in waiting.events(wait_s=20):
        assert event.data["request"] == sent.id
        break


def test_a_callback_is_added_tried_read_and_removed(imsg: Client) -> None:
    with receiving() as receiver:
        made = imsg.add_callback(receiver.url(), ["message.sent"], methods=["smtp"], description="订单系统")
        sent = imsg.send_mail("c@example.com", "您好", "您好")
        wait(lambda: bool(receiver.calls))
        call = receiver.calls[0]
        event = callbacks.verify(call.body, call.headers, made.secret)
        assert event.data["request"] == sent.id
        assert imsg.test_callback(made.id).delivered
        newer = imsg.rotate_callback(made.id)
        assert callbacks.verify(call.body, call.headers, [newer, made.secret]) == event
        wait(lambda: next(imsg.deliveries(made.id)).state == "delivered")
        imsg.resend_delivery(made.id, event.id)
        wait(lambda: receiver.ids()[event.id] >= 2)
        imsg.recover_callback(made.id, datetime.now(UTC) - timedelta(hours=1))
        changed = imsg.change_callback(made.id, enabled=False, methods=None)
        assert (changed.state, changed.methods) == ("disabled", None)
        assert [callback.id for callback in imsg.callbacks()] == [made.id]
        imsg.remove_callback(made.id)
        assert imsg.callbacks() == ()


def test_what_people_write_back_is_listed(stack: Deployment, imsg: Client) -> None:
    sent = imsg.send_sms("13812349876", "明天 9 点停水。")
    imsg.wait_until_settled(sent.id)
    stack.call("POST", "/sandbox/sms/replies", {"from": "13812349876", "text": "收到"})
    wait(lambda: any(True for _ in imsg.replies(id=sent.id)), 60)
    (reply,) = imsg.replies(id=f"{sent.id}-0", page_size=1)
    assert (reply.text, reply.sender, reply.message, reply.opt_out) == ("收到", "13812349876", f"{sent.id}-0", False)
    assert [reply.id for reply in imsg.replies(sender="13812349876", method="sms")] == [reply.id]


def test_a_group_is_made_filled_read_and_deleted(imsg: Client) -> None:
    group = imsg.add_group("三年级 二班", note="2026")
    added = imsg.add_members(group.name, [{"to": "13711112222", "params": {"姓名": "张三"}}, {"to": "@"}, {"to": "li"}])
    assert (added.added, [problem.row for problem in added.problems]) == (2, [1])
    assert [member.params.get("姓名") for member in imsg.members(group.name, page_size=1)] == ["张三", None]
    assert [member.contacts for member in imsg.members(group.name, find="张三")] == [{"sms": "+8613711112222"}]
    assert imsg.remove_members(group.name, ["li", "wang"]).unknown == ("wang",)
    assert imsg.change_group(group.name, shared=True).members == 1
    (sent,) = imsg.send_to_groups("sms", [group.name], "明天下雨")
    assert (sent.count, sent.without_address) == (1, 0)
    assert group.name in [group.name for group in imsg.groups(page_size=1)]
    imsg.remove_group(group.name)
    with pytest.raises(Refused, match="三年级"):
        imsg.group(group.name)


def test_a_larger_group_is_checked_as_a_whole_before_it_is_sent_to(imsg: Client) -> None:
    sources = {"en": {"smtp": {"subject": "{{ grade }}", "text": "{{ term }}"}}}
    imsg.add_template("grades", category="notice", default_language="en", languages=sources)
    imsg.publish_template("grades")
    group = imsg.add_group("the whole school").name
    people = [NewMember(to=f"pupil{n}@school.example", params={"grade": f"{n}"}) for n in range(10_000)]
    imsg.add_members(group, people)
    imsg.add_members(group, [{"to": "last@school.example"}])

    def send() -> list[int]:
        parts = imsg.send_to_groups("smtp", [group], template="grades", params={"term": "t"}, reference="school")
        return [part.count for part in parts]

    with pytest.raises(Refused, match=r"last@school\.example|grade"):
        send()
    imsg.add_members(group, [{"to": "last@school.example", "params": {"grade": "95"}}])
    assert send() == [10_000, 1]
    wait(
        lambda: [message.subject for message in imsg.messages(reference="school", to="last@school.example")] == ["95"],
        60,
    )
    assert len(list(imsg.requests(reference="school"))) == 2  # of the refused one nothing was sent


def test_a_report_is_begun_followed_and_fetched(imsg: Client, user: str) -> None:
    sent = imsg.send_mail("a@example.com", "x", "y", reference="r-2")
    imsg.wait_until_settled(sent.id)
    since, until = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    usage = imsg.begin_report("usage", since, until, by=["user"], method="smtp")
    sheet = imsg.begin_report("messages", since, until, format="csv", reference="r-2")
    wait(lambda: all(imsg.report(path).state == "done" for path in (usage, sheet)), 60)

    assert {row["user"] for row in json.loads(imsg.report_file(usage))["rows"]} <= {user}
    assert "a@example.com" in imsg.report_file(sheet).decode("utf-8-sig")

    assert (imsg.report(usage).by, imsg.report(usage).filters) == (("user",), {"method": "smtp"})
    assert {report.id for report in imsg.reports(page_size=1)} == {usage, sheet}
    with pytest.raises(Refused):
        imsg.report_file("none")


def test_a_template_is_added_previewed_published_and_deleted(imsg: Client) -> None:
    sources = {"zh": {"smtp": {"subject": "{{ name }}，您好", "text": "第 {{ n }} 号"}}}
    imsg.add_template("library", category="notice", default_language="zh", languages=sources)
    preview = imsg.preview_template("library", "smtp", {"name": "张三", "n": "7"})
    assert preview.content == {"subject": "张三，您好", "text": "第 7 号"}
    assert imsg.publish_template("library").published == 1
    person = {"to": "li@example.com", "params": {"name": "李四"}}
    accepted = imsg.send("smtp", [person], template="library", params={"n": "8"})
    assert imsg.wait_until_settled(accepted.id).counts.open == 0
    (message,) = imsg.messages(id=accepted.id)
    assert message.subject == "李四，您好"
    assert imsg.change_template("library", category="marketing").version == 2
    assert [template_version.state for template_version in imsg.template_versions("library")] == ["draft", "published"]
    assert imsg.template("library", version=1).category == "notice"
    assert [template.name for template in imsg.templates() if template.source == "catalog"] == ["library"]
    imsg.delete_template("library")
    assert [template.name for template in imsg.templates() if template.source == "catalog"] == []


def test_what_waits_is_cancelled_by_its_id_its_message_or_its_reference(imsg: Client) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    people = ["later-0@example.com", "later-1@example.com"]
    first, second = (
        imsg.send_mail(people, "wrong", "您好", send_at=later, reference="the wrong mail") for _ in range(2)
    )
    assert imsg.cancel_message(f"{first.id}-0").cancelled == 1
    assert imsg.cancel_request(first.id).cancelled == 1
    wait(lambda: len(list(imsg.requests(reference="the wrong mail"))) == 2)  # history has them a moment later
    assert imsg.cancel_requests(reference="the wrong mail").cancelled == 3
    assert imsg.wait_until_settled(second.id).counts.cancelled == 2


def test_a_scheduled_request_is_moved_and_sent_at_its_time(imsg: Client) -> None:
    with pytest.raises(ValueError, match="time zone"):
        imsg.send_mail("later@example.com", "later", send_at=datetime(2026, 12, 1))  # noqa: DTZ001  what is refused
    due = datetime.now(UTC) + timedelta(days=1)
    accepted = imsg.send_mail("later@example.com", "later", "您好", send_at=due)
    assert accepted.due_at is not None
    assert abs(accepted.due_at - due) < timedelta(seconds=1)

    imsg.move_request(accepted.id, datetime.now(UTC) + timedelta(seconds=1))

    assert imsg.wait_until_settled(accepted.id).counts.sent == 1
    with pytest.raises(Conflict):
        imsg.move_request(accepted.id, due)


def test_every_operation_that_needs_no_administrator_is_there(stack: Deployment, user: str) -> None:
    """Those of the server's own document that a user is not kept from for being none."""
    token = stack.token(user, PASSWORD)
    document = httpx.get(f"{stack.url}/openapi.json", timeout=30).json()
    wanted = set()
    for path, operations in document["paths"].items():
        if path.startswith("/api/v2/"):
            for verb in operations:
                if verb == "post" and path.endswith("/logout"):
                    wanted.add(("POST", "/logout"))  # else the token ends
                    continue
                answer = stack.call(verb.upper(), re.sub(r"{\w+}", "x", path), {"token": token})
                if answer.get("reason") != "no_right":
                    wanted.add((verb.upper(), re.sub(r"{\w+}", "{}", path.removeprefix("/api/v2"))))
    source = (Path(imsg_client.__file__).parent / "_async" / "client.py").read_text(encoding="utf-8")
    called = re.findall(r'Call\(\s*"([A-Z]+)", f?"(/[^"]+)"', source)
    called += [("GET", path) for path in re.findall(r'_(?:get|page)\(\s*f?"(/[^"]+)"', source)]
    called += [("POST", path) for path in re.findall(r'_post\(f?"(/[^"]+)"', source)]
    assert wanted - {(verb, re.sub(r"{\w+}", "{}", path)) for verb, path in called} == set()
    assert len(wanted) > 20
