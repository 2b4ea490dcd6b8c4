"""Any provider with a plain HTTP API, described in imsg.toml: placeholders are filled in and encoded by their place."""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from typing import Any

from imsg_contract.wire import Again, Blocked, Refused, Sent, Unknown
from imsg_sms.countries import MAINLAND
from imsg_sms.http_settings import Each, Http, HttpInbound, HttpPull, HttpReceipts
from imsg_sms.providers import Answer, Pull, Push, Reply, Reports, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.http_filling import compute, encoder, fill, guess_kind, in_header, in_url
from imsg_sms.providers.http_reading import at, is_of_text, is_success, parse, read_entries, read_push
from imsg_sms.providers.meanings import BEIJING, SERVER_ERROR, TOO_MANY, Meaning, judge_failure
from imsg_sms.providers.meanings import make as make_result
from imsg_sms.templates import Message, TemplateBook, describe_text
from imsg_web.http_pool import HttpAnswer, HttpPool, NoAnswer, NotSent

KIND = "http"

OK = 200
MAX_DETAIL = 300

NOTHING = Message("", {}, "")
"""What a call that sends nothing is filled in with."""


def make(name: str, account: Http, context: ProviderContext) -> "HttpProvider":
    """Make an account's provider."""
    book = describe_text(name, context.templates, signature=account.signature, suffix=account.suffix)
    return HttpProvider(name, account, context.pool, book)


_RESULTS: Mapping[str, type[Refused | Again | Blocked | Unknown]] = {
    "refused": Refused,
    "again": Again,
    "blocked": Blocked,
    "unknown": Unknown,
}


