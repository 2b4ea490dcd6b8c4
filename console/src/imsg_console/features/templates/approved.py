"""The templates that providers have approved: one is chosen, so that its number and variables need not be typed."""

from collections.abc import Sequence
from dataclasses import dataclass

from imsg_console.client import ApiError, path
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.forms import Field, ask_form
from imsg_console.widgets.notices import toast

PROVIDERS = "/api/v2/providers"


@dataclass(frozen=True, slots=True)
class Approved:
    """A template of a provider."""

    provider: str
    template: str
    variables: Sequence[str]


async def ask_approved(view: View, method: str) -> Approved | None:
    """Show the approved templates of a channel's providers; return the chosen one or None. Raises ApiError."""
    t = view.t
    approved: list[Approved] = []
    options: dict[str, str] = {}
    problem = ""
    for provider in (await view.api.get(PROVIDERS))["providers"]:
        if provider["method"] != method or not provider["enabled"]:
            continue
        try:
            answer = await view.api.get(path(PROVIDERS, method, provider["name"], "templates"))
        except ApiError as error:  # a kind without such a list, or a provider that does not answer
            problem = error.detail
            continue
        for template in answer["templates"]:
            if template["review"] == "approved":
                options[str(len(approved))] = (
                    f"{line(template['text'], 120)}（{line(provider['name'], 32)}，{line(template['id'], 64)}）"
                )
                approved.append(Approved(provider["name"], template["id"], template["variables"]))
    if not approved:
        toast(t("templates.none_approved", why=problem), good=False)
        return None
    chosen = Field("approved", t("templates.approved_which"), "0", "choice", options=options)
    read = await ask_form(view, t("templates.choose_approved"), [chosen], t("templates.approved_take"), wide=True)
    return None if read is None else approved[int(read["approved"])]
