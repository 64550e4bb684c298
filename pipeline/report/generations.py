"""Accuracy by generation: where a chain rose, where it stopped, and what was picked."""

from dataclasses import dataclass

from markupsafe import Markup

from pipeline import node
from pipeline.report.run import Run
from pipeline.report.section import Figure, Section, Table
from pipeline.report.svg import Frame, around, line, path, picture, spread, tag, text
from pipeline.report.words import counted, percent, points

FAMILIES = {"refinery": "Refinery", "born_again": "Born-again"}


@dataclass(frozen=True)
class Generations:
    """One chain. names, validation, test: generation 0 (where it started) first.

    asked: generations that params.yaml asks for. stopped: whether it stopped rising before that.
    best: the generation of the highest validation accuracy, ties to the earliest. beside: what the chain
    leads to (`refined`, `ensemble`): its name and its test accuracy.
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


def generations(run: Run, family: str) -> Generations | None:
    """The generations of a chain; None where none was trained."""
    rule = run.spec["chains"][family]
    trained = [entry for entry in run.networks if entry.family == family and entry.test is not None]
    start = node.read(rule["from"]).source
    first = run.find(rule["from"])
    if not trained or first is None:
        return None
    every = [first, *trained]
    validation = [entry.validation or 0.0 for entry in every]
    beside = run.find({"refinery": "refined", "born_again": "ensemble"}[family])
    return Generations(
        family=family,
        names=[start, *(entry.name for entry in trained)],
        validation=validation,
        test=[entry.test or 0.0 for entry in every],
        asked=rule["generations"],
        stopped=len(trained) < rule["generations"],
        best=validation.index(max(validation)),
        patience=rule["patience"],
        beside=(beside.name, beside.test) if beside and beside.test is not None else None,
    )


def chart(found: Generations) -> Markup:
    """Validation and test by generation, with the stop and what was picked."""
    frame = Frame(430, 270, right=74, top=20, bottom=40)
    values = [*found.validation, *found.test, *([found.beside[1]] if found.beside else [])]
    y = frame.y(*around(values, 0.02, 0, 1))
    last = max(found.asked, len(found.names) - 1)
    x = frame.x(-0.25, last + 0.25)
    parts = [frame.rows(y, [(tick, percent(tick, 0 if y.high - y.low > 0.04 else 1)) for tick in y.ticks()])]
    parts.append(frame.columns(x, [(k, str(k)) for k in range(last + 1)], "generation"))
    if found.stopped:
        at = x(len(found.names) - 0.5)
        parts += [
            tag("rect", x=at, y=frame.top, width=frame.width - frame.right - at, height=frame.height - frame.bottom - frame.top, class_="shade"),
            line(at, frame.top, at, frame.height - frame.bottom, "stopline"),
            text(at + 7, frame.height - frame.bottom - 9, "stopped", "note"),
        ]
    if found.beside:
        level = y(found.beside[1])
        parts += [
            line(frame.left, level, frame.width - frame.right, level, f"level f-{found.beside[0]}"),
            text(frame.width - frame.right, level - 6, f"{found.beside[0]}, test", "name", "end"),
        ]
    for series, class_ in ((found.test, "test"), (found.validation, "validation")):
        dots = [(x(k), y(value)) for k, value in enumerate(series)]
        parts.append(path(dots, f"curve {class_} f-{found.family}"))
        parts += [tag("circle", cx=cx, cy=cy, r=4.5, class_=f"dot {class_} f-{found.family}") for cx, cy in dots]
    ring = x(found.best), y(found.validation[found.best])
    parts.append(tag("circle", cx=ring[0], cy=ring[1], r=9, class_=f"ring f-{found.family}"))
    end = x(len(found.names) - 1)
    heights = spread([y(found.validation[-1]), y(found.test[-1])])
    parts += [
        text(end + 14, height + 4, word, "name") for height, word in zip(heights, ("validation", "test"), strict=True)
    ]
    title = f"{FAMILIES[found.family]}: accuracy by generation"
    return picture(f"generations-{found.family}", frame.width, frame.height, title, says(found), *parts)


def says(found: Generations) -> str:
    """What one sees, in words."""
    gain = found.validation[found.best] - found.validation[0]
    done = counted(len(found.names) - 1, "generation")
    if found.stopped:
        why = f"after {done} of {found.asked} asked for, as {counted(found.patience or 0, 'generation')} brought no gain"
        end = f"The chain stopped by itself {why}."
    else:
        end = f"All {done} that were asked for were trained." if found.asked > 1 else "The one generation asked for was trained."
    best = f"generation {found.best} ({found.names[found.best]})"
    rose = f"Best by validation is {best}, {points(gain)} points on its start." if found.best else "No generation beat its start, which is kept."
    return f"{end} {rose}"


def figure(found: Generations) -> Figure:
    """The chart with its numbers."""
    table = Table(
        ("generation", "network", "validation", "test"),
        [
            (str(k), name, percent(validation), percent(test))
            for k, (name, validation, test) in enumerate(zip(found.names, found.validation, found.test, strict=True))
        ],
        words=2,
    )
    beside = f" The dashed level is {found.beside[0]} on test, {percent(found.beside[1])}." if found.beside else ""
    return Figure(chart(found), says(found) + beside, table)


def section(run: Run) -> Section | None:
    """Both chains, or None where neither has a generation."""
    both = {family: generations(run, family) for family in FAMILIES}
    there = {family: found for family, found in both.items() if found is not None}
    if not there:
        return None
    lead = "A generation learns from the soft labels of the one before it. Full dots are validation, which decides; open dots are test, which only looks on."
    without = [FAMILIES[family] for family in FAMILIES if family not in there]
    return Section(
        "generations",
        "Generation by generation",
        lead,
        {
            "figures": [(FAMILIES[family], figure(found)) for family, found in there.items()],
            "without": f"{without[0]} trained no generation in this run." if without else "",
        },
    )
