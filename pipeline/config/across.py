"""Keys whose effect hangs on other sections than their own: what of them is set and has none (see `config.effect`).

A recipe is filled in from `training`, and much from `student`: a key counts where it is given, for all who take it
over.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config.compress import Compress, Fresh, Tuned
from pipeline.config.effect import Wanted, idle, sentence
from pipeline.config.extension import OBJECTIVES, OPTIMIZERS
from pipeline.config.network import (
    AssistantSection,
    ChainSection,
    MethodSection,
    MutualSection,
    NetworkSection,
    TrainingSection,
)
from pipeline.config.recipe import Recipe
from pipeline.config.term import has_logits, needs_features, needs_teacher, weighs_classes
from pipeline.config.views import Views

LIKE_STUDENT = ("student", "baseline", "direct")
Trained = Mapping[str, TrainingSection]
_DEFAULTS: dict[str, Any] = {name: field.default for name, field in Recipe.model_fields.items()}


def idle_keys(
    raw: Mapping[str, Any], training: Recipe, trained: Trained, compress: Compress | None, views: Views
) -> Iterator[str]:
    """A sentence for each key that can have no effect, beginning with the key.

    raw: what params.yaml holds, which is what a user has set. trained: the sections that train, by their keys.
    """
    yield from _recipes(raw, training, trained)
    yield from _teaching(raw, trained)
    yield from _pretrained(trained)
    if "mutual" in trained:
        yield from _peers(trained["mutual"])
    if compress:
        yield from _compress(compress)
    yield from _views(raw, views)


BY_VALIDATION = ("keep", "patience")


def _takers(path: str, trained: Trained) -> list[TrainingSection]:
    """Those who take a section over, and itself."""
    if path != "student":
        return [trained[path]]
    return [
        section
        for name, section in trained.items()
        if name in LIKE_STUDENT or isinstance(section, MethodSection | Fresh | Tuned)
    ]


def _recipes(raw: Mapping[str, Any], training: Recipe, trained: Trained) -> Iterator[str]:
    yield from _recipe(raw, "training", training, [*trained.values()])
    for path, section in trained.items():
        takers = [each for each in _takers(path, trained) if not isinstance(each, Tuned) or each is section]
        yield from _recipe(raw, f"{path}.recipe", section.recipe, takers)


def _recipe(raw: Mapping[str, Any], path: str, recipe: Recipe, takers: list[TrainingSection]) -> Iterator[str]:
    """Of the keys that are given there, those that no section that has them can use."""
    for key in _given(raw, path):
        value = recipe_value(recipe, key)
        reasons = [
            _unused(each.recipe, key) or _unmeasured(each, key) or _unweighted(each, key)
            for each in takers
            if recipe_value(each.recipe, key) == value
        ]
        if reasons and None not in reasons:
            yield f"{path}.{key} {_unused(recipe, key) or reasons[0]}"


def _unmeasured(section: TrainingSection, key: str) -> str | None:
    """Why a key that follows validation has no effect: only logits have an accuracy."""
    if key not in BY_VALIDATION or recipe_value(section.recipe, key) == _DEFAULTS[key]:
        return None
    if has_logits(section.objective):
        return None
    return (
        f"has no effect where no term of the objective is on logits, which validation measures: name one, such as "
        f"cross_entropy, or leave {key} out"
    )


def _unweighted(section: TrainingSection, key: str) -> str | None:
    """Why weights of classes have no effect: they are those of hard labels."""
    if key != "class_weights" or section.recipe.class_weights is None or weighs_classes(section.objective):
        return None
    terms = [name for name in OBJECTIVES.names() if weighs_classes({name: {}})]
    return (
        "has no effect where no term of the objective takes hard labels by their classes' weights: name "
        f"{' or '.join(terms)} there, or leave class_weights out"
    )


def recipe_value(recipe: Recipe, key: str) -> Any:
    """What a recipe, or its optimiser, has under a key."""
    return getattr(recipe, key)


def _unused(recipe: Recipe, key: str) -> str | None:
    """Why a key of a recipe has no effect; None where it has, or stands at its default."""
    if key in _DEFAULTS:
        # What the optimiser declares may be what a key needs; not every optimiser has it.
        values = dict.fromkeys(_further(), 0) | vars(recipe) | recipe.settings
        return dict(idle(Recipe.NEEDS, values, _DEFAULTS | dict.fromkeys(_further()))).get(key)
    declaring = [name for name in OPTIMIZERS.names() if key in OPTIMIZERS.settings(name).model_fields]
    if "." in recipe.optimizer:
        return None  # what is imported takes what it likes, which the stage knows
    defaults = {OPTIMIZERS.settings(name).model_fields[key].default for name in declaring}
    if recipe.optimizer in declaring or recipe_value(recipe, key) in defaults:
        return None
    return sentence(key, {"optimizer": recipe.optimizer}, {"optimizer": declaring})


def _further() -> set[str]:
    """What keys of a recipe need and no recipe declares itself."""
    return {other for needed in Recipe.NEEDS.values() for other in needed} - {*_DEFAULTS}


def _teaching(raw: Mapping[str, Any], trained: Trained) -> Iterator[str]:
    """Who learns from no teacher needs none that is live, and features come from a live one anyway."""
    for path, section in trained.items():
        if _given(raw, path).get("teaching", "stored") == "stored":
            continue
        terms = [each.objective for each in _takers(path, trained) if each.teaching == section.teaching]
        if not any(needs_teacher(each) and not needs_features(each) for each in terms):
            why = (
                "has a term on features, whose teacher is always live"
                if needs_features(section.objective)
                else "has no term that needs a teacher"
            )
            yield (
                f"{path}.teaching has no effect where {path}.objective {why}: name a term on a teacher's logits there, "
                "such as soft_targets, or leave teaching out"
            )


def _pretrained(trained: Trained) -> Iterator[str]:
    """Weights that others replace."""
    for path, section in trained.items():
        for key, architecture, value in _begun(section):
            if architecture.get("pretrained") and value is not None:
                shown = value if isinstance(value, str) else "given"
                why = sentence("pretrained", {f"{path}.{key}": shown}, {f"{path}.{key}": (None,)})
                yield f"{path}.architecture{f's.{slot}' if (slot := key.partition('.')[2]) else ''}.pretrained {why}"


def _begun(section: TrainingSection) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """What each network of a section begins with: the key of it, the network's architecture, and what is given."""
    if isinstance(section, AssistantSection | MutualSection):
        yield from ((f"initials.{slot}", section.architectures[slot], each) for slot, each in section.initials.items())
    elif isinstance(section, NetworkSection | ChainSection) and section.architecture:
        for key in ("weights", "initial"):
            yield key, section.architecture, getattr(section, key, None)


