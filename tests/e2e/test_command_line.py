"""The command line: its verbs, how it finds iMSG, and what it asks before it deletes."""

import json
import os
import pty
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter

from imsg_contract.version import VERSION
from imsg_testing.command_line import IMSG, VERB_TIMEOUT_S, Ended, run_imsg
from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

ZONE = ZoneInfo("Asia/Shanghai")
"""The time zone of iMSG, unless settings name another."""

LONG = 520
"""More users than the API lists at once (500)."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run an iMSG whose port is in `.env` alone, as an installation's is."""
    with running(tmp_path_factory.mktemp("command")) as opened:
        opened.open_wide()
        (opened.folder / ".env").write_text(f"IMSG_PORT={opened.port}\nIMSG_DATA_DIR={opened.data}\n")
        done = call(opened, "login", "admin", "--password", "123")
        assert done.returncode == 0, done.stderr
        yield opened


def write_environment(deployment: Deployment) -> dict[str, str]:
    """Return an environment that does not say where the installation is."""
    unsaid = ("IMSG_GATEWAY_URL", "IMSG_PORT", "IMSG_DATA_DIR", "COLUMNS")
    own = {name: value for name, value in deployment.environment.items() if name not in unsaid}
    return {**own, "LANG": "C.UTF-8"}


def call(deployment: Deployment, *words: str) -> Ended:
    """Run a verb in the folder of the installation."""
    return run_imsg(*words, env=write_environment(deployment), cwd=deployment.folder)


