"""The language, the theme and the guide of a visitor: from cookies, else from the browser's headers."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from imsg_web.responses import prefers_english

Language = Literal["zh", "en"]
Theme = Literal["auto", "light", "dark"]

LANGUAGE_COOKIE = "imsg_language"
THEME_COOKIE = "imsg_theme"
GUIDE_COOKIE = "imsg_guide"

LANGUAGES: Mapping[str, Language] = {"zh": "zh", "en": "en"}
THEMES: Mapping[str, Theme] = {"auto": "auto", "light": "light", "dark": "dark"}
"""The values of the cookies."""

HTML_LANGUAGES: Mapping[Language, Literal["zh-CN", "en-US"]] = {"zh": "zh-CN", "en": "en-US"}
"""As HTML's `lang` and Quasar's own words want them."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a visitor has chosen."""

    language: Language = "zh"
    theme: Theme = "auto"
    has_guide: bool = True
    """Whether the first-run guide is shown until all of it is done: it was not dismissed."""

    @property
    def dark(self) -> bool | None:
        """The theme as NiceGUI's value; None: the browser's."""
        return {"auto": None, "light": False, "dark": True}[self.theme]

    @property
    def accept_language(self) -> str:
        """The Accept-Language of calls to the API."""
        return HTML_LANGUAGES[self.language]


current: ContextVar[Preferences] = ContextVar("preferences", default=Preferences())  # noqa: B039  frozen
"""Those of the current request: NiceGUI asks a page for language and theme without the request."""


def preferences(cookies: Mapping[str, str], accept_language: str) -> Preferences:
    """Read the cookies; the browser's header replaces a missing or wrong one."""
    language, theme = cookies.get(LANGUAGE_COOKIE), cookies.get(THEME_COOKIE)
    wished: Language = "en" if prefers_english(accept_language) else "zh"
    has_guide = cookies.get(GUIDE_COOKIE) != "hidden"
    return Preferences(LANGUAGES.get(language or "", wished), THEMES.get(theme or "", "auto"), has_guide)
