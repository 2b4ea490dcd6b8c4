"""Every secret is planted, those of providers at stand-ins that echo their calls, and is found nowhere."""

import base64
import hashlib
import secrets
import signal
import string
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from imsg_testing.deployment import Deployment, running
from imsg_testing.file_search import search
from imsg_testing.http_stub import Asked, HttpStub, reply
from imsg_testing.mailbox import Mailbox
from imsg_testing.servers import Postgres
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.release, pytest.mark.timeout(600)]

PUBLIC: Mapping[str, Mapping[str, str]] = {
    "smtp": {"username": "noreply@example.com", "sender": "noreply@example.com", "security": "none"},
    "smtp-oauth2": {
        "username": "noreply@example.com",
        "sender": "noreply@example.com",
        "security": "none",
        "auth": "oauth2",
        "client_id": "planted",
    },
    "aliyun": {"sign_name": "天存", "access_key_id": "LTAI-planted", "template": "SMS_1"},
    "tencent": {"sign_name": "天存", "secret_id": "AKID-planted", "app_id": "1400000000", "template": "1234"},
    "volcengine": {"sign_name": "天存", "access_key_id": "AKLT-planted", "sms_account": "7a", "template": "ST_1"},
    "twilio": {"account_sid": f"AC{'0' * 32}", "sender": "+15005550006", "key_sid": f"SK{'0' * 32}"},
    "chuanglan": {"account": "N-planted", "signature": "【天存】"},
    "luosimao": {"suffix": "【天存】"},
    "mas": {"ec_name": "天存", "ap_id": "planted", "sign": "sign-planted"},
    "smsbao": {"user": "planted", "signature": "【天存】"},
    "yunpian": {"signature": "【天存】"},
    "wechat": {"appid": "wx0000000000000000", "template": "planted"},
    "robot": {},
}
"""What each kind needs beside its secrets. A kind that is added has to be added here."""

LOG_INS = {"smtp-oauth2": "smtp"}
"""Further log-ins of a kind."""

CERTIFICATES = {"certificate", "bounce_mailbox.certificate"}
"""Fields that take the place of a secret."""

ELSEWHERE = {"luosimao", "smsbao", "yunpian"}
"""Kinds without a field for the URL: their calls end at the proxy."""

UNASKED = {"mas"}
"""Kinds with no call that checks an account."""

REMOVED = ("aliyun", "smsbao")
"""Kinds whose accounts are removed in between: they are kept a while for late receipts."""

SPOKEN = {
    ("smtp", "password"),
    ("smtp-oauth2", "client_secret"),
    ("twilio", "key_secret"),
    ("chuanglan", "password"),
    ("wechat", "secret"),
    ("robot", "key"),
}
"""The secrets that are in a call themselves, and so in the answers here; others sign calls, or check what comes in."""

TO = {"smtp": "li@example.com", "sms": "13800138000", "wecom": "p-robot"}
"""The recipients of test messages. An official account without followers has none."""

LENGTH = 32

SIGNS = {"secret_key": 'é"/+&%', "access_key_secret": "/+=", "password": '"/+&%', "key_secret": "/+&"}
"""What is escaped on its way, at the end of a secret."""


class Parrot(Mailbox):
    """A mail server that refuses each log-in with its words."""

    def __init__(self) -> None:
        super().__init__()
        self.extensions = ("AUTH PLAIN",)
        self.heard: list[str] = []

    async def handle_AUTH(self, _: SMTP, __: Session, ___: Envelope, words: list[str]) -> str:  # noqa: N802
        """Repeat the log-in."""
        self.heard.append(f"AUTH {' '.join(words)}")
        return f"535 5.7.8 no such log-in: {self.heard[-1]}"


def repeat(asked: Asked) -> bytes:
    """Refuse a call, and repeat what was asked in every field that a provider has for words."""
    words = " ".join((asked.headers.get("authorization", ""), asked.target, asked.body.decode("utf-8", "replace")))
    answer = {"code": 20003, "Code": "Odd", "errcode": 40125}
    answer |= dict.fromkeys(("message", "Message", "errmsg", "errorMsg", "msg", "rspcod", "error_description"), words)
    is_wechat = asked.path.startswith("/cgi-bin/")
    return reply(answer, 200 if is_wechat else 401, {"content-type": "application/json"})