class HttpProvider:
    """The provider. It can't be asked what became of a message."""

    kind = KIND
    mixes_countries = True
    takes_text = True
    unreadable_reply = Reply("not a report", 400, "text/plain")
    lost = Reply("not kept, please repeat", 503, "text/plain")

    def __init__(
        self, name: str, settings: Http, pool: HttpPool, book: TemplateBook, now: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._book = book
        self.limits = book.limits
        self.countries = settings.countries
        self._settings = settings
        self._pool = pool
        self._now = now
        self.most = settings.numbers
        self.secret = settings.hook
        self.opted_out = frozenset(settings.name_code(code) for code, one in settings.errors.items() if one.opted_out)
        described: Sequence[tuple[HttpPull | None, HttpReceipts | HttpInbound | None]] = (
            (settings.pull, settings.receipts),
            (settings.inbound.pull if settings.inbound else None, settings.inbound),
        )
        self.pulls: Sequence[Pull] = tuple(
            partial(self._pull, pulling, reports)
            for pulling, reports in described
            if pulling is not None and reports is not None
        )
        first = settings.receipts or settings.inbound
        self.kept = _plain(first.answer if first else "")
        self._secrets = {name: value.get_secret_value() for name, value in settings.secrets.items()}
        kind = next((value for name, value in settings.headers.items() if name.lower() == "content-type"), "")
        self._kind = kind or guess_kind(settings.body)

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """Make the call that the description makes of this message."""
        values = self._values(message, numbers_, reference)
        described, charset = self._settings, self._settings.charset
        try:
            url = fill(described.url, values, lambda value: in_url(value, charset))
            headers = {name: fill(value, values, in_header) for name, value in described.headers.items()}
            body = fill(described.body, values, encoder(self._kind, charset)).encode(charset)
        except UnicodeEncodeError as error:
            detail = f"{error.object[error.start : error.end]} can't be written in {charset}."
            return Answer(Refused(self.name, "charset", detail), concerns="content")
        headers |= self._login(values)
        content = None
        if body:
            headers = {"content-type": self._kind, **{name.lower(): value for name, value in headers.items()}}
            content = base64.b64encode(body) if described.wrap else body
        try:
            answer = await self._pool.call(described.method, url, headers, content)
        except (NotSent, NoAnswer) as error:
            return judge_failure(self.name, error)
        return self._find_meaning(answer, numbers_, values["template"])

    def read(self, push: Push) -> Reports | None:
        """Read a push as the description says. Raises NotSigned where it has to be signed, and isn't.

        Where a provider has one URL for both, what holds no receipt is read as an inbound message.
        """
        receipts, inbound = self._settings.receipts, self._settings.inbound
        read = None if receipts is None or (push.is_inbound and inbound is not None) else self._read(receipts, push)
        if inbound is not None and (read is None or not read.read):
            written = self._read(inbound, push)
            return read if written is None else replace(written, kept=_plain(inbound.answer))
        return read

    def _read(self, described: HttpReceipts | HttpInbound, push: Push) -> Reports | None:
        return read_push(
            self.name,
            described,
            push,
            secrets=self._secrets,
            charset=self._settings.charset,
            countries=self.countries,
            now=self._moment(),
        )

    async def _pull(self, pulling: HttpPull, described: HttpReceipts | HttpInbound) -> Reports:
        """Fetch the next reports. Raises NotSent, NoAnswer."""
        charset = self._settings.charset
        values, kind = self._values(NOTHING, (), ""), guess_kind(pulling.body)
        body = fill(pulling.body, values, encoder(kind, charset)).encode(charset)
        url = fill(pulling.url, values, lambda value: in_url(value, charset))
        headers = {"content-type": kind, **self._login(values)} if body else self._login(values)
        answer = await self._pool.call(pulling.method, url, headers, body or None)
        text = answer.content.decode(charset, "replace")
        said = parse(text)
        if not is_success(pulling.success, answer.status_code, said, text):
            raise NoAnswer(f"{answer.status_code}: {text[:MAX_DETAIL]}")
        entries = (at(said, described.list) if described.list else said) or []
        return read_entries(self.name, described, entries, self.countries, self._moment())

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _login(self, values: Mapping[str, str]) -> dict[str, str]:
        """Make the header of Basic where it is described."""
        if not self._settings.basic:
            return {}
        login = fill(self._settings.basic, values, str).encode()
        return {"authorization": f"Basic {base64.b64encode(login).decode()}"}

    def _values(self, message: Message, numbers_: Sequence[str], reference: str) -> dict[str, str]:
        """Say what stands for each placeholder; what is computed may use what came before."""
        used, now = self._book.find(message), self._now()
        join = self._settings.separator.join
        values = {
            **self._secrets,
            "number": join(numbers_),
            "digits": join(number.removeprefix("+") for number in numbers_),
            "national": join(number.removeprefix(MAINLAND) for number in numbers_),
            "international": join(f"00{number.removeprefix('+')}" for number in numbers_),
            "text": f"{used.signature}{used.text}",
            "template": used.id,
            "params": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "params_list": json.dumps(list(used.params.values()), ensure_ascii=False, separators=(",", ":")),
            "reference": reference,
            "time": str(int(now)),
            "time_ms": str(int(now * 1_000)),
            "stamp": f"{datetime.fromtimestamp(now, BEIJING):%Y%m%d%H%M%S}",
            "nonce": token_hex(16),
        }
        for name, one in self._settings.computed.items():
            values[name] = compute(one, values, self._settings.charset)
        return values

    def _find_meaning(self, answer: HttpAnswer, numbers_: Sequence[str], template: str) -> Answer:
        described = self._settings
        text = answer.text if described.charset == "utf-8" else answer.content.decode(described.charset, "replace")
        body, said = parse(text), text[:MAX_DETAIL]
        if described.each is not None and isinstance(found := at(body, described.each.list), list):
            return self._read_each(described.each, found, numbers_, template)
        code = text.strip() if described.code == "text" else at(body, described.code) if described.code else None
        if code is not None and str(code) in described.errors:
            return self._judge(code, template, said)
        if (by_status := self._judge_status(answer.status_code, said)) is not None:
            return by_status
        if is_success(described.success, answer.status_code, body, text):
            identity = at(body, described.id) if described.id else None
            return Answer(Sent(self.name, None if identity is None else str(identity), said))
        return self._refusal(answer.status_code, body, code, template, said)

    def _refusal(self, status: int, body: object, code: object, template: str, said: str) -> Answer:
        rule = self._settings.success
        if status == OK and body is None and "=" in rule and not is_of_text(rule):
            return Answer(Unknown(self.name, "unreadable", said), concerns="provider")
        if code is not None and "*" in self._settings.errors:
            return self._judge(code, template, said)
        return Answer(Refused(self.name, f"http_{status}", said), concerns="content", of_one=True)

    def _read_each(self, each: Each, found: Sequence[Any], numbers_: Sequence[str], template: str) -> Answer:
        answers: dict[str, Answer] = {}
        for number, by_place in zip(numbers_, found, strict=False):
            entry = next((one for one in found if self._read_number(one, each.number) == number), by_place)
            code, said = at(entry, each.code), json.dumps(entry, ensure_ascii=False)[:MAX_DETAIL]
            if str(code) == each.success:
                identity = at(entry, each.id) if each.id else None
                answers[number] = Answer(Sent(self.name, None if identity is None else str(identity), said))
                continue
            answer = self._judge(code, template, said)
            answers[number] = Answer(answer.result, answer.concerns, is_rate=answer.is_rate)
        return Answer(Unknown(self.name, "not_answered", "The provider said nothing of this number."), each=answers)

    def _read_number(self, entry: object, path: str) -> str | None:
        return numbers.read(str(at(entry, path) or ""), self.countries)

    def _judge(self, code: object, template: str, said: str) -> Answer:
        """Say what a code means by the description; a refusal for good where it says nothing of it."""
        errors = self._settings.errors
        one, named = errors.get(str(code), errors.get("*")), self._settings.name_code(code)
        if one is None:
            return Answer(Refused(self.name, named, said), concerns="content")
        detail = said if str(code) in errors else f"(an unlisted code) {said}"
        meaning = Meaning(_RESULTS[one.result], one.concerns, one.after_s, one.of_one)
        result = make_result(self.name, meaning, named, detail, now=self._now(), about=template)
        is_rate = one.result == "again" and one.concerns == "provider" and one.after_s > 0
        return Answer(result, concerns=one.concerns, of_one=one.of_one, is_rate=is_rate)

    def _judge_status(self, status: int, said: str) -> Answer | None:
        """Judge an answer by its status alone; None where that says nothing yet."""
        if status >= SERVER_ERROR:
            return Answer(Unknown(self.name, f"http_{status}", said), concerns="provider")
        if status == TOO_MANY:
            return Answer(Again(self.name, f"http_{status}", said), concerns="provider", is_rate=True)
        return None


def _plain(answer: str) -> Reply:
    return Reply(answer, media_type="text/plain; charset=utf-8")
