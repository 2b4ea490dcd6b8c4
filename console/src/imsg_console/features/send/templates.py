"""Templates as the API publishes them: what a text becomes in one, and what is wrong with it before it is sent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_SMS_CHARACTERS = 500

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_LINK = re.compile(r"(?i)https?://|www\.|[a-z0-9-]\.(?:com|cn|net|org|cc|top|xyz|io|me)\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Template:
    """One template of a method."""

    name: str
    is_default: bool
    signature: str
    text: str
    """The text around each `${variable}`; empty where it is not known."""
    variables: Mapping[str, int | None]
    links: bool
    breaks: bool

    @property
    def takes_text(self) -> bool:
        """Whether free text goes into it."""
        return self.is_default and len(self.variables) == 1

    def fill(self, params: Mapping[str, str]) -> str:
        """Return the whole message, signature first."""
        if not self.text:
            return self.signature + "".join(params.values())
        return self.signature + _VARIABLE.sub(lambda match: params.get(match[1], ""), self.text)

    def pieces(self, params: Mapping[str, str]) -> list[tuple[str, bool]]:
        """Return the message in pieces: text, and whether it is the sender's own."""
        if not self.text:
            return [(self.signature, False), *((value, True) for value in params.values())]
        parts = _VARIABLE.split(self.text)
        pieces = [(self.signature, False)]
        pieces += [(params.get(part, ""), True) if number % 2 else (part, False) for number, part in enumerate(parts)]
        return [(text, own) for text, own in pieces if text]


def read_templates(method: str, templates: Sequence[Any]) -> list[Template]:
    """Read the templates of a method's settings out of those of GET /api/v2/templates, the default first."""
    names = ("name", "default", "signature", "text", "variables", "links", "breaks")
    approved = [Template(*map(template.get, names)) for template in templates if template.get("method") == method]
    return sorted(approved, key=lambda template: not template.is_default)


def find_problems(
    template: Template | None, params: Mapping[str, str], *, is_sms: bool
) -> Sequence[tuple[str, dict[str, Any]]]:
    """Return what the API would refuse: keys of sentences, with their fields."""
    problems: list[tuple[str, dict[str, Any]]] = []
    if is_sms:
        whole = template.fill(params) if template else "".join(params.values())
        if len(whole) > MAX_SMS_CHARACTERS:
            problems.append(("send.sms_too_long", {"most": MAX_SMS_CHARACTERS, "now": len(whole)}))
    if template is None:
        return problems
    cuts = not is_sms and template.takes_text  # WeChat's sender cuts free text that does not fit
    for name, value in params.items():
        longest = template.variables.get(name)
        if longest is not None and len(value) > longest and not cuts:
            problems.append(("send.variable_too_long", {"name": name, "most": longest, "now": len(value)}))
        if not template.breaks and _CONTROL.search(value) and not cuts:
            problems.append(("send.no_breaks", {"name": name}))
        if is_sms and ("【" in value or "】" in value):
            problems.append(("send.no_brackets", {}))
        if is_sms and not template.links and _LINK.search(value):
            problems.append(("send.no_links", {}))
    return problems
