"""The words of a template in a form: one language of one channel is shown, the others are kept until all are saved."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from imsg_console.client import ApiError
from imsg_console.features.templates.approved import Approved
from imsg_console.message.languages import OFFERED, name_language
from imsg_console.texts import Texts
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import button
from imsg_console.widgets.forms import Field, FieldMaker, Form

MAIL, SMS = "smtp", "sms"
METHODS = (MAIL, SMS, "wechat")

MAIL_FIELDS = ("subject", "text", "html")

Source = dict[str, Any]

_PLACE = re.compile(r"languages\.([A-Za-z0-9-]+)\.([a-z]+)\.?(\S*)")
"""The place of a text in the API: language, channel, and the path below it."""

Ask = Callable[[str], Awaitable[Approved | None]]


class Words:
    """What a template says, by language and channel, while it is changed."""

    def __init__(self, t: Texts, known: Mapping[str, Any] | None, ask_approved: Ask | None) -> None:
        """`ask_approved` asks for an approved template of a channel; None: the caller may not see them."""
        self._t = t
        self._ask = ask_approved
        languages: Mapping[str, Mapping[str, Source]] = {} if known is None else known["languages"]
        self._sources = {
            (language, method): source for language, all_ in languages.items() for method, source in all_.items()
        }
        language = t.language if known is None else str(known["default_language"])
        methods = [method for method in METHODS if (language, method) in self._sources]
        self._shown = language, methods[0] if methods else MAIL
        self._languages = tuple(dict.fromkeys([*languages, *OFFERED]))
        counts = [len(source["providers"]) for source in self._sources.values() if "providers" in source]
        self._numbers = range(1, max(counts, default=0) + 2)

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of every channel."""
        t, (language, method) = self._t, self._shown
        languages = {tag: name_language(t, tag) for tag in self._languages}
        methods = {method: method_name(t, method) for method in METHODS}
        make = FieldMaker(t, "templates.", {"language": language, "method": method})
        return [
            make("language", "choice", options=languages),
            make("method", "choice", options=methods),
            make("subject"),
            make("text", "lines"),
            Field("html", "HTML", "", "lines", hint=t("templates.html_hint")),
            make("signature", max_length=20),
            *(field for n in self._numbers for field in self._provider_fields(n)),
        ]

    def prepare(self, form: Form) -> None:
        """Show the words of a language and a channel, and the others when they are chosen."""

        async def choose() -> None:
            if self._ask is not None and (chosen := await self._ask(self._shown[1])) is not None:
                self._fill_in(form, chosen)

        chooser = button(self._t("templates.choose_approved"), choose, symbol="fact_check")

        def turn() -> None:
            self._store(form)
            self._shown = str(form.input("language").value), str(form.input("method").value)
            self._show(form)
            chooser.set_visibility(self._ask is not None and self._shown[1] != MAIL)

        self._show(form)
        chooser.set_visibility(self._ask is not None and self._shown[1] != MAIL)
        for name in ("language", "method"):
            form.input(name).on_value_change(turn)

    def read(self, form: Form) -> dict[str, dict[str, Source]]:
        """Return all words: language → channel → source; the shown language alone, and empty, where there are none."""
        self._store(form)
        languages: dict[str, dict[str, Source]] = {}
        for (language, method), source in self._sources.items():
            languages.setdefault(language, {})[method] = source
        return languages or {self._shown[0]: {}}

    def show_place(self, form: Form, error: ApiError) -> ApiError:
        """Show the words that a refusal is about; return it with the name of their field in place of the API's."""
        place = _PLACE.search(error.detail)
        if place is None or (place[1], place[2]) not in self._sources:
            return error
        language, method, below = place.groups()
        form.input("language").value, form.input("method").value = language, method
        whole = f"{method_name(self._t, method)}（{name_language(self._t, language)}）"
        named = self._name_field(below, [*self._sources[language, method].get("providers", {})]) or whole
        return ApiError(error.reason, error.detail.replace(place[0], named), error.code)

    def _name_field(self, below: str, providers: Sequence[str]) -> str:
        """Return the form's field of a path such as `providers.aliyun.variables.name`, and the variable in it.

        Empty for a path of no field. Names of providers may have dots.
        """
        if not below.startswith("providers."):
            return below
        at = [provider for provider in providers if f"{below}.".startswith(f"providers.{provider}.")]
        if not at:
            return ""
        provider = max(at, key=len)
        field, _, variable = below.removeprefix(f"providers.{provider}").removeprefix(".").partition(".")
        return f"{field or 'provider'}{providers.index(provider) + 1} {variable}".rstrip()

    def _provider_fields(self, n: int) -> Sequence[Field]:
        t = self._t
        return [
            Field(f"provider{n}", t("templates.provider", n=n), hint=t("templates.provider_hint"), max_length=64),
            Field(f"template{n}", t("templates.approved", n=n), hint=t("templates.approved_hint"), max_length=128),
            Field(f"variables{n}", t("templates.variables", n=n), "", "lines", hint=t("templates.variables_hint")),
        ]

    def _fill_in(self, form: Form, chosen: Approved) -> None:
        """Fill in a template: at its provider, or where nothing is filled in yet."""
        names = {n: str(form.input(f"provider{n}").value or "").strip() for n in self._numbers}
        n = next((n for n, name in names.items() if name in {chosen.provider, ""}), self._numbers[-1])
        variables = [f"{name}={{{{ {_name_param(name)} }}}}" for name in chosen.variables]
        form.input(f"provider{n}").value = chosen.provider
        form.input(f"template{n}").value = chosen.template
        form.input(f"variables{n}").value = "\n".join(variables)

    def _store(self, form: Form) -> None:
        """Store the texts that are shown; a channel whose fields are empty has none."""
        read = form.read()
        if self._shown[1] == MAIL:
            words = {name: read[name] for name in MAIL_FIELDS if read[name]}
            source = {"subject": "", **words} if words else {}
        else:
            providers = {
                read[f"provider{n}"]: {
                    "template": read[f"template{n}"],
                    "variables": _read_variables(read[f"variables{n}"]),
                }
                for n in self._numbers
                if read[f"provider{n}"] or read[f"template{n}"]
            }
            signature = {"signature": read["signature"]} if read.get("signature") else {}
            source = {**signature, "providers": providers} if providers else {}
        if source:
            self._sources[self._shown] = source
        else:
            self._sources.pop(self._shown, None)

    def _show(self, form: Form) -> None:
        method = self._shown[1]
        source = self._sources.get(self._shown, {})
        values = {name: source.get(name) or "" for name in (*MAIL_FIELDS, "signature")}
        entries = list(source.get("providers", {}).items())
        for n in self._numbers:
            name, entry = entries[n - 1] if n <= len(entries) else ("", {})
            variables = [f"{theirs}={value}" for theirs, value in (entry.get("variables") or {}).items()]
            values |= {f"provider{n}": name, f"template{n}": entry.get("template", "")}
            values[f"variables{n}"] = "\n".join(variables)
        for name, value in values.items():
            made = form.input(name)
            made.value = value
            made.set_visibility((name in MAIL_FIELDS) == (method == MAIL) and (name != "signature" or method == SMS))


def _name_param(variable: str) -> str:
    """Return the param that fills a variable: the variable's name, with a prefix where a template could not use it."""
    return variable if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", variable) else f"param{variable}"


def _read_variables(text: str) -> dict[str, str]:
    """Read lines such as `name={{ name }}`; a line that begins no variable goes on with the one before."""
    variables: dict[str, str] = {}
    name = ""
    for row in filter(str.strip, text.splitlines()):
        begun, equals, value = row.partition("=")
        begins = bool(equals and begun.strip()) and not set(begun.strip()) & set(" {}%|")
        if begins or not name:
            name = begun.strip()
            variables[name] = value.strip()
        else:
            variables[name] += f"\n{row}"
    return variables
