"""The templates of an account, from the settings of sender-wechat."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict


class DeliveryOption(BaseModel):
    """A delivery option of a template."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = "template"
    id: str = ""
    fields: Mapping[str, str] = {}


class TemplateSettings(DeliveryOption):
    """A template: with several delivery options, or itself the only one."""

    options: Sequence[DeliveryOption] = ()

    @property
    def all_options(self) -> Sequence[DeliveryOption]:
        """The delivery options."""
        return self.options or (self,)


Settings = Mapping[str, TemplateSettings | tuple[str, ...]]


def read_settings(templates: Settings, kind: str) -> dict[str, tuple[str, ...]]:
    """Return the templates of an account for a kind of message: id → its fields."""
    fields: dict[str, tuple[str, ...]] = {}
    for name, template in templates.items():
        if isinstance(template, tuple):
            fields |= {name: template} if kind == "template" else {}
            continue
        for option in template.all_options:
            if option.kind == kind and option.id:
                fields[option.id] = tuple(dict.fromkeys((*fields.get(option.id, ()), *option.fields)))
    return fields


def find_constants(templates: Settings) -> dict[tuple[str, str], set[str]]:
    """Return the values that a `const` field may have: those in the settings count as registered."""
    values: dict[tuple[str, str], set[str]] = {}
    for template in templates.values():
        for option in () if isinstance(template, tuple) else template.all_options:
            for field, value in option.fields.items():
                if field.rstrip("0123456789") == "const" and "${" not in value:
                    values.setdefault((option.id, field), set()).add(value)
    return values
