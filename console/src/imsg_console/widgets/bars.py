"""How much of something is used up: a bar, its numbers beside it, a tone that warns before the end."""

from imsg_console.widgets.elements import attrs, element

NEAR = 0.8
"""From where on a limit is near."""


def tone(used: int, limit: int) -> str:
    """Tell how near a limit is: `bad` used up, `warn` near, else empty."""
    if used >= limit:
        return "bad"
    return "warn" if used >= NEAR * limit else ""


def usage(label: str, used: int, limit: int | None, unlimited: str) -> None:
    """Draw a bar of what is used; without a limit the number alone."""
    with element("div", "usage"):
        with element("div", "spread small usage-said"):
            element("span", "muted", label)
            said = element("span", "usage-number", f"{used:,} / {limit:,}" if limit is not None else f"{used:,}")
            if limit is None:
                element("span", "muted usage-unlimited", unlimited)
        if limit is None:
            return
        share = min(100, round(100 * used / limit)) if limit else 100
        how = tone(used, limit)
        if how:
            said.classes(f"{how}-text")
        bar = element("div", f"bar bar-{how}" if how else "bar")
        attrs(bar, role="meter", aria_label=label, aria_valuemin=0, aria_valuemax=limit, aria_valuenow=min(used, limit))
        attrs(bar, aria_valuetext=f"{used} / {limit}")
        with bar:
            element("div", "bar-fill").style(f"width: {share:d}%")
