"""Accuracy by generation: where a chain rose, where it stopped, and what was picked."""

from dataclasses import dataclass, field

from markupsafe import Markup

from pipeline.config.select import ACCURACY, Metric, metric_of
from pipeline.report.run import Reported
from pipeline.report.section import Figure, PageSection, Table
from pipeline.report.svg import Frame, around, dot, line, path, picture, rect, spread, text
from pipeline.report.words import counted, percent, points

FAMILIES = {"refinery": "Refinery", "born_again": "Born-again"}


@dataclass(frozen=True)
class Generations:
    """One chain. names, validation, test: generation 0 (where it started) first.

    asked: generations that params.yaml asks for. stopped: whether it stopped rising before that.
    best: the generation that was picked; of born-again the best one on validation. beside: what the chain leads to
    (`refined`, `ensemble`): its name and its test accuracy. metric, deciding: the one by which it stops and is picked,
    and the figure of each on validation.
    """

    family: str
    names: list[str]
    validation: list[float]
    test: list[float]
    asked: int
    stopped: bool
    best: int
    patience: int | None
    beside: tuple[str, float] | None
    metric: Metric = ACCURACY
    deciding: list[float] = field(default_factory=list)


def generations(run: Reported, family: str) -> Generations | None:
    """The generations of a chain; None where it is off, or none was trained."""
    rule = run.spec.chains.get(family)
    if rule is None:
        return None
    trained = [entry for entry in run.networks if entry.family == family and entry.test is not None]
    first = run.find(rule.start)
    if not trained or first is None:
        return None
    every = [run.entries.get(first.node.source, first), *trained]
    names = [entry.name for entry in every]
    validation = [entry.validation or 0.0 for entry in every]
    metric = metric_of(run.spec.select)
    deciding = [entry.metrics["validation"][metric.name] for entry in every]
    beside = run.find({"refinery": "refined", "born_again": "ensemble"}[family])
    picked = beside.node.source if beside and family == "refinery" else None
    return Generations(
        family=family,
        names=names,
        validation=validation,
        test=[entry.test or 0.0 for entry in every],
        asked=rule.generations,
        stopped=len(trained) < rule.generations,
        best=names.index(picked) if picked in names else deciding.index(max(deciding, key=metric.merit)),
        patience=rule.patience,
        beside=(beside.name, beside.test) if beside and beside.test is not None else None,
        metric=metric,
        deciding=deciding,
    )


def chart(found: Generations) -> Markup:
    """Validation and test by generation, with the stop and what was picked."""
    frame = Frame(390, 255, right=74, top=20, bottom=40)
    values = [*found.validation, *found.test, *([found.beside[1]] if found.beside else [])]
    y = frame.y(*around(values, 0.02, 0, 1))
    last = max(found.asked, len(found.names) - 1)
    x = frame.x(-0.25, last + 0.25)
    parts = [frame.shares(y), frame.columns(x, [(k, str(k)) for k in range(last + 1)], "generation")]
    heights = spread([y(found.validation[-1]), y(found.test[-1])])
    level = y(found.beside[1]) if found.beside else None
    if found.stopped:
        at = x(len(found.names) - 0.5)
        parts += [
            rect(at, frame.top, frame.edge - at, frame.floor - frame.top, "shade"),
            line(at, frame.top, at, frame.floor, "stopline"),
            text(at + 7, _free(frame, [*heights, *([level] if level is not None else [])]), "stopped", "note"),
        ]
    if found.beside and level is not None:
        parts += [
            line(frame.left, level, frame.edge, level, f"level f-{found.beside[0]}"),
            text(frame.edge, level - 6, f"{found.beside[0]}, test", "name", "end"),
        ]
    for series, class_ in ((found.test, "test"), (found.validation, "validation")):
        places = [(x(k), y(value)) for k, value in enumerate(series)]
        parts.append(path(places, f"curve {class_} f-{found.family}"))
        parts += [dot(*place, 4.5, f"dot {class_} f-{found.family}") for place in places]
    parts.append(dot(x(found.best), y(found.validation[found.best]), 9, f"ring f-{found.family}"))
    for height, word in zip(heights, ("validation", "test"), strict=True):
        parts.append(text(x(len(found.names) - 1) + 14, height + 4, word, "name"))
    title = f"{FAMILIES[found.family]}: accuracy by generation"
    return picture(f"generations-{found.family}", frame.width, frame.height, title, description(found), *parts)


def _free(frame: Frame, taken: list[float]) -> float:
    """The height, of those at the foot, in the middle and at the top, that is farthest from other words."""
    heights = (frame.floor - 9, (frame.floor + frame.top) / 2, frame.top + 14)
    return max(heights, key=lambda height: min(abs(height - other) for other in taken))


def description(found: Generations) -> str:
    """What the chart shows, in one or two sentences."""
    done = counted(len(found.names) - 1, "generation")
    if found.stopped:
        vain = counted(found.patience or 0, "generation")
        end = f"Stopped by itself after {done} of the {found.asked} asked for: {vain} brought no gain."
    else:
        end = f"{done} asked for and trained."
    if not found.best:
        return f"{end} None beats the start by validation."
    metric, best = found.metric, found.names[found.best]
    if metric is ACCURACY:
        gain = points(found.validation[found.best] - found.validation[0])
        return f"{end} Best by validation (ringed): {best}, {gain} points on the start."
    before, after = (metric.shown(found.deciding[k]) for k in (0, found.best))
    return f"{end} Best by validation {metric.words} (ringed): {best}, {after} where the start has {before}."


def figure(found: Generations) -> Figure:
    """The chart with its numbers."""
    decides = found.metric is not ACCURACY
    every = zip(found.names, found.validation, found.test, strict=True)
    table = Table(
        ("generation", "network", "validation", "test", *([f"validation {found.metric.words}"] if decides else [])),
        [
            (
                *(str(k), name, percent(validation), percent(test)),
                *([found.metric.shown(found.deciding[k])] if decides else []),
            )
            for k, (name, validation, test) in enumerate(every)
        ],
        words=2,
    )
    beside = f" The dashed level is {found.beside[0]} on test, {percent(found.beside[1])}." if found.beside else ""
    return Figure(chart(found), description(found) + beside, table)


def section(run: Reported) -> PageSection | None:
    """Both chains, or None where neither has a generation."""
    both = {family: generations(run, family) for family in FAMILIES}
    there = {family: found for family, found in both.items() if found is not None}
    if not there:
        return None
    metric = metric_of(run.spec.select)
    decides = "which decides" if metric is ACCURACY else f"whose {metric.words} decides"
    lead = (
        f"A generation learns from the soft labels of the one before it. Full dots are validation, {decides}; "
        "open dots are test, which decides nothing."
    )
    without = [FAMILIES[family] for family in run.spec.chains if family not in there]
    return PageSection(
        "generations",
        "Generation by generation",
        lead,
        {
            "figures": [(FAMILIES[family], figure(found)) for family, found in there.items()],
            "without": f"{without[0]} trained no generation in this run." if without else "",
        },
    )
