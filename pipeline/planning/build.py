"""params.yaml and the code, turned into one small spec a stage: what to do, with what, by which code.

A stage depends on its own spec, so it runs again exactly when something that concerns it has changed.
Nothing here imports torch: plan runs at every `dvc repro`.
"""

from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import resolve
from pipeline.config.compress import Compress
from pipeline.config.extension import OBJECTIVES, OPTIMIZERS, SOURCES
from pipeline.config.network import ChainSection, NetworkSection, TrainingSection
from pipeline.config.params import Params
from pipeline.config.section import unknown
from pipeline.config.term import has_logits, needs_features, needs_teacher
from pipeline.planning import compress, graph, report
from pipeline.planning.parts import BODIES, carry, code, models, seed
from pipeline.planning.specs import Spec
from pipeline.planning.wiring import COMMAND

CHAINS = ("assistant", "refinery", "born_again")
TEACHING = ("teacher", *CHAINS)
STARTS = ("teacher", "baseline", "direct", "student", "refined", "ensemble")


def build(params: Params, stages: dict[str, Any]) -> dict[str, Spec]:
    """One spec a stage, by node name.

    Raises:
        UserError: A chain is longer than its slots, or an edge or objective does not make sense.
    """
    planner = Planner(params, stages)
    specs = {"prepare": planner.prepare(), "teacher": planner.teacher()}
    specs |= planner.assistants()
    specs["student"] = planner.network("student", params.student, _link(stages, "assistant"))
    specs["baseline"] = planner.network("baseline", params.baseline, None)
    specs["direct"] = planner.network("direct", params.direct, "teacher")
    specs |= planner.chain("refinery", params.refinery)
    specs["refined"] = planner.reader("refined", {"chain": _link(stages, "refinery")})
    specs |= planner.chain("born_again", params.born_again)
    specs["ensemble"] = planner.ensemble()
    specs |= planner.methods()
    specs["mutual"] = planner.mutual()
    specs |= compress.steps(planner)
    networks = [name for name in specs if name != "prepare"]
    specs["summary"] = planner.reader("summary", {"nodes": networks})
    specs["report"] = report.page(planner, networks)
    specs["machine"] = params.machine.model_dump(mode="json")
    return specs


def write(specs: dict[str, Spec], folder: Path) -> None:
    """Write one sealed JSON file a spec."""
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        for name, spec in specs.items():
            files.write_sealed(temporary / f"{name}.json", spec)


