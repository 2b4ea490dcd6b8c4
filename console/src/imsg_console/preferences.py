"""What a visitor prefers: the language and the theme, from cookies, else from what the browser says."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from imsg_web.responses import prefers_english

Language = Literal["zh", "en"]
Theme = Literal["auto", "light", "dark"]

LANGUAGE_COOKIE = "imsg_language"
THEME_COOKIE = "imsg_theme"

LANGUAGES: Mapping[str, Language] = {"zh": "zh", "en": "en"}
THEMES: Mapping[str, Theme] = {"auto": "auto", "light": "light", "dark": "dark"}
"""What a cookie may say."""

HTML_LANGUAGES: Mapping[Language, Literal["zh-CN", "en-US"]] = {"zh": "zh-CN", "en": "en-US"}
"""As HTML's `lang` and Quasar's own words want them."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """How a visitor wants the page."""

    language: Language = "zh"
    theme: Theme = "auto"

    @property
    def dark(self) -> bool | None:
        """The theme as NiceGUI takes it; None: as the browser has it."""
        return {"auto": None, "light": False, "dark": True}[self.theme]

    @property
    def accept_language(self) -> str:
        """What to tell the API, so that its sentences come in this language."""
        return HTML_LANGUAGES[self.language]


current: ContextVar[Preferences] = ContextVar("preferences", default=Preferences())  # noqa: B039  frozen
"""Of the request that is being answered: NiceGUI asks its page for language and theme without saying for whom."""


def preferences(cookies: Mapping[str, str], accept_language: str) -> Preferences:
    """Read the cookies; what they don't say, or say wrongly, is the browser's wish."""
    language, theme = cookies.get(LANGUAGE_COOKIE), cookies.get(THEME_COOKIE)
    wished: Language = "en" if prefers_english(accept_language) else "zh"
    return Preferences(LANGUAGES.get(language or "", wished), THEMES.get(theme or "", "auto"))
