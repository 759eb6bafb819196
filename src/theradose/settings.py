"""Settings of a study and of experiments, read from YAML (nothing else reads it); their schema is generated."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.sections import Section, StudySettings

SectionT = TypeVar("SectionT", bound=Section)
Place = tuple[int | str, ...]
EXPERIMENTS = Path("config/experiments")
OURS = "Value error, "  # stands before what our own rules say
MISSING, SECTION = "missing", "should be keys with values, {key: value}"
IN_YAML = {"tuple_type": "should be a list, [one, another]", "dict_type": SECTION, "model_type": SECTION}
IN_YAML["too_short"] = "should hold one or more that are valid"
"""What validation says in the words of Python, said in those of the file."""


def _keys_at(kind: type[BaseModel], path: Place) -> list[str]:
    """Return the keys that are allowed where a faulty key stands."""
    current: Any = kind
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        said = getattr(field, "annotation", None)
        current = next((one for one in (said, *get_args(said)) if hasattr(one, "model_fields")), None)
    return sorted(getattr(current, "model_fields", {}))


def _fault(kind: type[BaseModel], error: Mapping[str, Any]) -> str:
    """Put one fault of the validation into words, with a guess at what was meant."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == MISSING:
        return f"{place}: must be given"
    if error["type"] != "extra_forbidden":
        said = IN_YAML.get(error["type"], str(error["msg"]).removeprefix(OURS))
        whole = error["type"] == "value_error" and isinstance(error["input"], Mapping)
        return ": ".join(filter(None, (place, said))) + ("" if whole else f" (got {error['input']!r})")
    allowed = _keys_at(kind, tuple(error["loc"][:-1]))
    near = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
    return f"{place}: unknown key; {hint}"


def _marks(node: yaml.Node, place: Place = ()) -> Iterator[tuple[Place, int]]:
    """Yield every key and entry below a node of a YAML file with its line."""
    if isinstance(node, yaml.MappingNode):
        below = [(key.value, key, value) for key, value in node.value]
    else:
        below = [(n, value, value) for n, value in enumerate(node.value)] if isinstance(node.value, list) else []
    for name, at, value in below:
        yield (*place, name), at.start_mark.line + 1
        yield from _marks(value, (*place, name))


def _lines(files: Sequence[Path]) -> dict[Place, str]:
    """Return key path -> where it stands, `line 7`, in the last of some YAML files that has it."""
    found: dict[Place, str] = {}
    for path in files:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        name = f"{Path(path).name} " if len(files) > 1 else ""
        found |= {place: f"{name}line {line}" for place, line in _marks(root)} if root else {}
    return found


def _line(error: Mapping[str, Any], lines: Mapping[Place, str]) -> str:
    """Return where a fault stands, or where the nearest key above it does; a rule between keys begins with its key."""
    loc: Place = tuple(error["loc"])
    if error["type"] == "value_error":
        loc += tuple(str(error["msg"]).removeprefix(OURS).partition(":")[0].split("."))
    found = next((lines[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in lines), "")
    return f"{found}: " if found else ""


def parse_settings(
    kind: type[SectionT], values: Mapping[str, Any], file: str | None = None, sources: Sequence[Path] = ()
) -> SectionT:
    """Turn a mapping into typed settings; SettingsError lists every fault at once, with its line in the `sources`."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = _lines(sources)
        faults = "; ".join(_line(item, lines) + _fault(kind, item) for item in error.errors())
        raise SettingsError(
            "settings are not valid", where=Where(file=file), got=faults, remedy="edit the file"
        ) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; SettingsError names file and line when it cannot be read."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError("settings file cannot be read", where=Where(file=str(path)), got=error) from error
    if not isinstance(content, dict):
        raise SettingsError("settings file holds no mapping", where=Where(file=str(path)), got=type(content).__name__)
    return content


def load_study(path: Path) -> StudySettings:
    """Read a study's settings from YAML."""
    return parse_settings(StudySettings, read_yaml(path), str(path), [path])


def load_experiment(folder: Path, name: str) -> ExperimentSettings:
    """Read `folder/name.yaml`, the settings of an experiment; SettingsError unless that is its name, too."""
    path = Path(folder) / f"{name}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(name, [file.stem for file in Path(folder).glob("*.yaml")], n=1)
        remedy = f"did you mean {near[0]}?" if near else f"write {path}, or choose one of that folder"
        raise SettingsError("experiment has no file", where=Where(file=str(path)), got=name, remedy=remedy)
    found = parse_settings(ExperimentSettings, read_yaml(path), str(path), [path])
    if found.name != name:
        where = Where(file=str(path), field="name")
        raise SettingsError("an experiment is not named as its file", where=where, got=found.name, expected=name)
    return found


def organs_learned(experiments: Iterable[ExperimentSettings]) -> tuple[str, ...]:
    """Return the organs whose mean doses or TIACs some experiments learn, each once, in order."""
    learning = (one for one in experiments if one.kind in {"organ_dose", "tiac"})
    return tuple(dict.fromkeys(organ for one in learning for organ in one.organs))


def from_json(kind: type[SectionT], text: str) -> SectionT:
    """Read the settings section that a rule hands to its step."""
    return parse_settings(kind, json.loads(text))


def to_json(section: Section) -> str:
    """Write a settings section as one line of JSON with sorted keys."""
    return json.dumps(section.model_dump(mode="json"), sort_keys=True)


def study_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a study's settings."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudySettings.model_json_schema()}
