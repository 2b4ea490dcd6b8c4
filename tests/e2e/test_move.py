"""A move from one box to several services: the data is the same afterwards, and waiting messages are sent."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.api import Api
from imsg_testing.command_line import Ended
from imsg_testing.deployment import Deployment, running
from imsg_testing.postgres_roles import DividedPostgres, run_divided
from imsg_testing.sandbox_process import run_sandbox
from imsg_testing.services import Plan, deploy
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.release, pytest.mark.timeout(1_800)]

OWNERS = ("auth", "wechat", "callbacks", "catalog", "scheduler", "history")
KEYS = ("token_key", "erasure_key", "secret_key")
PAGED = ("requests", "messages", "suppressions", "users")
LATER = ("later0@example.com", "later1@example.com", "later2@example.com")
CHANGING = {"as_of", "last_used_at", "last_used_from"}
COUNTED = {"left", "left_day", "left_hour", "used", "used_day", "used_hour", "used_recipients"}
"""What is not moved: the counts of limits, which Redis alone has."""
ERASED = "erased@example.com"
ALLOWED = {"IMSG_CALLBACKS__ALLOW": "127.0.0.1"}


Shown = dict[str, Any]


def test_all_that_one_box_keeps_goes_on_in_several_services(tmp_path: Path) -> None:
    export = tmp_path / "导出"
    with run_sandbox(tmp_path) as sandbox, running(tmp_path / "box", {**sandbox.settings, **ALLOWED}) as box:
        fill(box)
        token, key = box.token(), box.new_key("query", "send:smtp")
        shown = show(box, token)
        first_page = read(box, "messages", key, limit="50")
        events = read(box, "events", token, after="", limit="5")
        refused = box.run_apart("export", str(export))
        assert (refused.returncode, export.exists()) == (2, False)
        assert "end it" in refused.stderr
        box.process.signal(signal.SIGTERM)
        wait(lambda: not box.process.runs)
        made = box.run_apart("export", str(export))
        assert made.returncode == 0, made.stderr

        with run_divided() as server:
            answers = [import_to(box, export, server) for _ in range(2)]
            assert all(f"{owner}: " in answers[0].stdout for owner in OWNERS), answers[0].stderr
            assert answers[0].stdout.count("imported, and equal") == len(OWNERS), answers[0].stdout
            assert answers[1].stdout.count("was imported before") == len(OWNERS) - 1, "wechat keeps nothing here"

            keys = {f"IMSG_{name.upper()}": (export / "secrets" / name).read_text() for name in KEYS}
            plan = Plan(
                common={**keys, **ALLOWED}, database=server.url_of_service, has_callbacks=True, has_catalog=True
            )
            (tmp_path / "services").mkdir()
            with deploy(tmp_path / "services", plan) as services:
                differences = list_differences(shown, show(services, token))
                assert not differences, "\n".join(differences)[:5000]
                assert not list_differences(first_page, read(services, "messages", key, limit="50"))
                going_on = read(services, "messages", key, limit="50", cursor=first_page["next"])
                assert len(going_on["messages"]) == 50
                assert not {message["id"] for message in going_on["messages"]} & {
                    message["id"] for message in first_page["messages"]
                }
                more = read(services, "events", token, after=events["next"], limit="5")
                assert not {event["id"] for event in more["events"]} & {event["id"] for event in events["events"]}
                assert more["events"]

                soon = {"token": token, "send_at": datetime.now(UTC).isoformat()}
                for request in shown["due"]:
                    assert services.call("PATCH", f"/api/v2/requests/{request}", soon)["errorCode"] == 0
                    services.wait_settled(request)
                sent = services.send("new@example.com")["id"]
                services.wait_settled(sent)
                assert {mail.to for mail in services.mailbox.taken} == {"new@example.com", *LATER}
                wait(
                    lambda: (
                        sent in {event["data"].get("request") for event in list_events(services, token, more["next"])}
                    )
                )

                late = import_to(box, export, server)
                assert (late.returncode, "is not empty" in late.stderr) == (2, True), late


def test_an_export_reports_what_it_waits_for_and_stops(tmp_path: Path) -> None:
    export = tmp_path / "export"
    with run_sandbox(tmp_path) as sandbox, running(tmp_path / "box", sandbox.settings) as box:
        paused = {"token": box.token(), "paused": True, "reason": "年检"}
        assert box.call("PATCH", "/api/v2/channels/smtp", paused)["errorCode"] == 0
        box.send(["a@example.com", "b@example.com"])
        box.process.signal(signal.SIGTERM)
        wait(lambda: not box.process.runs)

        refused = box.run_apart("export", str(export), "--wait", "soon")
        assert (refused.returncode, "write 30s, 10m or 2h" in refused.stderr) == (2, True), refused.stderr
        stopped = box.run_apart("export", str(export), "--wait", "12s")

    assert (stopped.returncode, export.exists()) == (2, False), stopped.stderr
    waits = "1 in imsg.smtp.bulk (paused by an administrator: 年检)"
    assert f"more at most: {waits}" in stopped.stderr, stopped.stderr
    assert f"messages still wait: {waits}. Allow them more time with --wait" in stopped.stderr


def test_an_export_names_the_account_for_which_it_waits(tmp_path: Path, reserved_port: int) -> None:
    away = {"IMSG_SMTP__HOST": "127.0.0.1", "IMSG_SMTP__PORT": str(reserved_port), "IMSG_SMTP__SENDER": "a@example.com"}
    with running(tmp_path / "box", away) as box:
        box.send("a@example.com")

        def needs_attention() -> bool:
            listed = box.call("GET", "/api/v2/providers", token=box.token())["providers"]
            return any(provider["method"] == "smtp" and provider["attention"] for provider in listed)

        wait(needs_attention, 60, 0.5)
        box.process.signal(signal.SIGTERM)
        wait(lambda: not box.process.runs)
        stopped = box.run_apart("export", str(tmp_path / "export"), "--wait", "12s")

    assert stopped.returncode == 2
    assert f"(default: 127.0.0.1:{reserved_port} can't be reached). Allow them" in stopped.stderr, stopped.stderr


def fill(box: Deployment) -> None:
    """Make data of every kind, and wait until all but scheduled messages have settled."""
    box.open_wide()
    token = box.token()

    def make(path: str, **fields: object) -> Shown:
        answer = box.call("POST", f"/api/v2/{path}", {"token": token, **fields})
        assert answer["errorCode"] == 0, answer
        return answer

    box.new_user(per_day=7, phone="13800000000")
    make("callbacks", url="http://127.0.0.1:9/", events=["message.sent"])
    make("suppressions", method="smtp", to="gone@example.com", reason="unsubscribe")
    make("groups", name="家长")
    make("groups/家长/members", members=[{"to": "a@example.com"}, {"to": "b@example.com"}])
    languages = {"zh": {"smtp": {"subject": "您好", "text": "{{ name }}，您好"}}}
    make("templates", name="welcome", category="notice", default_language="zh", languages=languages)
    lists = [box.send([f"r{number}-{n}@example.com" for n in range(40)])["id"] for number in range(3)]
    erased = box.send(ERASED)["id"]
    for request in lists:
        box.wait_settled(request, count=40)
    box.wait_settled(erased)
    erasure = make("erasures", method="smtp", to=ERASED)["id"]
    wait(lambda: box.call("GET", f"/api/v2/erasures/{erasure}", token=token)["state"] == "done", 60, every_s=0.5)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for to in LATER:
        make("messages", method="smtp", to=to, content={"subject": "later", "text": "您好"}, send_at=tomorrow)
    wait(lambda: len(show_due(box, token)) == len(LATER))


def show(api: Api, token: str) -> Shown:
    """Return what the API shows of all that is kept."""
    paths = ("requests", "messages", "keys", "callbacks", "templates", "groups", "suppressions", "erasures", "users")
    shown: Shown = {path: read(api, path, token, **({"limit": "200"} if path in PAGED else {})) for path in paths}
    shown["templates"] = [template for template in shown["templates"]["templates"] if template["from"] == "catalog"]
    members = read(api, "groups/家长/members", token)
    message = read(api, "messages", token, id=shown["messages"]["messages"][-1]["id"])
    return shown | {"due": show_due(api, token), "members": members, "message": message}


def list_differences(before: object, after: object, at: str = "") -> list[str]:
    """Return where two answers differ."""
    match before, after:
        case dict(), dict():
            keys = sorted({*before, *after} - CHANGING - COUNTED)
            return [line for key in keys for line in list_differences(before.get(key), after.get(key), f"{at}/{key}")]
        case list(), list() if len(before) == len(after):
            pairs = enumerate(zip(before, after, strict=True))
            return [line for n, (one, other) in pairs for line in list_differences(one, other, f"{at}/{n}")]
    return [] if before == after else [f"{at}: {before} → {after}"]


def show_due(api: Api, token: str) -> dict[str, str]:
    """Return when each scheduled request is due."""
    found = read(api, "requests", token, state="scheduled", limit="200")["requests"]
    return {request["id"]: request["due_at"] for request in found}


def list_events(api: Api, token: str, after: str) -> list[Shown]:
    """Return the events after a cursor."""
    events: list[Shown] = read(api, "events", token, after=after, limit="200")["events"]
    return events


def read(api: Api, path: str, token: str, **query: str) -> Shown:
    """Read something that must be there."""
    answer = api.call("GET", f"/api/v2/{path}", token=token, **query)
    assert answer["errorCode"] == 0, (path, answer)
    return answer


def import_to(box: Deployment, export: Path, server: DividedPostgres) -> Ended:
    """Run the import by the roles and passwords that the containers' services have."""
    url = server.url_of_service("{service}", "{{service}_db_password}").replace("%7B", "{").replace("%7D", "}")
    return box.run_apart("import", str(export), url, str(server.folder / "secrets"))
