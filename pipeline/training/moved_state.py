"""Saved training under another key: what a release only spells anew goes on where it was."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.files import Json
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.dvc.training_state import state_root
from pipeline.lineage import node
from pipeline.planning.specs.spec import parse
from pipeline.planning.specs.training import LabelSettings, TrainingSpec, TrainSpec
from pipeline.training.folders import contents, remove
from pipeline.training.key import key, read_by
from pipeline.training.seen_views import with_seen_views
from pipeline.training.state import State


class MovedState:
    """Folders of saved training, and those where the code of today looks for them.

    Attributes:
        moves: From old to new.
    """

    def __init__(self) -> None:
        self.moves: dict[Path, Path] = {}

    def add(self, name: str, old: Json, new: TrainingSpec) -> None:
        """Add that of node `name`, whose training means the same by both specs, if there is any."""
        folder = state_root() / name
        if not folder.is_dir() or (isinstance(new, TrainSpec) and new.weights):
            return
        # Where what it reads is not there it cannot be told apart: nothing moves.
        with suppress(UserError):
            was, now = (folder / each for each in _keys(old, new))
            if was != now and State(was).current.exists() and not State(now).current.exists():
                self.moves[was] = now

    @contextmanager
    def moved(self) -> Iterator[None]:
        """Move all; and back, where what follows fails.

        Raises:
            UserError: One is held by a process that trains; none has moved.
        """
        with ExitStack() as held:
            for was in self.moves:
                lock = held.enter_context((was / "lock").open("a"))
                try:
                    fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(
                        f"{was.parent} is held by a training: give the command again when it ends"
                    ) from None
            try:
                for was, now in self.moves.items():
                    _move(was, now)
                yield
            except BaseException:
                for was, now in self.moves.items():
                    _move(now, was)
                raise
            for was in self.moves:
                if (left := contents(was, state_root())) is not None:
                    remove(was, left)


def _move(source: Path, target: Path) -> None:
    """Move the snapshots of one folder to another; there may be none."""
    target.mkdir(exist_ok=True)
    for name in (State(source).current.name, State(source).previous.name):
        with suppress(FileNotFoundError):
            os.replace(source / name, target / name)


def _keys(old: Json, new: TrainingSpec) -> Iterator[str]:
    """The keys of a training by both specs, on what it reads today."""
    data = _data()
    for spec in (old, new.as_json()):
        seen = _seen_views(spec, new)
        filled = {"stream": seen.training.stream, "distinct_views": seen.training.distinct_views}
        training = {**_training(spec), **{name: value for name, value in filled.items() if value is not None}}
        yield key(training, spec["code"]["training"], data.hash, read_by(seen))


def _seen_views(spec: Json, new: TrainingSpec) -> TrainingSpec:
    """With the views that a training sees, as its stage fills them in, by the label settings of one of the specs."""
    try:
        labels = parse(LabelSettings, spec["labels"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{new.node} had label settings of another kind ({error})") from None
    data = _data()
    return with_seen_views(replace(new, labels=labels), len(data.train), len(data.classes))


def _training(spec: Json) -> Json:
    """What a training is really asked for, with the architectures that it comes to, as its own release words it."""
    # Only where there is something to move: this imports torch.
    from pipeline.models.build import unsupplied
    from pipeline.training.inputs import resolved
    from pipeline.training.learn import fitted

    training = spec["training"]
    if spec.get("kind") == "tune":
        previous = node.read(spec["previous"])
        assert previous.architecture is not None
        input = {"input": previous.input.as_json()} if previous.input else {}
        return {**training, "architecture": unsupplied(previous.architecture), **input}

    def whole(network: Json) -> Json:
        # A release that knew no inputs has none in its keys.
        asked = network["architecture"]
        begun = "initial_file" in network
        known = begun or "input" in network
        input = resolved(spec["node"], asked, network.get("input"), _data(), begun) if known else None
        found = {**network, "architecture": fitted(asked, _data(), input)}
        return {key: value for key, value in found.items() if key != "input"} | (
            {"input": input.as_json()} if input else {}
        )

    found = whole(training)
    if "members" in training:
        found["members"] = [whole(each) for each in training["members"]]
    return found


@cache
def _data() -> prepared.Prepared:
    return prepared.read(DATA)
