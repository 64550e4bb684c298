"""The params and the graph, at hand for the specs of every family, and what those have in common."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.base.paths import resolve
from pipeline.config.class_names import read_names
from pipeline.config.compress import Compress
from pipeline.config.extension import SOURCES
from pipeline.config.network import ChainSection, Initial, InputSection, NetworkSection, TrainingSection, Weights
from pipeline.config.params import Params
from pipeline.config.parts import part_of
from pipeline.config.select import ACCURACY, Select, metric_of
from pipeline.config.term import check_mixing, has_logits, needs_features, needs_teacher, weighs_classes
from pipeline.data.streams import FIRST, TRAIN
from pipeline.planning import graph, units
from pipeline.planning.parts import seed
from pipeline.planning.specs.training import ForwardSettings, LabelSettings, TrainingSettings, TrainSpec, WeightsFile
from pipeline.planning.units import Units, code

CHAINS = ("assistant", "refinery", "born_again")
# An architecture, what is given of its input, and the file that it begins with.
Network = tuple[dict[str, Any], dict[str, Any] | None, WeightsFile | None]


class Planner:
    """The params and the graph.

    Args:
        params: params.yaml.
        stages: Those of dvc.yaml.
    """

    def __init__(self, params: Params, stages: dict[str, Any]) -> None:
        self.params = params
        self.stages = stages

    def last(self, family: str) -> str:
        """The last slot of a chain, which stands for the last one trained."""
        return f"{family}/{graph.slots(self.stages, family)[-1]}"

    def start(self, family: str) -> str:
        """Where a chain starts, or would where it is off: dvc.yaml has an edge from there in either case."""
        section = getattr(self.params, family)
        return getattr(self.params.edges, family) if section is None else section.start

    def is_on(self, name: str) -> bool:
        """Whether params.yaml asks for the part that a node is of."""
        return getattr(self.params, part_of(name), True) is not None

    def check_on(self, key: str, name: str, remedy: str) -> None:
        """Refuse what needs a node of a part that is off. key: what names it in params.yaml."""
        if not self.is_on(name):
            part = part_of(name)
            raise UserError(
                f"params.yaml: {key} is {name}, but {part} is null: name another network there, give {part}, or "
                f"{remedy}"
            )

    def network(self, name: str, section: NetworkSection, teacher: str | None) -> TrainSpec:
        """The spec of a network that stands alone in its section."""
        initial = None if isinstance(section.initial, str) else weights_file(section.initial)
        return self.train(name, section, teacher, section.architecture, given(section.input), initial=initial)

    def train(
        self,
        name: str,
        section: TrainingSection,
        teacher: str | None,
        architecture: dict[str, Any],
        input: dict[str, Any] | None,
        continues_chain: bool = False,
        initial: WeightsFile | None = None,
    ) -> TrainSpec:
        """The spec of one network to train; `input` is what params.yaml gives of its input."""
        family = name.split("/")[0]
        return TrainSpec(
            node=name,
            teacher=teacher if needs_teacher(section.objective) else None,
            previous=teacher if family in CHAINS else None,
            continues_chain=continues_chain,
            has_logits=has_logits(section.objective),
            training=self.training(
                section,
                teacher,
                architecture,
                input,
                initial,
                seed=self.seed(section, _role(name)),
                where=name.replace("/", ".") if family == "method" else family,
            ),
            labels=self.labels(),
            select=self.select,
            code=self.codes(family, section, units.model(architecture) | units.start(initial)),
        )

    def training(
        self,
        section: TrainingSection,
        teacher: str | None,
        architecture: dict[str, Any] | None,
        input: dict[str, Any] | None,
        initial: WeightsFile | None = None,
        *,
        seed: int,
        where: str,
    ) -> TrainingSettings:
        """What decides the weights of one network; `where` is the section's key in params.yaml."""
        check_mixing(section.objective, where, self.params.views.mixes)
        if teacher is None and needs_teacher(section.objective):
            raise UserError(f"params.yaml: {where}.objective needs a teacher, but {where} has none: use cross_entropy")
        # Features are not stored: whoever compares them needs a live teacher.
        teaching = "live" if needs_features(section.objective) else section.teaching
        if teacher and teaching == "live" and self.is_foreign(teacher):
            raise UserError(
                f"params.yaml: {where} needs a live teacher, but {self.foreign} gives one that is no network to run "
                f"here: use {where}.teaching: stored, and no objective on features"
            )
        if teacher == "ensemble" and self.is_foreign("born_again/g1"):
            raise UserError(
                f"params.yaml: {where} learns from the ensemble, whose only member is the teacher that {self.foreign} "
                "gives: raise born_again.generations, so that it has networks to run"
            )
        if teacher == "ensemble" and teaching == "live":
            raise UserError(
                f"params.yaml: {where} needs a live teacher, but the ensemble has no weights to run: "
                f"use {where}.teaching: stored, and no objective on features"
            )
        recipe = section.recipe.model_dump(mode="json")
        if not weighs_classes(section.objective):
            recipe.pop("class_weights", None)  # of `training`: it concerns those who learn from hard labels
        follows = section.recipe.chooses and has_logits(section.objective)
        return TrainingSettings(
            **vars(self.forward()),
            architecture=architecture,
            input=input,
            initial_file=initial,
            objective=section.objective,
            recipe=recipe,
            teaching=teaching,
            teacher_batch=self.labels().batch_size if teaching == "live" else None,
            seed=seed,
            stream=None if needs_teacher(section.objective) else TRAIN if where == "teacher" else FIRST,
            select=self.select if follows else None,
        )

    @property
    def select(self) -> Select | None:
        """The metric that decides; None where that is accuracy, so that specs are as they were without a choice."""
        chosen = self.params.select
        return None if metric_of(chosen) is ACCURACY else chosen

    def seed(self, section: TrainingSection | Compress, role: str) -> int:
        """The seed of a role in a section."""
        return seed(self.params.seeds.train if section.seed is None else section.seed, role)

    def codes(self, verb: str, section: TrainingSection, networks: Units) -> dict[str, dict[str, str]]:
        """What decides the trained weights, and what decides the stage's outs: labelling and measuring, too."""
        used = networks | units.optimizer(section.recipe.optimizer)
        for term in section.objective:
            used |= units.objective(term)
        return {"training": code(units.LOOP | used), "stage": code(units.stage(verb) | used)}

    def forward(self) -> ForwardSettings:
        """How images are shown to a network."""
        params = self.params
        return ForwardSettings(
            views=params.views.model_dump(mode="json"),
            views_seed=params.seeds.views,
            precision=params.machine.precision,
        )

    def labels(self) -> LabelSettings:
        """How a node writes its labels: of the clean view alone, until it is known who reads them (`asked_views`).

        A live teacher has batches of that size.
        """
        labels = self.params.labels
        return LabelSettings(
            views=0,
            distinct=labels.views,
            max_bytes=labels.max_bytes,
            kind=labels.kind,
            k=labels.k,
            rank=labels.rank,
            batch_size=labels.batch_size or self.params.training.batch_size,
        )

    def about(self) -> dict[str, Any]:
        """What a page or a card says of how a run was asked for: images and seeds."""
        data = self.params.data
        # What has files of the user's own is called as their folder.
        source = Path(data.root).name if SOURCES.helper(data.source, "files") else data.source
        return {"source": source, "seeds": self.params.seeds.model_dump(mode="json")}

    @property
    def foreign(self) -> str:
        """The key of a teacher that is no network of ours."""
        return f"teacher.{self.params.teacher.foreign}"

    def is_foreign(self, name: str) -> bool:
        """Whether a node is, stands for, or may come to stand for a teacher that is no network of ours."""
        params, family = self.params, name.split("/")[0]
        if params.teacher.foreign is None:
            return False
        if family == "assistant":
            return params.assistant.links == 0
        if not self.is_on(name):
            return False
        if family in ("refinery", "born_again"):
            return getattr(params, family).generations == 0 and self.is_foreign(self.start(family))
        if family == "compress":
            return not (params.compress and params.compress.order) and self.is_foreign(self.start("compress"))
        # The best of a refinery may be what it starts from.
        return name == "teacher" or (name == "refined" and self.is_foreign(self.start("refinery")))

    def architecture(self, family: str, start: str) -> Network:
        """A chain has the architecture and the input of the network it starts from, unless it names its own."""
        params = self.params
        if start == "teacher" and params.teacher.foreign:
            raise UserError(
                f"params.yaml: edges.{family} is teacher, and {self.foreign} gives no architecture: give "
                f"{family}.architecture, or another edges.{family}"
            )
        if start == "ensemble":
            raise UserError(
                f"params.yaml: edges.{family} is ensemble, which has no architecture: give {family}.architecture"
            )
        if start == "refined" and params.refinery:
            return self.of_chain("refinery", params.refinery)
        if start.startswith("assistant/"):
            slot = start.split("/")[1]
            links = params.assistant
            return links.architectures[slot], given(links.inputs.get(slot)), weights_file(links.initials.get(slot))
        section: NetworkSection = getattr(params, start)
        return section.architecture, given(section.input), weights_file(section.initial)

    def of_chain(self, family: str, section: ChainSection) -> Network:
        """The network of each generation of a chain: of what is not given, that of what the chain starts from."""
        input, initial = given(section.input), weights_file(section.initial)
        if section.architecture:
            return section.architecture, input, initial
        architecture, start_input, start_initial = self.architecture(family, section.start)
        return architecture, input or start_input, initial or start_initial


def given(section: InputSection | None) -> dict[str, Any] | None:
    """What params.yaml gives of an input; None where that is nothing."""
    return (section.given if section else None) or None


def weights_file(section: Initial | None) -> WeightsFile | None:
    """What params.yaml gives of a file of weights, with the names of its classes; None where that is nothing."""
    if section is None:
        return None
    names = section.classes
    return WeightsFile(
        file=section.file,
        sha256=section.sha256,
        classes=read_names(resolve(names)) if isinstance(names, str) else names,
        head="new" if section.head == "new" else None,
        expect=section.expect if isinstance(section, Weights) else None,
    )


def _role(name: str) -> str:
    """All networks of the student's kind share initialisation and order, so that they compare pairwise."""
    return "student" if name.split("/")[0] in {"baseline", "direct", "method"} else name
