"""A newcomer's first hour: the lines that `imsg up` prints, a mail, a list, and their results."""

import hashlib
import json
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.command_line import VERB_TIMEOUT_S
from imsg_testing.deployment import Deployment, find_pasted, make_attachment, paste
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

ROOT = Path(__file__).parents[2]


def test_the_offered_lines_send_a_first_message_as_pasted(deployment: Deployment) -> None:
    lines = find_pasted(deployment.logs)
    assert "Bearer $KEY" in lines

    sent, arrived = paste(lines)

    assert (sent["errorCode"], sent["count"]) == (0, 1)
    assert arrived["messages"][0]["text"] == "您好"


def test_the_offered_page_is_where_real_providers_are_set_up(deployment: Deployment) -> None:
    (url,) = re.findall(r"providers +set up at (\S+),", deployment.logs)

    assert url == f"{deployment.url}/providers"
    assert httpx.get(url, follow_redirects=True, timeout=VERB_TIMEOUT_S).is_success


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_lines_of_the_readme_send_by_a_key(deployment: Deployment, page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```sh\n(TOKEN=.*?)^```", text, re.DOTALL | re.MULTILINE)
    host = deployment.url.removeprefix("http://")

    reader = json.dumps({"username": deployment.new_user(), "password": PASSWORD}, ensure_ascii=False)
    lines = lines.replace('{"username":"admin","password":"123"}', reader)  # who has no other messages
    sent, shown, _ = paste(lines.replace("localhost:8000", host))

    (message,) = shown["messages"]
    assert (message["id"], message["key"]) == (f"{sent['id']}-0", "my program")


def test_an_attachment_arrives_byte_for_byte_under_its_chinese_name(deployment: Deployment) -> None:
    content = bytes(range(256)) * 4_096
    name = "会议纪要（第二稿）.pdf"

    to = f"{secrets.token_hex(4)}@example.com"
    answer = deployment.send(to, attachment=make_attachment(name, content), subject="开会通知", text="下午两点半")

    assert answer["errorCode"] == 0
    (message,) = deployment.wait_settled(answer["id"])
    assert message["status"] == "sent"
    assert message["provider"] == "smtp"
    (mail,) = deployment.inbox(to=to)
    assert (mail["subject"], mail["text"]) == ("开会通知", "下午两点半")
    digest = hashlib.sha256(content).hexdigest()
    (attachment,) = mail["attachments"]
    assert (attachment["filename"], attachment["size"], attachment["sha256"]) == (name, len(content), digest)
    assert [file["filename"] for file in message["attachments"]] == [name]


def test_the_documented_account_sends_too(deployment: Deployment) -> None:
    token = deployment.token("天存-system-1001", "123456")
    body = {"token": token, "to": "wang@example.com", "method": "smtp", "content": {"subject": "hello", "text": "您好"}}

    answer = deployment.call("POST", "/api/send", body)

    assert answer["errorCode"] == 0
    (message,) = deployment.wait_settled(answer["id"])
    assert message["username"] == "天存-system-1001"


def test_a_list_is_one_mail_each_without_the_other_recipients(deployment: Deployment) -> None:
    domain = f"{secrets.token_hex(4)}.example.com"
    everybody = [f"reader{number}@{domain}" for number in range(120)]

    answer = deployment.send([*everybody, f"reader0@{domain.upper()}"])

    assert answer["count"] == 120
    messages = deployment.wait_settled(answer["id"], 120)
    assert {message["status"] for message in messages} == {"sent"}
    mails = [mail for mail in deployment.inbox() if mail["to"].endswith(domain)]
    assert sorted(mail["to"] for mail in mails) == sorted(everybody)
    assert len({mail["message_id"] for mail in mails}) == 120
    named = [set(re.findall(rf"reader\d+@{re.escape(domain)}", mail["raw"])) for mail in mails]
    assert named == [{mail["to"]} for mail in mails]


def test_a_bounce_fails_with_the_servers_own_words_and_harms_no_neighbour(deployment: Deployment) -> None:
    answer = deployment.send(["bounce@example.com", "fine@example.com"])

    by_address = {message["to"]: message for message in deployment.wait_settled(answer["id"], 2)}

    assert by_address["fine@example.com"]["status"] == "sent"
    bounced = by_address["bounce@example.com"]
    assert (bounced["status"], bounced["attempts"]) == ("failed", 1)
    assert "User unknown" in bounced["error"]["detail"]


def test_what_could_not_be_delivered_at_once_is_tried_again(deployment: Deployment) -> None:
    answer = deployment.send(["away@example.com", "unsure@example.com"])

    by_address = {message["to"]: message for message in deployment.wait_settled(answer["id"], 2, within_s=80)}

    assert {message["status"] for message in by_address.values()} == {"sent"}
    assert {message["attempts"] for message in by_address.values()} == {2}
    assert len(deployment.inbox(to="away@example.com")) == 1
    repeated = deployment.inbox(to="unsure@example.com")
    assert len(repeated) == 2, "kept before the connection was cut, and kept again"
    assert len({mail["message_id"] for mail in repeated}) == 1


def test_the_command_line_does_the_same(deployment: Deployment, tmp_path: Path) -> None:
    report = tmp_path / "报告.txt"
    report.write_text("一切正常", encoding="utf-8")
    people = tmp_path / "people.txt"
    to = f"{secrets.token_hex(4)}@example.com"
    people.write_text(f"{to}\n# 备注\nzhao@example.com\n", encoding="utf-8")

    assert _imsg(deployment, ["login", "admin", "--password", "-"], "123\n")[0] == 0
    assert stat.S_IMODE((deployment.folder / "config" / "imsg" / "tokens.json").stat().st_mode) == 0o600
    send = ["send", "--subject", "周报", "--text", "-", "--attach", str(report), "--to-file", str(people), "--json"]
    code, out, err = _imsg(deployment, send, "本周完成")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["count"] == 2
    deployment.wait_settled(answer["id"], 2)
    assert deployment.inbox(to=to)[0]["text"] == "本周完成"
    assert deployment.inbox(to=to)[0]["attachments"][0]["filename"] == "报告.txt"

    code, out, err = _imsg(deployment, ["query", "--id", answer["id"]])
    assert code == 0, err
    assert to in out
    assert "sent" in out

    refused = str(deployment.send("bounce@example.com", subject="周报")["id"])
    deployment.wait_settled(refused)
    code, out, err = _imsg(deployment, ["resend", refused, "--json"])
    assert code == 0, err
    (again,) = json.loads(out)["requests"]
    assert deployment.wait_settled(again["id"])[0]["to"] == "bounce@example.com"
    assert _imsg(deployment, ["resend", answer["id"]])[0] == 1  # nothing of it failed

    code, out, err = _imsg(deployment, ["send", "not an address", "--subject", "x", "--text", "y"])
    assert code == 1
    assert "10011" in err

    assert _imsg(deployment, ["send", "a@example.com"])[0] == 2
    assert _imsg(deployment, ["query", "--url", "http://127.0.0.1:9"])[0] == 3


def test_users_are_made_changed_and_given_a_new_password_on_the_server(deployment: Deployment) -> None:
    assert _imsg(deployment, ["login", "admin", "--password", "123"])[0] == 0
    create = ["users", "create", "老王", "--password", "-", "--email", "wang.lao@example.com", "--per-hour", "1"]
    code, _, err = _imsg(deployment, create, "geheim-pferd-1\n")
    assert code == 0, err
    assert _imsg(deployment, ["users", "set", "老王", "--per-day", "9", "--per-hour", "3"])[0] == 0
    code, out, _ = _imsg(deployment, ["users", "--json"])
    assert code == 0
    made = next(user for user in json.loads(out)["users"] if user["username"] == "老王")
    assert (made["per_hour"], made["per_day"]) == (3, 9)
    assert _imsg(deployment, ["users", "set", "老王", "--email", ""])[0] == 0
    assert deployment.call("GET", "/api/v2/users/老王", token=deployment.token())["email"] is None

    code, _, err = _imsg(deployment, ["users", "reset-password", "老王", "--password", "geheim-pferd-2"])
    assert code == 0, err
    assert (
        deployment.call("POST", "/api/login", {"username": "老王", "password": "geheim-pferd-1"})["errorCode"] == 10007
    )
    assert deployment.call("POST", "/api/login", {"username": "老王", "password": "geheim-pferd-2"})["errorCode"] == 0
    assert _imsg(deployment, ["users", "delete", "老王", "--yes"])[0] == 0


def test_the_doctor_finds_all_well_and_shows_no_secret(deployment: Deployment) -> None:
    said = ""

    def is_well() -> bool:
        """Ready or not, by what tests did before."""
        nonlocal said
        code, said, err = _imsg(deployment, ["doctor"])
        assert err == ""
        return code == 0

    wait(is_well, 60, 1, why=lambda: said)
    assert "IMSG_SMTP__HOST" in said
    assert "environment" in said
    assert "noeviction" in said
    for secret in (deployment.data / "secrets").iterdir():
        assert secret.read_text() not in said


def _imsg(deployment: Deployment, arguments: Sequence[str], given: str = "") -> tuple[int, str, str]:
    done = deployment.run(*arguments, given=given, COLUMNS="300")
    return done.returncode, done.stdout, done.stderr
