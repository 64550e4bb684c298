"""Settings that are known to work, for params.yaml: `python -m pipeline use <name>`.

A preset is the part of params.yaml that depends on the images: `pipeline/config/presets/<name>.yaml`, its first comment
saying for what it is, what it costs, and on what it was run. All presets give the same keys, so that one leaves nothing
behind of another; all other keys, and every comment, stay as they are. A part that a preset switches off is one line
then; one that is off and that a preset gives comes back as the repository has it, by `parts.yaml`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.base import files, programs
from pipeline.base.errors import UserError
from pipeline.base.shipped import shipped
from pipeline.config import params
from pipeline.config.edited import differences, edited
from pipeline.config.section import unknown
from pipeline.config.yaml import flatten, parse, read_yaml

FOLDER = Path(__file__).with_suffix("")
PARTS = FOLDER.with_name("parts.yaml")
MARK = "# preset"
COSTS = "Costs: "
# A line with a key, and all that stand to its right, what is empty or a comment between them too.
SECTION = re.compile(r"^(\w+):.*\n(?:(?:[ \t]*\n|#.*\n)*[ \t]+\S.*\n)*", re.MULTILINE)
PATIENCE = 60.0  # seconds, for git
WHOLE = ("architecture", "recipe")  # replaced, not filled up: what an earlier one had more would stay
PLACES = {"preset": 0, "input": 1}  # of keys that come and go: at its end a section has the comments that follow it
EXACT = ("views",)  # filled, and without what the preset does not give; comments stay


def use(name: str, path: Path, force: bool) -> list[tuple[str, ...]]:
    """Write a preset into params.yaml; return the cells of what changed, header first.

    Raises:
        UserError: There is no such preset, params.yaml does not fit it, or it has changes of a person's that git
            does not hold, and `force` is not given.
    """
    if name not in names():
        raise UserError(unknown("preset", name, names()))
    before = read_yaml(path)
    text = path.read_text()
    kept = _kept(text, path)
    if kept is None and not force:
        raise UserError(
            f"{path.name} has changes that are not committed: commit them (`git commit {path.name}`), or give --force"
        )
    changed = apply(text if kept is None else kept, name)  # parts that another preset has switched off are there
    content = parse(changed, path.name)
    params.check(content, path.name)
    files.write_text(path, changed)
    return [("parameter", "before", name), *_changes(before, content)]


def names() -> list[str]:
    """The presets there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def lines() -> list[tuple[str, ...]]:
    """Cells of the table of presets, header first: for what each is, and what it costs."""
    found = [(name, *_said(_head(FOLDER / f"{name}.yaml"))) for name in names()]
    return [("preset", "for", "costs"), *found]


def _said(head: list[str]) -> tuple[str, str]:
    """Of the comment at a preset's head: what comes before its costs, and those, as far as one sentence goes."""
    text = " ".join(head)
    what, _, rest = text.partition(COSTS)
    return what.strip(), f"{rest.partition('. ')[0].rstrip('.')}"


def _head(path: Path) -> list[str]:
    return [line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# ")]


def apply(text: str, name: str) -> str:
    """The text of params.yaml with a preset in it: comments and order stay, the preset's own comment comes first."""
    path = FOLDER / f"{name}.yaml"
    preset = read_yaml(path)
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))
    given = {key: value for key, value in preset.items() if not _is_off(key, value)}
    return _note(path) + edited(_with_parts(text, preset), lambda content: _merge(content, given))


def _sections(text: str) -> dict[str, str]:
    """The lines of each section, by its key, from the one with the key on; comments between two are of neither."""
    return {found[1]: found[0] for found in SECTION.finditer(text)}


def _with_parts(text: str, preset: dict[str, Any]) -> str:
    """A text of params.yaml in which those parts are off, and those on, that are so in a preset."""
    content, known = parse(text, "params.yaml"), _sections(PARTS.read_text())
    turned = {key for key in known if key in preset and _is_off(key, content.get(key)) != _is_off(key, preset[key])}

    def turn(found: re.Match[str]) -> str:
        key = found[1]
        if key not in turned:
            return found[0]
        return _off_line(key, found[0]) if _is_off(key, preset[key]) else known[key]

    text = SECTION.sub(turn, text if text.endswith("\n") else f"{text}\n")
    return text + "".join(part for key, part in known.items() if key in turned and key not in content)


def _off_line(key: str, section: str) -> str:
    """The line that stands for a section that is off, with the comment beside its key."""
    line, comment = f"{key}: {'{}' if key == 'method' else 'null'}", re.search(r" # .*", section.splitlines()[0])
    return (f"{line:25}{comment[0]}" if comment else line) + "\n"


def _is_off(key: str, value: Any) -> bool:
    return value is None or (key == "method" and value == {})


def _merge(base: Any, change: dict[str, Any]) -> None:
    """Put `change` into `base` in place, mapping by mapping, so that comments and layout of `base` stay."""
    for key, value in change.items():
        if key not in base and key in PLACES:
            base.insert(PLACES[key], key, None)
        if isinstance(value, list) and isinstance(base.get(key), list):
            base[key][:] = value  # in the brackets that are there
            continue
        if not isinstance(value, dict):
            base[key] = value
            continue
        if not isinstance(base.get(key), dict):
            base[key] = type(base)()
            base[key].fa.set_flow_style()
        if key in WHOLE or "family" in value:
            base[key].clear()
        goes = [other for other in base[key] if other not in value] if key in EXACT else []
        if "architecture" in value:  # another one has another input, and begins with other weights
            goes += [other for other in ("input", "initial") if other in base[key] and other not in value]
            base[key].update({other: None for other in ("weights",) if base[key].get(other)})
        for other in goes:
            del base[key][other]
        _merge(base[key], value)


def _note(path: Path) -> str:
    """The comment at a preset's head, for the head of params.yaml; the settings of the repository need none."""
    if path.stem == "digits":
        return ""
    return "".join(f"{MARK} {path.stem}: {line}\n" for line in _head(path))


def _kept(text: str, path: Path) -> str | None:
    """What git or the release holds, where it is this text, or what a preset made this text of; else None."""
    for held in _held(path):
        if text == held or any(text == apply(held, name) for name in names()):
            return held
    return None


def _held(path: Path) -> Iterator[str]:
    shown = programs.run(["git", "show", f"HEAD:./{path.name}"], PATIENCE)
    if shown.returncode == 0:
        yield shown.stdout
    release = shipped() / path.name
    if release.is_file() and not release.samefile(path):  # of a checkout it is the user's own
        yield release.read_text()


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each parameter that is another; of a part that was switched off or on, that alone."""
    parts = _sections(PARTS.read_text())
    turned = [key for key in parts if _is_off(key, before.get(key)) != _is_off(key, after.get(key))]

    def brief(content: Mapping[str, Any]) -> dict[str, Any]:
        rest = flatten({key: value for key, value in content.items() if key not in turned})
        return rest | {key: "off" if _is_off(key, content.get(key)) else "on" for key in turned}

    return differences(brief(before), brief(after))
