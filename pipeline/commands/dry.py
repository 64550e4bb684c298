"""What `dvc repro` would do: which stages run, why, how long that takes and how much it writes. Nothing is written."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.files import Json
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.console.progress import emit, log
from pipeline.console.text import json_line
from pipeline.console.training import duration
from pipeline.dvc import cache, lock, looking, place
from pipeline.dvc.run_cache import RunCache
from pipeline.engines.estimate import UNKNOWN, Estimate, Expected, ImageCounts
from pipeline.engines.forecast import Cause, Forecast, Verdict, forecasts
from pipeline.lineage.results import show
from pipeline.planning import graph, releases
from pipeline.planning.build import build
from pipeline.planning.releases import Releases
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import Spec

EXACTLY = Releases("", {}, {}, {})  # for DVC, what a release only spells anew is another spec, too
DOES = {"action", "kind", "step"}  # keys of a spec that say what its stage does
IDLE = (CarrySpec, SkipSpec)
NAMED = 8  # stages that a line names


@dataclass(frozen=True)
class Prospect:
    """What is to be expected of one stage.

    Attributes:
        why: In words; of a cached stage, why its outputs have to be brought back, none where they stay.
        expected: None where it does not run.
        idle: Whether it is of a part that is off, or only points to the node before.
    """

    stage: str
    verdict: Verdict
    why: tuple[str, ...]
    expected: Expected | None
    idle: bool = False


def prospects(targets: list[str]) -> list[Prospect]:
    """All stages that `dvc repro` would look at for these targets, all without, but `plan`, which always runs.

    Raises:
        UserError: What `plan` would say of params.yaml, dvc.yaml or the code; there is no such target.
    """
    place.check()
    specs = build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    planned = {str(PLAN / f"{name}.json"): lock.spec_hash(spec.as_json()) for name, spec in specs.items()}
    root = cache.folder()
    stages = looking.stages(targets, planned)
    found = [each for each in forecasts(stages, planned, RunCache(root)) if each.stage.name != PLAN.name]
    if all(each.verdict == "cached" and not each.causes for each in found):
        return [Prospect(each.stage.name, each.verdict, (), None) for each in found]
    record = lock.read(Path("dvc.lock"))
    before = _before(record, root)
    now, last = _images(found, specs, before, record, root)
    estimate = Estimate(specs, before, now, last)
    return [
        Prospect(
            each.stage.name,
            each.verdict,
            tuple(_words(each, specs, before)),
            None if each.verdict == "cached" else estimate.of(_node(each.stage.name)),
            isinstance(specs.get(_node(each.stage.name)), IDLE),
        )
        for each in found
    ]


def tell(found: Sequence[Prospect], *, as_json: bool) -> None:
    """Print the table, and what it comes to in all. as_json: for a program, an object a line."""
    if as_json:
        for each in found:
            expected = each.expected or UNKNOWN
            amount = {"seconds": expected.seconds, "bytes": expected.bytes}
            emit(json_line({"stage": each.stage, "state": each.verdict, **amount, "why": each.why}))
        return
    idle = [each.stage for each in found if each.idle and each.verdict != "cached"]
    show([("stage", "state", "time", "disk", "why"), *(_cells(each) for each in found if each.stage not in idle)])
    if idle:
        log(f"not shown, since they are off or only carry, and take a second each: {_named(idle)}")
    for line in closing(found):
        log(line)


def closing(found: Sequence[Prospect]) -> list[str]:
    """What it comes to: at least, what surely runs; at most, all that may."""
    sure, may, cached = ([each for each in found if each.verdict == kind] for kind in ("runs", "may run", "cached"))
    if not sure and not may:
        return [f"nothing to do: all {len(found)} stages are cached"]
    lines = [
        f"at least: {_counted(sure)} {_amount(sure)}",
        f"at most:  {_counted([*sure, *may])} {_amount([*sure, *may])}",
        f"{len(cached)} of {len(found)} stages are cached; times are of one stage at a time",
    ]
    if unknown := [each.stage for each in (*sure, *may) if _unknown(each)]:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        lines.append(f"not counted, as nothing was measured of it yet: {', '.join(unknown[:NAMED])}{more}")
    return lines


def _unknown(each: Prospect) -> bool:
    """Whether its seconds or its bytes are not known."""
    return each.expected is not None and None in (each.expected.seconds, each.expected.bytes)


def _counted(found: Sequence[Prospect]) -> str:
    return "1 stage" if len(found) == 1 else f"{len(found)} stages"


def _amount(found: Iterable[Prospect]) -> str:
    """The sum of what is known."""
    found = [*found]
    known = [each.expected for each in found if each.expected]
    seconds = sum(each.seconds or 0.0 for each in known)
    size = sum(each.bytes or 0 for each in known)
    if not known:
        return ""
    if any(map(_unknown, found)):  # of a first run, nearly all
        return f"in more than {duration(seconds)}, writing more than {_size(size)} of labels and weights"
    return f"in about {duration(seconds)}, writing {_size(size)} of labels and weights"


def _cells(each: Prospect) -> tuple[str, ...]:
    expected = each.expected
    time, size = "", ""
    if expected:
        time = "not measured" if expected.seconds is None else duration(expected.seconds)
        size = "not measured" if expected.bytes is None else _size(expected.bytes) if expected.bytes else ""
    return (each.stage, each.verdict, time, size, "; ".join(each.why))


def _size(size: int) -> str:
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if size >= one:
            return f"{size / one:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def _before(record: lock.Lock, root: Path | None) -> dict[str, Json]:
    """The spec of each node's last run, as far as DVC's cache still holds it."""
    found = {}
    for stage, recorded in record.stages.items():
        path = str(PLAN / f"{_node(stage)}.json")
        for dep in recorded.get("deps", []):
            if root and dep["path"] == path and "md5" in dep:
                with suppress(UserError):
                    found[_node(stage)] = files.read_sealed(cache.path(root, dep["md5"]))
    return found


def _images(
    found: Iterable[Forecast],
    specs: Mapping[str, Spec],
    before: Mapping[str, Json],
    record: lock.Lock,
    root: Path | None,
) -> tuple[ImageCounts | None, ImageCounts | None]:
    """The images to come, and those of the last run; None where they are not known."""
    header = f"{DATA}/data.json"
    last = _read_images(root, record.outs, header)
    prepare = next((each for each in found if each.stage.name == "prepare"), None)
    if prepare is None:
        return last, last
    if prepare.verdict == "cached":
        return _read_images(root, prepare.outputs, header), last
    old, new = before.get("prepare"), specs["prepare"].as_json()
    if last is None or old is None or old.get("files") != new.get("files"):
        return None, last
    return last.after(old["data"], new["data"]), last


def _read_images(root: Path | None, outs: Mapping[str, str], header: str) -> ImageCounts | None:
    found = cache.read_json(root, dict(outs), header) if root else None
    return ImageCounts.of(found) if found else None


def _words(each: Forecast, specs: Mapping[str, Spec], before: Mapping[str, Json]) -> Iterable[str]:
    """Why a stage is due, or may be."""
    makers = dict.fromkeys(cause.detail for cause in each.causes if cause.reason == "rewritten")
    if makers:
        yield f"reads what {_named([*makers])} {'writes' if len(makers) == 1 else 'write'} anew"
    for cause in each.causes:
        if cause.reason != "rewritten":
            yield _sentence(cause, each, specs, before)
    if each.verdict == "cached" and each.causes:
        yield "DVC's cache holds that result"


def _sentence(cause: Cause, each: Forecast, specs: Mapping[str, Spec], before: Mapping[str, Json]) -> str:
    node = _node(each.stage.name)
    if cause.path == str(PLAN / f"{node}.json") and cause.reason == "input":
        if node not in before:
            return "its spec was changed, and DVC's cache no longer holds the old one"
        found = EXACTLY.differences(before[node], specs[node].as_json())
        # What is to do something else has other settings, too, which go without saying.
        return releases.in_words([each for each in found if each.key in DOES] or found)
    makers = next((given.makers for given in each.stage.inputs if given.path == cause.path), ())
    return {
        "always": "it runs each time",
        "new": "it has not run yet",
        "command": "its command in dvc.yaml was changed",
        "input": f"{cause.path} {'will be another' if makers else 'was changed'}",
        "no input": f"{cause.path} is missing",
        "new input": f"it did not read {cause.path} before",
        "output": f"{cause.path} {cause.detail}",
    }[cause.reason]


def _named(stages: Sequence[str]) -> str:
    more = f" and {len(stages) - NAMED} more" if len(stages) > NAMED else ""
    return f"{', '.join(stages[:NAMED])}{more}"


def _node(stage: str) -> str:
    return stage.replace("@", "/", 1)