class Planner:
    """The params and the graph, at hand for every kind of spec."""

    def __init__(self, params: Params, stages: dict[str, Any]) -> None:
        self.params = params
        self.stages = stages
        self.starts = (params.refinery.start, params.born_again.start)
        self.label_writers = {*self.starts, *compress.teachers(params.compress)}

    def prepare(self) -> Spec:
        data = self.params.data
        listed = SOURCES.helper(data.source, "files")
        return {
            "node": "prepare",
            "data": data.model_dump(mode="json"),
            "seed": self.params.seeds.data,
            "files": listed(resolve(data.root), **data.settings) if listed else None,
            "code": code([BODIES["prepare"], SOURCES.code(data.source)]),
        }

    def teacher(self) -> Spec:
        teacher = self.params.teacher
        spec = self.network("teacher", teacher, None)
        if teacher.weights is not None:
            spec["weights"] = teacher.weights.model_dump(mode="json")
        return spec

    def assistants(self) -> dict[str, Spec]:
        section = self.params.assistant
        graph.check_length(self.stages, "assistant", section.links, "assistant.links")
        slots = graph.slots(self.stages, "assistant")
        for slot in section.architectures:
            if slot not in slots:
                raise UserError(f"params.yaml: assistant.architectures: {unknown('slot', slot, slots)}")
        specs = {}
        previous = "teacher"
        for number, slot in enumerate(slots, start=1):
            name = f"assistant/{slot}"
            if number <= section.links:
                architecture = section.architectures[slot]
                specs[name] = self.learner(name, section, previous, architecture, follows=number > 1)
            else:
                specs[name] = carry(name, previous)
            previous = name
        return specs

    def chain(self, family: str, section: ChainSection) -> dict[str, Spec]:
        graph.check_length(self.stages, family, section.generations, f"{family}.generations")
        self._check_start(family, section)
        architecture = section.architecture or self.architecture(family, section.start)
        rule = {"patience": section.patience, "min_gain": section.min_gain}
        specs = {}
        previous = section.start
        for number, slot in enumerate(graph.slots(self.stages, family), start=1):
            name = f"{family}/{slot}"
            if number <= section.generations:
                specs[name] = self.learner(name, section, previous, architecture, follows=number > 1)
                if number > 1:
                    specs[name]["stop"] = rule
            else:
                specs[name] = carry(name, previous)
            previous = name
        return specs

    def ensemble(self) -> Spec:
        """What to combine, and how."""
        content = {
            "members": [f"born_again/{slot}" for slot in graph.slots(self.stages, "born_again")],
            "teaches": "ensemble" in self.label_writers,
            "rule": self.params.ensemble.rule,
            "views": self.params.views.model_dump(mode="json"),
            "views_seed": self.params.seeds.views,
        }
        return self.reader("ensemble", content)

    def methods(self) -> dict[str, Spec]:
        """The same student from the same teacher by each method; one that params.yaml does not name is skipped."""
        slots = graph.slots(self.stages, "method")
        sections = self.params.method
        for name in sections:
            if name not in slots:
                raise UserError(
                    f"params.yaml: method: {unknown('method', name, slots)}; a new one needs "
                    f"`{name}: {{reads: teacher}}` in stages.method.foreach of dvc.yaml; then {COMMAND}"
                )
        specs = {}
        for slot in slots:
            name = f"method/{slot}"
            if slot not in sections:
                specs[name] = {"node": name, "action": "skip", "code": code(["pipeline/lineage/node.py"])}
                continue
            specs[name] = self.network(name, sections[slot], "teacher")
            if initial := sections[slot].initial:
                if initial not in sections:
                    raise UserError(
                        f"params.yaml: method.{slot}.initial is {initial!r}, which is not in params.yaml: "
                        f"give method.{initial}, or leave method.{slot} out, too"
                    )
                if self.stages["method"]["foreach"][slot].get("reads") != f"method/{initial}":
                    raise UserError(
                        f"params.yaml: method.{slot}.initial is {initial!r}: in dvc.yaml, "
                        f"stages.method.foreach.{slot}.reads must be method/{initial}"
                    )
                specs[name]["initial"] = f"method/{initial}"
        return specs

    def mutual(self) -> Spec:
        """Networks that teach each other, on the batches of the first one."""
        section = self.params.mutual
        architectures = [section.architectures[f"p{k}"] for k in range(1, section.peers + 1)]
        spec = self.learner("mutual", section, None, architectures[0])
        spec["training"]["update"] = section.update
        spec["training"]["members"] = [
            {"architecture": each, "objective": section.objective, "seed": self.seed(section, f"mutual/members/{k}")}
            for k, each in enumerate(architectures, start=1)
        ]
        spec["carries"] = section.carries
        modules = [path for each in architectures for path in models(each)]
        spec["code"] = self.codes("mutual", section, modules)
        return spec

    def network(self, name: str, section: NetworkSection, teacher: str | None) -> Spec:
        """The spec of a network that stands alone in its section."""
        return self.learner(name, section, teacher, section.architecture)

    def learner(
        self,
        name: str,
        section: TrainingSection,
        teacher: str | None,
        architecture: dict[str, Any],
        follows: bool = False,
        where: str | None = None,
    ) -> Spec:
        """The spec of one network to train; `where` is its key in params.yaml, where that is not its family."""
        family = name.split("/")[0]
        where = where or family
        if teacher is None and needs_teacher(section.objective):
            raise UserError(f"params.yaml: {where}.objective needs a teacher, but {where} has none: use cross_entropy")
        # Features are not stored: whoever compares them needs the teacher live.
        teaching = "live" if needs_features(section.objective) else section.teaching
        if teacher == "ensemble" and teaching == "live":
            raise UserError(
                f"params.yaml: {where} needs a live teacher, but the ensemble has no weights to run: "
                f"use {where}.teaching: stored, and no objective on features"
            )
        labels = self.labels()
        if family not in TEACHING and name not in self.label_writers:
            labels["views"] = 0
        return {
            "node": name,
            "action": "train",
            "teacher": teacher if teacher and needs_teacher(section.objective) else None,
            "previous": teacher if family in CHAINS else None,
            "follows": follows,
            "answers": has_logits(section.objective),
            "training": {
                "architecture": architecture,
                "objective": section.objective,
                "recipe": section.recipe.model_dump(mode="json"),
                "teaching": teaching,
                "teacher_batch": labels["batch_size"] if teaching == "live" else None,
                **self.view_settings(),
                "seed": self.seed(section, _role(name)),
            },
            "labels": labels,
            "code": self.codes(family, section, models(architecture)),
        }

    def seed(self, section: TrainingSection | Compress, role: str) -> int:
        """The seed of a role in a section."""
        return seed(self.params.seeds.train if section.seed is None else section.seed, role)

    def codes(self, family: str, section: TrainingSection, models: list[str]) -> dict[str, str]:
        """What decides the trained weights, and what decides the stage's outs: labelling and measuring, too."""
        optimizer = OPTIMIZERS.code(section.recipe.optimizer)
        modules = [*models, *(OBJECTIVES.code(term) for term in section.objective), optimizer]
        return {
            "training": code(["pipeline/training/loop.py", *modules]),
            "stage": code([BODIES[family], *modules]),
        }

    def reader(self, name: str, content: Spec) -> Spec:
        """The spec of a stage that reads nodes and trains nothing."""
        return {"node": name, **content, "code": code([BODIES[name]])}

    def about(self) -> Spec:
        """What a page or a card says of how a run was asked for: images and seeds."""
        data = self.params.data
        # What has files of the user's own is called as their folder.
        source = Path(data.root).name if SOURCES.helper(data.source, "files") else data.source
        return {"source": source, "seeds": self.params.seeds.model_dump(mode="json")}

    def view_settings(self) -> Spec:
        """How images are augmented, and in which precision a network runs on them."""
        return {
            "views": self.params.views.model_dump(mode="json"),
            "views_seed": self.params.seeds.views,
            "precision": self.params.machine.precision,
        }

    def labels(self) -> Spec:
        """How a node writes its labels; a live teacher runs in batches of the same size."""
        labels = self.params.labels.model_dump(mode="json")
        labels["batch_size"] = labels["batch_size"] or self.params.training.batch_size
        return labels

    def _check_start(self, family: str, section: ChainSection) -> None:
        start = section.start
        links = [f"assistant/t{n}" for n in range(1, self.params.assistant.links + 1)]
        allowed = [name for name in (*STARTS, *links) if family == "born_again" or name != "refined"]
        allowed = [name for name in allowed if family == "refinery" or name != "ensemble"]
        if start not in allowed:
            raise UserError(f"params.yaml: {family}.from is {start!r}, must be one of {', '.join(allowed)}")
        if self.starts == ("ensemble", "refined"):
            raise UserError(
                "params.yaml: refinery.from is ensemble and born_again.from is refined, so that each would wait for "
                "the other: let one of them start from teacher, baseline, direct or student"
            )

    def architecture(self, family: str, start: str) -> dict[str, Any]:
        """A chain has the architecture of the network it starts from, unless it names its own."""
        params = self.params
        if start == "ensemble":
            raise UserError(
                f"params.yaml: {family}.from is ensemble, which has no architecture: give {family}.architecture"
            )
        if start == "refined":
            return params.refinery.architecture or self.architecture("refinery", params.refinery.start)
        if start.startswith("assistant/"):
            return params.assistant.architectures[start.split("/")[1]]
        return getattr(params, start).architecture


def _role(name: str) -> str:
    """All networks of the student's kind share initialisation and order, so that they compare pairwise."""
    return "student" if name.split("/")[0] in {"baseline", "direct", "method"} else name


def _link(stages: dict[str, Any], family: str) -> str:
    """The last slot of a chain, which stands for the last one trained."""
    return f"{family}/{graph.slots(stages, family)[-1]}"