def _peers(section: TrainingSection) -> Iterator[str]:
    """Of two networks each has one peer, which is its own mean."""
    assert isinstance(section, MutualSection)
    if section.objective.get("mutual", {}).get("ensemble") and section.peers < 3:
        why = sentence("ensemble", {"mutual.peers": section.peers}, {"mutual.peers": ("3 or more",)})
        yield f"mutual.objective.mutual.ensemble {why}"


def _compress(section: Compress) -> Iterator[str]:
    steps = [section.steps[name] for name in section.order]
    learning = [step for step in steps if isinstance(step, TrainingSection)]
    order = f"[{', '.join(section.order)}]"
    if section.seed is not None and not any(step.seed is None for step in learning):
        yield (
            f"compress.seed has no effect where compress.order is {order}: name a step there that trains and has no "
            "seed of its own, or leave seed out"
        )
    if section.teacher != type(section).model_fields["teacher"].default and not any(
        step.makes == "tuned" and needs_teacher(step.objective) for step in learning
    ):
        yield (
            f"edges.compress_teacher has no effect where compress.order is {order}: name a step there that tunes by a "
            "teacher's soft labels, or set it to teacher"
        )


def _views(raw: Mapping[str, Any], views: Views) -> Iterator[str]:
    """Where a view does nothing to an image, nothing of it is drawn."""
    off = {f"views.{name}": getattr(views, name) for name in ("shift", "flip", "scale", "preset")}
    remedy: Mapping[str, Wanted] = {"views.shift": ">0", "views.flip": (True,), "views.preset": ("standard",)}
    if _given(raw, "seeds").get("views", 0) != 0 and views.are_still:
        yield f"seeds.views {sentence('views', off, remedy)}"


def _given(raw: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """What params.yaml itself holds at a path."""
    found: Any = raw
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
