"""Which templates an account has, as sender-wechat's settings describe them."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict


class Way(BaseModel):
    """One way of a template, as sender-wechat's settings describe it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = "template"
    id: str = ""
    fields: Mapping[str, str] = {}


class Described(Way):
    """A template of sender-wechat's settings: with several ways, or itself the one way."""

    ways: Sequence[Way] = ()

    @property
    def all_ways(self) -> Sequence[Way]:
        """Return its ways."""
        return self.ways or (self,)


Settings = Mapping[str, Described | tuple[str, ...]]


def read_settings(templates: Settings, kind: str) -> dict[str, tuple[str, ...]]:
    """List the templates that an account has for a kind of message: id → its fields."""
    found: dict[str, tuple[str, ...]] = {}
    for name, one in templates.items():
        if isinstance(one, tuple):
            found |= {name: one} if kind == "template" else {}
            continue
        for way in one.all_ways:
            if way.kind == kind and way.id:
                found[way.id] = tuple(dict.fromkeys((*found.get(way.id, ()), *way.fields)))
    return found


def find_constants(templates: Settings) -> dict[tuple[str, str], set[str]]:
    """List the values that a `const` field may have: those that settings fix are the ones that were registered."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in templates.values():
        for way in () if isinstance(one, tuple) else one.all_ways:
            for field, value in way.fields.items():
                if field.rstrip("0123456789") == "const" and "${" not in value:
                    found.setdefault((way.id, field), set()).add(value)
    return found
