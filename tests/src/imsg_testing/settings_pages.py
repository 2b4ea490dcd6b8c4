"""docs/settings.md and its Chinese twin, written from the models that the services read: `make generate`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from imsg.all_in_one import MODELS, SENDERS
from imsg_channels import CHANNELS
from imsg_delivery.provider_kinds import find_form_field
from imsg_runtime.settings import HOLDS_SECRETS, Common, PeerKeys, variable
from imsg_testing.settings_texts import (
    CHINESE,
    ELSEWHERE,
    EXAMPLES,
    HEADS,
    TOPICS,
    WORDS,
    Language,
    Topic,
)

DOCS = Path(__file__).parents[3] / "docs"

NAME = "NAME"
"""Stands for a name that people choose."""

Path_ = tuple[str, ...]


@dataclass(slots=True)
class Setting:
    """A setting, and which services read it."""

    path: Path_
    info: FieldInfo
    readers: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)

    @property
    def example(self) -> str:
        """A value that the setting takes; empty for a table. Raises KeyError where there is none."""
        kinds = list(_flatten(self.info.annotation))
        if _is_table(self.info):
            return ""
        named = tuple(step for step in self.path if step != NAME)
        for start in range(len(named)):
            if (found := EXAMPLES.get(".".join(named[start:]))) is not None:
                return found
        default = self.info.get_default(call_default_factory=True) if not self.info.is_required() else None
        choices = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
        if choices:
            return str(next((choice for choice in reversed(choices) if choice != default), choices[-1]))
        if isinstance(default, bool):
            return _show(not default)
        if isinstance(default, int | float):
            return _show(_other_number(default, _bounds(self.info)))
        if default not in (None, "", ()):
            return _show(default)
        raise KeyError(f"{'.'.join(self.path)} has no example; give it one in imsg_testing.settings_texts")


def find_settings() -> list[Setting]:
    """List every setting that a service reads, each once, as its owner describes it."""
    senders = [(channel.service, SENDERS[channel.name].Settings) for channel in CHANNELS]
    owners = {settings for _, settings in senders}
    others = [(_service(model), model) for model in MODELS if model not in owners]
    found: dict[str, Setting] = {}
    for service, model in (*senders, *others):
        for path, info in _walk(model):
            setting = found.setdefault(variable(*path), Setting(path, info))
            if not setting.info.description and info.description:
                setting.info = info
            setting.readers.append(service)
            setting.defaults.append(_default(info))
    return list(found.values())


def _service(model: type[Common]) -> str:
    package = model.__module__.partition(".")[0].removeprefix("imsg_")
    return "imsg up" if package == "imsg" else package


def _walk(model: type[BaseModel], above: Path_ = (), *, is_named: bool = False) -> Iterator[tuple[Path_, FieldInfo]]:
    """Yield the settings of a model. Below a name that people choose, a part of several settings is one table."""
    for name, info in model.model_fields.items():
        path = (*above, name)
        models = _find_models(info)
        if info.exclude:  # known only so that it is refused by its name
            continue
        if models == [PeerKeys]:
            yield (*path, NAME), info
            continue
        is_mapping = _is_mapping(info.annotation)
        if is_named or is_mapping or not models:
            yield path, info
        if is_named or (is_mapping and get_origin(info.annotation) is not dict):
            continue
        for model_class in models:
            kind = model_class.model_fields.get("kind")
            chosen = (str(kind.default) if kind else NAME,) if is_mapping else ()
            yield from _walk(model_class, (*path, *chosen), is_named=is_mapping)


def _find_models(info: FieldInfo) -> list[type[BaseModel]]:
    return [
        member for member in _flatten(info.annotation) if isinstance(member, type) and issubclass(member, BaseModel)
    ]


def _flatten(annotation: Any) -> Iterator[Any]:  # noqa: ANN401  any annotation
    """Yield the types inside an annotation: those of unions, lists and tables."""
    if get_origin(annotation) is None or get_origin(annotation) is Literal:
        yield annotation
        return
    for part in get_args(annotation)[: 1 if get_origin(annotation) is Annotated else None]:
        yield from _flatten(part)


def _is_mapping(annotation: Any) -> bool:  # noqa: ANN401
    origin = get_origin(annotation)
    return (isinstance(origin, type) and issubclass(origin, Mapping)) or any(map(_is_mapping, get_args(annotation)))


def _is_table(info: FieldInfo) -> bool:
    return _is_mapping(info.annotation) or _find_models(info) not in ([], [PeerKeys])


def _is_secret(info: FieldInfo) -> bool:
    kinds = list(_flatten(info.annotation))
    return SecretStr in kinds or PeerKeys in kinds or HOLDS_SECRETS in info.metadata


def _bounds(info: FieldInfo) -> Mapping[str, Any]:
    """Return the limits of a number: `ge`, `gt`, `le`."""
    found: dict[str, Any] = {}

    def collect(annotation: Any, metadata: Sequence[Any]) -> None:  # noqa: ANN401
        for mark in metadata:
            found.update({name: getattr(mark, name) for name in ("ge", "gt", "le") if hasattr(mark, name)})
            collect(None, getattr(mark, "metadata", ()))
        if get_origin(annotation) is Annotated:
            collect(annotation.__origin__, annotation.__metadata__)
        else:
            for part in get_args(annotation):
                collect(part, ())

    collect(info.annotation, info.metadata)
    return found


def _other_number(default: float, bounds: Mapping[str, Any]) -> float:
    twice = default * 2
    return twice if twice <= bounds.get("le", twice) else default // 2


def _type(info: FieldInfo, language: Language) -> str:
    words = WORDS[language]
    kinds = list(_flatten(info.annotation))
    if _is_table(info):
        kind = words["table"]
    elif choices := [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]:
        kind = ", ".join(f"`{choice}`" for choice in choices if choice)
    elif bool in kinds:
        kind = "`true`, `false`"
    elif int in kinds or float in kinds:
        kind = " ".join(filter(None, (words["number"], _range(_bounds(info)))))
    elif Path in kinds:
        kind = words["path"]
    else:
        kind = words["list" if get_origin(info.annotation) is tuple or PeerKeys in kinds else "text"]
    return f"{kind} · **{words['secret']}**" if _is_secret(info) else kind


def _range(bounds: Mapping[str, Any]) -> str:
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']}–{bounds['le']}"
    return f"≥ {bounds['ge']}" if "ge" in bounds else f"> {bounds['gt']}" if "gt" in bounds else ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if default is None or default == {} or isinstance(default, BaseModel):
        return ""
    return f"`{shown}`" if (shown := _show(default)) else ""


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def write(language: Language) -> str:
    """Write the page in a language. Raises KeyError where a setting has no topic, translation or example."""
    found = find_settings()
    rows: dict[str, list[str]] = {topic.en: [] for topic in TOPICS}
    for setting in found:
        rows[_topic(setting.path).en].append(_row(setting, language))
    for elsewhere in ELSEWHERE:
        meaning = elsewhere.meaning if language == "en" else _translate(elsewhere.meaning)
        kind = WORDS[language][elsewhere.kind] if elsewhere.kind != "secret" else f"**{WORDS[language]['secret']}**"
        default = f"`{elsewhere.default}`" if elsewhere.default else "–"
        readers = " · ".join(WORDS[language].get(reader, reader) for reader in elsewhere.readers)
        rows[elsewhere.topic].append(
            f"| `{elsewhere.name}` | {kind} | {default} | {meaning} | `{elsewhere.example}` | {readers} |"
        )
    lines = [HEADS[language]]
    for topic in TOPICS:
        lines += [f"## {topic.en if language == 'en' else topic.zh}", ""]
        if topic.page:
            twin = topic.page.replace(".md", ".zh.md")
            page = twin if language == "zh" and (DOCS / twin).exists() else topic.page
            lines += [WORDS[language]["more"].format(page=page), ""]
        lines += [WORDS[language]["columns"], "|---|---|---|---|---|---|", *rows[topic.en], ""]
    return "\n".join(lines)


def _topic(path: Path_) -> Topic:
    fitting = [
        (len(topic_path), topic)
        for topic in TOPICS
        for topic_path in topic.paths
        if path[: len(topic_path)] == topic_path
    ]
    if not fitting:
        raise KeyError(f"{'.'.join(path)} has no topic; give it one in imsg_testing.settings_texts")
    return max(fitting, key=lambda candidate: candidate[0])[1]


def _row(setting: Setting, language: Language) -> str:
    words = WORDS[language]
    english = " ".join((setting.info.description or "").split())
    if not english:
        raise KeyError(f"{'.'.join(setting.path)} has no description; write a docstring below the field")
    mark = find_form_field(setting.info)
    meaning = english if language == "en" else mark.help_zh if mark is not None else _translate(english)
    example = f"`{setting.example}`" if setting.example else "–"
    first = f"`{variable(*setting.path)}`<br>`{'.'.join(setting.path)}`"
    readers = words["all"] if len(set(setting.readers)) == len(MODELS) else " · ".join(dict.fromkeys(setting.readers))
    cells = (first, _type(setting.info, language), _defaults(setting, words), meaning, example, readers)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _translate(english: str) -> str:
    if english not in CHINESE:
        raise KeyError(f"{english!r} has no Chinese; write it in imsg_testing/generated/settings.zh.toml")
    return CHINESE[english]


def _defaults(setting: Setting, words: Mapping[str, str]) -> str:
    """Return the default, with its services where they differ; the sandbox has none of another's settings."""
    given = dict(zip(setting.readers, setting.defaults, strict=True))
    if setting.path[0] != "sandbox" and len(given) > 1:
        given.pop("sandbox", None)
    shown = {reader: words["required"] if value == "required" else value or "–" for reader, value in given.items()}
    common = max(dict.fromkeys(shown.values()), key=list(shown.values()).count)
    others = [f"{value} ({reader})" for reader, value in shown.items() if value != common]
    return "; ".join((common, *others))