@dataclass
class Site:
    """iMSG, the providers, the planted secrets, and the answers of iMSG."""

    deployment: Deployment
    parrot: HttpStub
    mail: Parrot
    postgres: Postgres | None = None
    planted: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Secret → kind and field."""
    said: list[str] = field(default_factory=list)

    def ask(self, verb: str, path: str, body: Any = None, /, **query: str) -> dict[str, Any]:  # noqa: ANN401
        """Return the answer to a call of the administrator, and record it."""
        headers = {"authorization": f"Bearer {self.deployment.token()}"}
        client = self.deployment.client
        answer = client.request(verb, f"/api/v2/{path}", json=body, params=query, headers=headers, timeout=60)
        self.said.append(answer.text)
        said: dict[str, Any] = answer.json()
        return said

    def run(self, *words: str) -> None:
        """Run a verb, and keep what it prints."""
        ended = self.deployment.run(*words)
        self.said += [ended.stdout, ended.stderr]

    def plant(self, kind: str, name: str) -> str:
        """Make a secret that was never used."""
        letters = string.ascii_letters + string.digits
        secret = "".join(secrets.choice(letters) for _ in range(43 if name == "aes_key" else LENGTH))
        secret += SIGNS.get(name, "")
        self.planted[secret] = kind, name
        return secret

    def fill(self, label: str, kind: Mapping[str, Any]) -> dict[str, Any]:
        """Fill a form, as far as it is shown."""
        names = {field["name"]: field for field in kind["fields"]}
        settings: dict[str, Any] = {**PUBLIC[label]}
        values = {name: field["default"] for name, field in names.items()} | settings
        shown = {
            name: field
            for name, field in names.items()
            if all(values[other] in accepted for other, accepted in field["when"].items())
        }
        hidden = {name for name, field in shown.items() if field["secret"]} - CERTIFICATES
        settings |= {name: self.plant(label, name) for name in sorted(hidden)}
        settings |= {name: f"{self.parrot.url}/" for name in ("endpoint", "url", "token_url") if name in shown}
        if "host" in names:
            settings |= {"host": self.mail.host, "port": self.mail.port}
        return settings

    def plant_people(self) -> None:
        """Plant passwords, keys and callback secrets; each is shown once."""
        name, password = f"planted-{secrets.token_hex(4)}", self.plant("user", "password")
        assert self.ask("POST", "register", {"username": name, "password": password})["errorCode"] == 0
        for wrong in (password + "x", self.plant("user", "wrong password")):
            assert self.ask("POST", "login", {"username": name, "password": wrong})["errorCode"] != 0
        token = self.deployment.token(name, password)
        begun = self.deployment.call("POST", "/api/v2/me/totp", {"token": token})
        self.planted[begun["secret"]] = "user", "one-time password"
        assert self.ask("POST", "me/totp/confirm", {"token": token, "otp": "000000"})["errorCode"] != 0
        key = self.deployment.new_key("query")
        self.planted[key.rpartition("_")[2]] = "user", "key"
        client = self.deployment.client
        self.said.append(client.get("/api/v2/messages", headers={"authorization": f"Bearer {key}"}).text)
        self.said.append(client.get(f"/api/v2/messages?token={key}").text)
        callback = {"url": f"{self.parrot.url}/callback", "events": ["message.failed"]}
        made = self.deployment.call("POST", "/api/v2/callbacks", callback, token=self.deployment.token())
        self.planted[made["secret"].removeprefix("whsec_")] = "callback", "secret"

    def list_traces(self, folder: Path, *forms: str) -> list[str]:
        """Search the files below a folder, and PostgreSQL; return where something was found."""
        found = search(folder, *forms)
        if self.postgres is None:
            return found
        command = [self.postgres.program("pg_dump"), f"--dbname={self.postgres.url_of('imsg')}"]
        dump = subprocess.run(command, check=True, capture_output=True).stdout.lower()
        assert b"create table" in dump
        return [*found, *(f"PostgreSQL: {form}" for form in map(str.lower, forms) if is_in(form, dump))]

    def copy(self, folder: Path) -> None:
        """Make a backup, and stop for an export; of PostgreSQL its dump is the copy."""
        copies = ("backup", "export") if self.postgres is None else ()
        if "backup" in copies:
            self.run("backup", str(folder / "backup"))
        self.deployment.process.signal(signal.SIGTERM)
        wait(lambda: not self.deployment.process.runs, 60)
        if "export" in copies:
            ended = self.deployment.run_apart("export", str(folder / "export"))
            self.said += [ended.stdout, ended.stderr]
        assert all((folder / made / "secrets").is_dir() for made in copies), self.said[-4:]
        self.deployment.start()

    @property
    def heard(self) -> str:
        """Return the calls that the providers received."""
        calls = (
            f"{asked.head.decode('latin-1')} {asked.body.decode('utf-8', 'replace')}" for asked in self.parrot.asked
        )
        return " ".join((*calls, *self.mail.heard))


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Run iMSG with providers that echo their calls. Other calls go to a proxy that refuses."""
    parrot, mail = HttpStub(repeat), Parrot()
    with ExitStack() as stack:
        stack.enter_context(parrot.running_apart())
        stack.enter_context(mail.running_apart())
        settings = {"HTTPS_PROXY": parrot.url, "NO_PROXY": "127.0.0.1", "IMSG_CALLBACKS__ALLOW": "127.0.0.1"}
        postgres = None
        if request.param == "postgres":
            postgres = stack.enter_context(Postgres())
            settings |= {"IMSG_DATABASE_URL": postgres.create_database("imsg"), "IMSG_LOG_FORMAT": "json"}
        deployment = stack.enter_context(running(tmp_path / "site", settings))
        deployment.open_wide()
        yield Site(deployment, parrot, mail, postgres)


