"""Names of browsers and systems, out of the long lines by which browsers name themselves."""

from imsg_console.sanitize import line

MAX_AGENT = 200

BROWSERS = (
    ("MicroMessenger", "微信 WeChat"),
    ("QQBrowser", "QQ"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Safari/", "Safari"),
)
"""Sign in the line → name. Most browsers say that they are Chrome or Safari too: the first sign counts."""

SYSTEMS = (
    ("HarmonyOS", "HarmonyOS"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def name_agent(agent: str) -> str:
    """Return the browser and the system, `Chrome · Windows`; the line itself where neither is known."""
    names = [next((name for sign, name in known if sign in agent), "") for known in (BROWSERS, SYSTEMS)]
    return " · ".join(filter(None, names)) or line(agent, MAX_AGENT)