def multiply(database: Path, username: str, names: Sequence[str]) -> None:
    """Copy a user's row under other names: through the API each would cost a password's hash."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(users)")]
        fields = {"username": "?", "id": "lower(hex(randomblob(16)))"}
        values = ", ".join(fields.get(column, column) for column in columns)
        connection.executemany(
            f"INSERT INTO users ({', '.join(columns)}) SELECT {values} FROM users WHERE username = ?",  # noqa: S608  ours
            [(name, username) for name in names],
        )


def test_every_verb_finds_imsg_at_the_port_of_the_settings(deployment: Deployment) -> None:
    for words in (["query"], ["users"], ["channels"], ["dead-letters"], ["send", "a@example.com", "--subject", "x"]):
        done = call(deployment, *words, *(["--text", "y"] if words[0] == "send" else []))
        assert done.returncode == 0, (words, done.stderr)
    assert f"ready at {deployment.url}" in call(deployment, "doctor").stdout


def test_a_port_of_the_environment_comes_before_that_of_the_file(deployment: Deployment) -> None:
    env = {**{k: v for k, v in deployment.environment.items() if k != "IMSG_GATEWAY_URL"}, "IMSG_PORT": "1"}
    done = run_imsg("query", env=env, cwd=deployment.folder)
    assert done.returncode == 3
    assert "http://127.0.0.1:1 " in done.stderr
    assert "IMSG_PORT" in done.stderr


def test_a_group_lists_with_and_without_its_verb(deployment: Deployment) -> None:
    bare, spelled = call(deployment, "users", "--json"), call(deployment, "users", "list", "--json")
    assert bare.returncode == spelled.returncode == 0, spelled.stderr
    assert bare.stdout == spelled.stdout

    done = call(deployment, "users", "--json", "list")
    assert (done.returncode, done.stdout) == (2, ""), "an option that would change nothing is not swallowed"
    assert "imsg users list" in done.stderr


def test_users_are_listed_to_the_last(deployment: Deployment) -> None:
    deployment.call(
        "POST", "/api/register", {"username": "u0000", "password": "correct horse"}, token=deployment.token()
    )
    multiply(deployment.data / "auth.db", "u0000", [f"u{n:04}" for n in range(1, LONG)])
    listed = json.loads(call(deployment, "users", "list", "--json").stdout)["users"]
    assert {f"u{n:04}" for n in range(LONG)} <= {user["username"] for user in listed}
    rows = call(deployment, "users", "list").stdout.splitlines()
    assert len(rows) == len(listed) + 1, "behind a pipe a user is a line"


def test_a_key_is_made_changed_rotated_and_ended(deployment: Deployment) -> None:
    made = call(deployment, "keys", "add", "library system", "--scope", "query", "--network", "127.0.0.0/8", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    me = deployment.call("GET", "/api/v2/me", token=key["key"])
    assert (me["key"]["name"], me["key"]["scopes"]) == ("library system", ["query"])

    changed = call(deployment, "keys", "change", key["id"], "--network", "192.0.2.1")
    assert changed.returncode == 0, changed.stderr
    assert deployment.call("GET", "/api/v2/me", token=key["key"])["reason"] == "network_not_allowed"
    lifted = call(deployment, "keys", "change", key["id"], "--network", "any", "--expires", "2099-01-01T00:00:00Z")
    assert lifted.returncode == 0, lifted.stderr
    assert "2099-01-01" in call(deployment, "keys").stdout

    rotated = json.loads(call(deployment, "keys", "rotate", key["id"], "--overlap", "0", "--json").stdout)
    assert deployment.call("GET", "/api/v2/me", token=key["key"])["reason"] == "token_invalid"
    assert deployment.call("GET", "/api/v2/me", token=rotated["key"])["errorCode"] == 0
    unasked = call(deployment, "keys", "end", rotated["id"])
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    assert call(deployment, "keys", "end", rotated["id"], "--yes").returncode == 0
    assert deployment.call("GET", "/api/v2/me", token=rotated["key"])["reason"] == "token_invalid"

    trial = json.loads(call(deployment, "keys", "add", "trial", "--scope", "query", "--test", "--json").stdout)
    assert deployment.call("GET", "/api/v2/me", token=trial["key"])["key"]["kind"] == "test"


def test_a_deletion_needs_a_confirmation(deployment: Deployment) -> None:
    call(deployment, "users", "create", "王小明", "--password", "correct horse")

    done = call(deployment, "users", "delete", "王小明")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert "王小明" in call(deployment, "users").stdout

    for typed, code, is_left in ((b"n\n", 1, True), (b"y\n", 0, False)):
        ours, theirs = pty.openpty()
        os.write(ours, typed)
        command, env = [str(IMSG), "users", "delete", "王小明"], write_environment(deployment)
        deleted = subprocess.run(
            command,
            env=env,
            cwd=deployment.folder,
            stdin=theirs,
            capture_output=True,
            timeout=VERB_TIMEOUT_S,
            check=False,
        )
        os.close(theirs)
        os.close(ours)
        assert deleted.returncode == code, deleted.stderr
        assert ("王小明" in call(deployment, "users").stdout) == is_left

    call(deployment, "users", "create", "李四", "--password", "correct horse")
    assert call(deployment, "users", "delete", "李四", "--yes").stdout == "李四 is deleted.\n"


def test_codes_are_sent_by_who_may(deployment: Deployment) -> None:
    def may() -> bool:
        listed = json.loads(call(deployment, "users", "--json").stdout)["users"]
        return next(bool(user["may_send_codes"]) for user in listed if user["username"] == "coder")

    assert call(deployment, "users", "create", "coder", "--password", "correct horse", "--codes").returncode == 0
    assert may()
    assert call(deployment, "users", "set", "coder", "--no-codes").returncode == 0
    assert not may()
    sending = ("send", "a@example.com", "b@example.com", "--category", "code", "--subject", "s", "--text", "482913")
    done = call(deployment, *sending)
    assert done.returncode == 1
    assert "may_send_codes" in done.stderr
    assert call(deployment, "users", "set", "admin", "--codes").returncode == 0
    done = call(deployment, *sending, "--json")
    assert done.returncode == 0, done.stderr


def test_recipients_a_day_are_set_and_lifted(deployment: Deployment) -> None:
    def limit() -> int | None:
        listed = json.loads(call(deployment, "users", "--json").stdout)["users"]
        found: int | None = next(user["recipients_per_day"] for user in listed if user["username"] == "limited")
        return found

    made = ("users", "create", "limited", "--password", "correct horse", "--recipients-per-day", "2")
    assert call(deployment, *made).returncode == 0
    assert limit() == 2
    shown = json.loads(call(deployment, "users", "show", "limited", "--json").stdout)["quotas"]
    assert ("recipients_per_day", 2, 0) in [(row["id"], row["limit"], row["used"]) for row in shown]
    assert "recipients_per_day" in call(deployment, "users", "show", "limited").stdout
    token = deployment.call("POST", "/api/login", {"username": "limited", "password": "correct horse"})["token"]
    refused = deployment.call(
        "POST",
        "/api/send",
        {"to": [f"r{n}@example.com" for n in range(3)], "method": "smtp", "content": {"subject": "s", "text": "t"}},
        token=token,
    )
    assert refused["errorCode"] == 10013

    assert call(deployment, "users", "set", "limited", "--recipients-per-day", "none").returncode == 0
    assert limit() is None
    done = call(deployment, "users", "set", "limited", "--recipients-per-day", "viele")
    assert (done.returncode, "whole number or none" in done.stderr) == (2, True)
    done = call(deployment, "users", "set", "limited")
    assert (done.returncode, "nothing to change" in done.stderr) == (2, True)


def test_a_token_that_cannot_be_saved_is_one_line(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {**deployment.environment, "XDG_CONFIG_HOME": str(tmp_path / "file")}
    done = run_imsg("login", "admin", "--password", "123", env=env, cwd=tmp_path)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "XDG_CONFIG_HOME" in line


def test_it_prints_its_version(deployment: Deployment) -> None:
    """In a process of its own, as is the deletion that a terminal confirms: the command itself works."""
    assert deployment.run_apart("--version").stdout == f"imsg {VERSION}\n"


def test_without_a_token_it_prints_how_to_get_one(deployment: Deployment, tmp_path: Path) -> None:
    done = deployment.run("query", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "imsg login NAME" in done.stderr


def test_who_is_suppressed_is_passed_by_until_they_are_taken_off_the_list(
    deployment: Deployment, tmp_path: Path
) -> None:
    out, anew = tmp_path / "list.csv", tmp_path / "anew.csv"
    (tmp_path / "plain.txt").write_text("Gone@Example.com\nno address\n", encoding="utf-8")
    read = call(deployment, "suppressions", "import", str(tmp_path / "plain.txt"), "--reason", "hard_bounce")
    assert (read.returncode, read.stdout.splitlines()[0]) == (1, "1 added, 0 already listed.")
    scoped = call(deployment, "suppressions", "add", "smtp", "news@example.com", "--category", "marketing", "--json")
    assert json.loads(scoped.stdout)["added"] == 1, scoped.stderr

    request = deployment.send(["gone@example.com", "news@example.com", "here@example.com"], subject="名单", text="您好")
    settled = {message["to"]: message for message in deployment.wait_settled(request["id"], 3)}
    assert {to: message["status"] for to, message in settled.items()} == {
        "gone@example.com": "failed",
        "news@example.com": "sent",
        "here@example.com": "sent",
    }
    assert settled["gone@example.com"]["error"]["code"] == "suppressed"
    body = {"to": ["gone@example.com", "news@example.com"], "method": "smtp", "category": "marketing"}
    checked = deployment.client.post(
        "/api/v2/messages/check",
        json={"token": deployment.token(), **body, "content": {"subject": "x", "text": "y"}},
    )
    assert checked.json()["suppressed"] == 2, checked.text

    assert call(deployment, "suppressions", "export", str(out)).returncode == 0
    lines = out.read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 3
    listed = json.loads(call(deployment, "suppressions", "--json").stdout)["suppressions"]
    removed = call(deployment, "suppressions", "remove", *[suppression["id"] for suppression in listed], "--yes")
    assert removed.returncode == 0, removed.stderr
    assert "No suppressions." in call(deployment, "suppressions").stdout
    anew.write_text("退订名单（2026 年）,,\n\n" + out.read_text(encoding="utf-8-sig"), encoding="utf-8")
    assert "2 added" in call(deployment, "suppressions", "import", str(anew)).stdout
    again = json.loads(call(deployment, "suppressions", "--json").stdout)["suppressions"]
    assert {suppression["to"]: (suppression["reason"], suppression["scope"]) for suppression in again} == {
        suppression["to"]: (suppression["reason"], suppression["scope"]) for suppression in listed
    }
    call(deployment, "suppressions", "remove", *[suppression["id"] for suppression in again], "--yes")
    assert (
        deployment.wait_settled(deployment.send("gone@example.com", subject="x", text="y")["id"])[0]["status"] == "sent"
    )


def test_a_group_takes_the_people_of_a_sheet_and_names_the_rows_that_it_leaves_out(
    deployment: Deployment, tmp_path: Path
) -> None:
    """What was left out can be corrected in its own file, and imported again."""
    sheet, wrong = tmp_path / "class.xlsx", tmp_path / "wrong.csv"
    rows = (
        ["姓名", "手机", "邮箱"],
        ["张三", "+86 138-0013-8000", "zhang.san@example.com"],
        ["李四", 13711112222],
        ["王五", "1380013800"],
    )
    with xlsxwriter.Workbook(sheet) as book:
        page = book.add_worksheet()
        page.merge_range(0, 0, 0, 2, "三年级二班家长联系表")
        for number, row in enumerate(rows, 1):
            page.write_row(number, 0, row)
    assert call(deployment, "groups").stdout == "No groups.\n"
    assert call(deployment, "groups", "create", "三二班", "--note", "2026").returncode == 0
    done = call(deployment, "groups", "import", "三二班", str(sheet), "--wrong", str(wrong), "--consent", "家长会")
    assert (done.returncode, done.stdout) == (
        1, "三二班: 2 added, 0 changed.\nline 5: 1380013800 is no phone number\n",
    ), done.stderr  # fmt: skip
    assert wrong.read_text(encoding="utf-8-sig").splitlines() == ["姓名,手机,邮箱", "王五,1380013800,"]
    wrong.write_text(wrong.read_text(encoding="utf-8-sig").replace("1380013800", "13800138001"), encoding="gbk")
    assert call(deployment, "groups", "import", "三二班", str(wrong)).stdout == "三二班: 1 added, 0 changed.\n"
    members = json.loads(call(deployment, "groups", "members", "三二班", "--json").stdout)["members"]
    assert [(member["contacts"]["sms"], member["params"]["姓名"]) for member in members] == [
        ("+8613800138000", "张三"), ("+8613711112222", "李四"), ("+8613800138001", "王五"),
    ]  # fmt: skip
    assert members[0]["consent"]["source"] == "家长会"
    assert "1 of 3." in call(deployment, "groups", "members", "三二班", "--find", "张三").stdout
    sent = call(deployment, "send", "--method", "sms", "--text", "明天下雨", "--group", "三二班")
    assert (sent.returncode, sent.stdout.startswith("3 messages accepted")) == (0, True), sent.stderr
    by_sheet = ("send", "--method", "sms", "--text", "明天下雨", "--sheet", str(sheet))
    refused = call(deployment, *by_sheet)
    assert (refused.returncode, "line 5: 1380013800 is no phone number" in refused.stderr) == (2, True)
    assert call(deployment, *by_sheet, "--leave-out").stdout.startswith("2 messages accepted")
    removed = call(deployment, "groups", "remove", "三二班", "13711112222", "nobody")
    assert removed.stdout == "三二班: 1 removed.\nnobody: no member\n"
    assert call(deployment, "groups", "delete", "三二班", "--yes").returncode == 0
    assert call(deployment, "groups", "members", "三二班").returncode == 1


def test_prices_go_to_a_file_and_back_and_a_report_counts_by_them(deployment: Deployment, tmp_path: Path) -> None:
    """A wrong file replaces nothing."""
    file, report = tmp_path / "prices.csv", tmp_path / "report.csv"
    assert call(deployment, "prices").stdout == "No prices.\n"
    file.write_text(
        "method,provider,country,per,amount,currency,from\nsmtp,smtp,,message,0.25,CNY,2026-01-01\n", encoding="utf-8"
    )
    done = call(deployment, "prices", "import", "--yes", str(file))
    assert (done.returncode, done.stdout) == (0, "1 prices: 1 new, 0 gone.\n"), done.stderr
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(file.read_text().replace("0.25", "a quarter"))
    refused = call(deployment, "prices", "import", "--yes", str(wrong))
    assert (refused.returncode, "prices.0.amount" in refused.stderr) == (1, True), refused.stderr
    assert call(deployment, "prices", "import", "--yes", str(tmp_path / "none.csv")).returncode == 2
    out = tmp_path / "again.csv"
    assert call(deployment, "prices", "export", str(out)).returncode == 0
    assert out.read_text(encoding="utf-8-sig").splitlines() == file.read_text().splitlines()

    def is_counted() -> bool:  # of what is sent once the price is known everywhere
        assert call(deployment, "send", "price@example.com", "--subject", "hi", "--text", "hi").returncode == 0
        report.unlink(missing_ok=True)
        month = f"{datetime.now(ZONE):%Y-%m}"
        made = call(deployment, "reports", "make", str(report), "--by", "method", "--month", month)
        assert made.returncode == 0, made.stderr
        rows = [line.split(",") for line in report.read_text(encoding="utf-8-sig").splitlines()]
        return rows[0][:1] == ["method"] and any(
            row[-1] == "true" and Decimal(row[-2] or 0) % Decimal("0.25") == 0 < Decimal(row[-2] or 0)
            for row in rows[1:]
        )

    wait(is_counted, 60, why=report.read_text)
    assert "usage" in call(deployment, "reports").stdout
    assert call(deployment, "reports", "make", str(tmp_path / "x.csv")).returncode == 2


def test_windows_and_holidays_are_changed_and_released(deployment: Deployment) -> None:
    hours = ("--from", "22:00", "--to", "06:00", "--zone", "UTC", "--holidays", "cn")
    added = call(deployment, "windows", "add", "cli", "--methods", "smtp,wecom", *hours)
    assert added.returncode == 0, added.stderr
    listed = {row["id"]: row for row in json.loads(call(deployment, "windows", "--json").stdout)["windows"]}
    assert listed.keys() == {"sms_marketing", "cli"}
    assert (listed["cli"]["methods"], listed["cli"]["to"]) == (["smtp", "wecom"], "06:00")
    wrong = call(deployment, "windows", "add", "cli", "--from", "8", "--to", "9")
    assert (wrong.returncode, "from" in wrong.stderr) == (1, True)
    assert call(deployment, "holidays", "set", "2031-02-03", "workday").returncode == 0
    assert "2031-02-03" in call(deployment, "holidays", "list").stdout
    assert call(deployment, "holidays", "remove", "2031-02-03").returncode == 0
    assert "No corrections" in call(deployment, "holidays", "list").stdout
    released = call(deployment, "windows", "release", "cli", "--yes")
    assert "0 requests" in released.stdout, released.stderr
    assert call(deployment, "windows", "remove", "nothing", "--yes").returncode == 2
    assert call(deployment, "windows", "remove", "cli", "--yes").returncode == 0


def test_a_template_is_saved_published_and_sent_by(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "hello.json"
    mail = {"subject": "{{ name }}，您好", "text": "第 {{ n }} 号"}
    fields = {"name": "hello", "category": "notice", "default_language": "zh", "languages": {"zh": {"smtp": mail}}}
    file.write_text(json.dumps(fields), encoding="utf-8")
    assert call(deployment, "templates", "save", str(file)).returncode == 0
    assert call(deployment, "templates", "publish", "hello").returncode == 0
    words = ("--template", "hello", "--param", "name=张三")
    refused = call(deployment, "send", "by-template@example.com", *words)
    assert refused.returncode != 0
    assert "n is missing" in refused.stderr + refused.stdout
    sent = call(deployment, "send", "by-template@example.com", *words, "--param", "n=7")
    assert sent.returncode == 0, sent.stderr
    arrived = deployment.wait_arrived(to="by-template@example.com")
    assert (arrived["subject"], arrived["text"].strip()) == ("张三，您好", "第 7 号")


def test_the_columns_of_a_sheet_are_the_params_of_a_template(deployment: Deployment, tmp_path: Path) -> None:
    """Columns that the template does not take are left out; rows without what it needs are named."""
    file, sheet = tmp_path / "grade.json", tmp_path / "class.csv"
    mail = {"subject": "{{ 姓名 }}的成绩", "text": "{{ 成绩 }} 分，{{ 学期 }}{% if 备注 %}，{{ 备注 }}{% endif %}"}
    fields = {"name": "grade", "category": "notice", "default_language": "zh", "languages": {"zh": {"smtp": mail}}}
    file.write_text(json.dumps(fields), encoding="utf-8")
    assert call(deployment, "templates", "save", str(file)).returncode == 0
    assert call(deployment, "templates", "publish", "grade").returncode == 0
    changed = fields | {"languages": {"zh": {"smtp": mail | {"text": "{{ draft }}"}}}}
    file.write_text(json.dumps(changed), encoding="utf-8")
    assert call(deployment, "templates", "save", str(file)).returncode == 0
    sheet.write_text(
        "姓　名,班级,邮箱,成绩(分),备注\n张三,三二班,zhang@sheet.example,95,\n李四,三二班,li@sheet.example,88,进步大\n"
        "王五,三二班,wang@sheet.example,,\n",
        encoding="utf-8",
    )
    words = ("send", "--template", "grade", "--param", "学期=春季", "--sheet", str(sheet))
    refused = call(deployment, *words)
    assert (refused.returncode, "line 4: 成绩 is missing" in refused.stderr) == (2, True), refused.stderr
    sent = call(deployment, *words, "--leave-out")
    assert (sent.returncode, sent.stdout.startswith("2 messages accepted")) == (0, True), sent.stderr
    arrived = [deployment.wait_arrived(to=f"{name}@sheet.example") for name in ("zhang", "li")]
    assert [(message["subject"], message["text"].strip()) for message in arrived] == [
        ("张三的成绩", "95 分，春季"), ("李四的成绩", "88 分，春季，进步大"),
    ]  # fmt: skip


def test_all_requests_of_a_list_are_checked_before_the_first_is_sent(deployment: Deployment) -> None:
    words = ("send", "--subject", "s", "--text", "t", "--reference", "checked", "--chunk", "1")
    refused = call(deployment, *words, "a@checked.example", "nobody-here")
    assert (refused.returncode, "nobody-here: " in refused.stderr) == (2, True), refused.stderr
    assert call(deployment, *words, "a@checked.example", "b@checked.example").returncode == 0

    def list_checked() -> list[str]:
        listed = deployment.call("GET", "/api/v2/messages", token=deployment.token(), reference="checked")
        return [message["to"] for message in listed["messages"]]

    wait(lambda: list_checked() == ["b@checked.example", "a@checked.example"], 60, why=lambda: str(list_checked()))


def test_what_waits_is_moved_released_and_cancelled(deployment: Deployment) -> None:
    def send() -> str:
        words = ("--subject", "later", "--text", "您好", "--at", f"{day} 09:00", "--json")
        done = call(deployment, "send", "later-cli@example.com", *words)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["id"])

    def show(request: str) -> dict[str, object]:
        return deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())

    day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    moved, cancelled = send(), send()
    for request in (moved, cancelled):
        wait(lambda r=request: show(r).get("state") == "scheduled", 60)  # type: ignore[misc]
    assert show(cancelled)["due_at"] == f"{day}T01:00:00.000Z"
    assert moved in call(deployment, "query", "--status", "scheduled").stdout
    done = call(deployment, "move", moved, "--at", f"{day}T23:30:00+08:00")
    assert (done.returncode, f"{day[5:]} 23:30:00 +0800" in done.stdout) == (0, True), done
    wait(lambda: show(moved)["due_at"] == f"{day}T15:30:00.000Z", 60)
    assert call(deployment, "cancel").returncode == 2
    assert call(deployment, "cancel", cancelled, "--held-by", "night").returncode == 2
    assert call(deployment, "cancel", f"{cancelled}-0").stdout == "1 cancelled, 0 too late, 0 settled before.\n"
    assert call(deployment, "cancel", "--held-by", "night").stdout == "0 cancelled, 0 too late, 0 settled before.\n"
    released = call(deployment, "release", moved)
    assert (released.returncode, released.stdout) == (0, f"{moved} is sent now.\n"), released
    assert deployment.wait_settled(moved)[0]["status"] == "sent"
    late = call(deployment, "move", moved, "--at", f"{day} 09:00")
    assert (late.returncode, moved in late.stderr) == (1, True), late


def test_a_recipient_who_is_not_reached_gets_it_by_another_channel(deployment: Deployment, tmp_path: Path) -> None:
    """A recipient with a contact, a sheet and a group: what each knows of other channels goes along."""
    words = ("--method", "sms", "--text", "机房断电", "--subject", "告警", "--fallback", "smtp:60")
    sheet = tmp_path / "duty.csv"
    sheet.write_text("姓名,手机,邮箱\n张三,19900000002,duty-sheet@example.com\n", encoding="utf-8")
    group = tmp_path / "group.csv"
    group.write_text("姓名,手机,邮箱\n李四,19900000002,duty-group@example.com\n", encoding="utf-8")
    assert call(deployment, "groups", "create", "duty").returncode == 0
    assert call(deployment, "groups", "import", "duty", str(group)).returncode == 0
    for whom, mail in (
        (("19900000002", "--contact", "smtp=duty-one@example.com"), "duty-one@example.com"),
        (("--sheet", str(sheet)), "duty-sheet@example.com"),
        (("--group", "duty"), "duty-group@example.com"),
    ):
        sent = call(deployment, "send", *whom, *words)
        assert sent.returncode == 0, sent.stderr
        assert deployment.wait_arrived(to=mail)["subject"] == "告警"
    for wrong in (("--fallback", "fax"), ("--fallback", "smtp:soon"), ("--contact", "smtp=a@example.com")):
        refused = call(deployment, "send", "19900000002", "13800138000", "--method", "sms", "--text", "x", *wrong)
        assert (refused.returncode, wrong[0] in refused.stderr) == (2, True), refused
    no_subject = call(deployment, "send", "19900000002", *words[:4], "--fallback", "smtp")
    assert (no_subject.returncode, "--subject" in no_subject.stderr) == (2, True), no_subject