def find_forms(secret: str) -> set[str]:
    """Return how a secret may be written: its beginning has no character that anything escapes."""
    plain = secret[:LENGTH]
    cut = [base64.b64encode(b"." * n + plain.encode()).decode()[4 if n else 0 : -4] for n in range(3)]
    return {plain, hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest(), *cut}


def is_in(form: str, dump: bytes) -> bool:
    """Return whether a dump has it, as text or as the bytes of a column."""
    return form.encode() in dump or form.encode().hex().encode() in dump


def test_no_secret_is_anywhere(site: Site, tmp_path: Path) -> None:
    kinds = {kind["kind"]: kind for kind in site.ask("GET", "providers/kinds")["kinds"]}
    kinds |= {name: kinds[kind] for name, kind in LOG_INS.items()}
    assert set(kinds) == set(PUBLIC)
    site.plant_people()
    paths = {name: f"providers/{kind['method']}/p-{name}" for name, kind in kinds.items()}
    for name, kind in kinds.items():
        body = {"method": kind["method"], "name": f"p-{name}", "kind": kind["kind"]}
        body |= {"settings": site.fill(name, kind)}
        check = site.ask("POST", "providers/check", body)
        assert check.get("ok") is (name in UNASKED), (name, check)
        made = site.ask("POST", "providers", body)
        assert made["errorCode"] == 0, (name, made)
        wrong = {"settings": {**site.fill(name, kind), next(iter(PUBLIC[name]), "endpoint"): 7, "odd": "odd"}}
        assert site.ask("PATCH", paths[name], wrong)["errorCode"] != 0
        changed = site.ask("PATCH", paths[name], {"settings": site.fill(name, kind)})
        assert (changed["errorCode"], changed["version"]) == (0, 2), (name, changed)
        for what in ("signatures", "templates", "versions"):
            site.ask("GET", f"{paths[name]}/{what}")
        assert site.ask("POST", f"{paths[name]}/check")["ok"] is (name in UNASKED)
        assert site.ask("POST", f"{paths[name]}/restore", {"version": 1})["version"] == 3

    def list_overlooked() -> set[str]:
        listed = site.ask("GET", "providers")["providers"]
        told = {provider["name"].removeprefix("p-") for provider in listed if provider["attention"]}
        return {*kinds} - ELSEWHERE - UNASKED - told

    wait(lambda: not list_overlooked(), 120, why=lambda: str(list_overlooked()))
    for name in REMOVED:
        assert site.ask("DELETE", paths[name])["errorCode"] == 0

    site.copy(tmp_path)
    wait(lambda: not list_overlooked() - {*REMOVED}, 120, why=lambda: str(list_overlooked()))

    for name in (name for name, kind in kinds.items() if kind["method"] in TO and name not in REMOVED):
        test = site.ask("POST", f"{paths[name]}/test", {"to": TO[kinds[name]["method"]]})
        assert test["errorCode"] == 0, (name, test)
        if name not in ELSEWHERE:
            wait(lambda sent=test["id"]: was_tried(site, sent), 60)  # type: ignore[misc]
    for path in (
        "providers",
        "channels",
        "audit",
        "events",
        "messages",
        "requests",
        "dead",
        "status",
        "senders",
        "keys",
        "users",
        "callbacks",
    ):
        assert site.ask("GET", path)["errorCode"] == 0, path
    for words in (("providers", "list"), ("status",), ("doctor",), ("channels", "list")):
        site.run(*words)

    forms = {form: of for secret, of in site.planted.items() for form in find_forms(secret)}
    lowered = {form.lower(): of for form, of in forms.items()}
    heard, said = site.heard, "\n".join(site.said)
    assert {of for form, of in forms.items() if form in heard} >= SPOKEN
    assert [forms[form] for form in forms if form in said] == []
    assert [(place, lowered[place.rpartition(": ")[2]]) for place in site.list_traces(tmp_path, *forms)] == []


def was_tried(site: Site, request: str) -> bool:
    """Return whether a provider was called for a message."""
    messages = site.ask("GET", "messages", id=request)["messages"]
    return any(message["attempts"] > 0 for message in messages)
