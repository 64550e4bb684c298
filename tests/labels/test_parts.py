"""Labels that were killed anywhere end as if they had not been. Legend: N samples of a split, B batch, C classes."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.views import Views
from pipeline.data.batches import Pixels
from pipeline.data.prepared import Prepared, Split
from pipeline.labels import labeller
from pipeline.labels.labeller import label
from pipeline.labels.layout import Format
from pipeline.labels.parts import PARTS, WHOLE, Parts
from pipeline.labels.store import view_path
from pipeline.labels.writer import AHEAD, Writer, _fetched
from pipeline.models.shown import Shown

CPU = torch.device("cpu")
COUNT, EDGE, CLASSES, BATCH, VIEWS = 70, 4, 5, 8, 2
PASSES = 9  # of a view: 8 of 8 rows, one of 6
SEVERAL = 2  # passes of a part: the last one of a view has one
DENSE, TOPK = Format("dense", "float32"), Format("topk", "float16", 2)
LOWRANK = Format("lowrank", "float16", 1, 2)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labeller, "PART_ROWS", SEVERAL * BATCH + 1)


@pytest.fixture(scope="module")
def data() -> Prepared:
    images: Any = np.random.default_rng(0).integers(0, 256, (COUNT, 1, EDGE, EDGE), dtype=np.uint8)
    split = Split(images, np.zeros(COUNT, dtype=np.int64))
    return Prepared(split, split, split, split.labels, tuple("abcde"), (0.5,), (0.2,), 1, EDGE, "d" * 64)


class Network:
    """A forward pass that is killed when it is called for the `left`-th time."""

    def __init__(self, left: float = float("inf")) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(EDGE**2, CLASSES))
        self.left = left
        self.passes = 0

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        if self.passes == self.left:
            raise Killed
        self.passes += 1
        return self.model(x_BCHW)


def write(
    top: Path, data: Prepared, network: Network, format: Format = DENSE, views: int = VIEWS, *, anew: bool = True
) -> dict[str, bytes]:
    """Label into top/labels, which is emptied unless not `anew`, going on in top/parts; the bytes of all files."""
    folder, parts = top / "labels", top / "parts"
    for path in folder.iterdir() if anew and folder.is_dir() else []:
        path.unlink()
    for each in (folder, parts):
        each.mkdir(parents=True, exist_ok=True)
    shown: list[int] = []
    label(
        network,
        Pixels(data.train.images, CPU, 0),
        data,
        Views(shift=1),
        5,
        "labels",
        views,
        batch_size=BATCH,
        format=format,
        folder=folder,
        parts=parts,
        device=CPU,
        teacher="teacher",
        teacher_hash="t" * 64,
        shown=Shown([None], data.mean, data.std, CPU),
        show=shown.append,
    )
    assert shown == sorted(shown) and shown[-1] == (views + 1) * COUNT
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("format", [DENSE, TOPK], ids=lambda format: format.kind)
def test_killed_in_any_pass_it_goes_on_after_the_last_whole_part(
    tmp_path: Path, data: Prepared, format: Format
) -> None:
    whole = write(tmp_path / "whole", data, Network(), format)
    for killed in range(PASSES * (VIEWS + 1)):
        top = tmp_path / str(killed)
        with pytest.raises(Killed):
            write(top, data, Network(killed), format)
        assert not (top / "labels" / "labels.json").exists()
        rest = Network()
        assert write(top, data, rest, format) == whole
        view, passes = divmod(killed, PASSES)
        assert rest.passes == PASSES * (VIEWS + 1) - view * PASSES - passes // SEVERAL * SEVERAL


def test_killed_in_any_pass_low_rank_labels_go_on_in_the_same_basis(tmp_path: Path, data: Prepared) -> None:
    """Which the first passes are for: they are lost where the kill is among them, and else not made again."""
    whole = write(tmp_path / "whole", data, Network(), LOWRANK)
    assert "basis.safetensors" in whole
    for killed in range(PASSES * (VIEWS + 2)):
        top = tmp_path / str(killed)
        with pytest.raises(Killed):
            write(top, data, Network(killed), LOWRANK)
        rest = Network()
        assert write(top, data, rest, LOWRANK) == whole
        sampled, passes = divmod(killed, PASSES)
        there = (sampled - 1) * PASSES + passes // SEVERAL * SEVERAL + PASSES if sampled else 0
        assert rest.passes == PASSES * (VIEWS + 2) - there


def test_more_views_have_the_basis_of_those_before(tmp_path: Path, data: Prepared) -> None:
    write(tmp_path, data, Network(), LOWRANK, views=0)
    again = Network()
    assert write(tmp_path, data, again, LOWRANK) == write(tmp_path / "anew", data, Network(), LOWRANK)
    assert again.passes == PASSES * VIEWS


@pytest.mark.parametrize("format", [DENSE, TOPK, LOWRANK], ids=lambda format: format.kind)
def test_a_view_is_what_safetensors_writes(tmp_path: Path, data: Prepared, format: Format) -> None:
    whole = write(tmp_path, data, Network(), format)
    for name, content in whole.items():
        if name.startswith("view"):
            assert save(load(content)) == content


def test_a_view_has_the_rows_of_its_parts_in_order(tmp_path: Path, data: Prepared) -> None:
    """Of several arrays, too: the likeliest class is the first of those that are kept."""
    x_NCHW = (torch.from_numpy(data.train.images[:].copy()).float() / 255 - 0.5) / 0.2
    expected_NC = Network()(x_NCHW).detach()
    dense, topk = (
        load(write(tmp_path / each.kind, data, Network(), each)["view_000.safetensors"]) for each in (DENSE, TOPK)
    )
    torch.testing.assert_close(torch.from_numpy(dense["logits"]), expected_NC)
    assert topk["indices"][:, 0].tolist() == expected_NC.argmax(1).tolist()
    torch.testing.assert_close(
        torch.from_numpy(topk["values"]).float(), expected_NC.topk(2).values, rtol=2e-3, atol=1e-3
    )


def test_killed_again_and_again_it_ends_the_same(tmp_path: Path, data: Prepared) -> None:
    whole = write(tmp_path / "whole", data, Network())
    for _ in range(11):  # each does three passes: a part of two and one that is lost, or the last two parts of a view
        with pytest.raises(Killed):
            write(tmp_path / "often", data, Network(3))
    assert write(tmp_path / "often", data, Network()) == whole


def test_what_was_finished_is_used_again_and_more_views_go_on_from_it(tmp_path: Path, data: Prepared) -> None:
    whole = write(tmp_path, data, Network())
    again, more, fewer = Network(), Network(), Network()
    assert write(tmp_path, data, again) == whole and again.passes == 0
    assert write(tmp_path, data, more, views=VIEWS + 1) == write(tmp_path / "anew", data, Network(), views=VIEWS + 1)
    assert more.passes == PASSES
    assert write(tmp_path, data, fewer, views=1) == write(tmp_path / "few", data, Network(), views=1)
    assert fewer.passes == 0


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 7)


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "passes"),
    [
        (PARTS, shortened, 2),
        (PARTS, changed, 2),
        (PARTS, lengthened, 0),
        (PARTS, Path.unlink, 6),
        (WHOLE, shortened, 6 + PASSES),
        (WHOLE, changed, 6 + PASSES),
        (WHOLE, lengthened, 0),
        (WHOLE, Path.unlink, 6 + 2 * PASSES),
        ("view_001.safetensors", changed, 6 + PASSES),
        ("view_001.safetensors", shortened, 6 + PASSES),
        ("view_000.safetensors", Path.unlink, 6 + 2 * PASSES),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_torn_is_made_again(
    tmp_path: Path, data: Prepared, name: str, damage: Callable[[Path], None], passes: int
) -> None:
    """Killed in the seventh pass of the last view: two views and three parts are there."""
    whole = write(tmp_path / "whole", data, Network())
    with pytest.raises(Killed):
        write(tmp_path, data, Network(2 * PASSES + 7))
    damage(tmp_path / "parts" / name)
    rest = Network()
    assert write(tmp_path, data, rest) == whole
    assert rest.passes == PASSES - 6 + passes


def test_parts_that_follow_a_torn_one_count(tmp_path: Path, data: Prepared) -> None:
    """Killed twice in the last view: after three parts, of which nothing of the fourth is whole, and after four."""
    whole = write(tmp_path / "whole", data, Network())
    with pytest.raises(Killed):
        write(tmp_path, data, Network(2 * PASSES + 7))
    lengthened(tmp_path / "parts" / PARTS)
    with pytest.raises(Killed):
        write(tmp_path, data, Network(SEVERAL))
    rest = Network()
    assert write(tmp_path, data, rest) == whole
    assert rest.passes == PASSES - 8


def test_parts_of_the_view_before_do_not_count(tmp_path: Path, data: Prepared) -> None:
    """Where a kill came between a whole view and the removal of its parts."""
    whole = write(tmp_path / "whole", data, Network())
    with pytest.raises(Killed):
        write(tmp_path, data, Network(PASSES - 1))
    parts = (tmp_path / "parts" / PARTS).read_bytes()
    with pytest.raises(Killed):
        write(tmp_path, data, Network(1))
    assert (tmp_path / "parts" / PARTS).read_bytes() == b""
    (tmp_path / "parts" / PARTS).write_bytes(parts)
    rest = Network()
    assert write(tmp_path, data, rest) == whole
    assert rest.passes == PASSES * VIEWS


def test_labels_of_an_earlier_time_make_room(tmp_path: Path, data: Prepared) -> None:
    written = write(tmp_path, data, Network())
    assert write(tmp_path, data, Network(), anew=False) == written, "over links to the very files"
    view_path(tmp_path / "labels", 1).unlink()
    view_path(tmp_path / "labels", 1).write_bytes(b"other")
    assert write(tmp_path, data, Network(), anew=False) == written


def test_files_are_linked_and_else_copied(tmp_path: Path, data: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = write(tmp_path / "linked", data, Network())
    path = view_path(tmp_path / "linked" / "labels", 1)
    assert path.samefile(view_path(tmp_path / "linked" / "parts", 1))

    def refuse(*args: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    assert write(tmp_path / "copied", data, Network()) == linked


def test_nothing_is_written_after_a_part_that_failed(tmp_path: Path) -> None:
    parts = Parts(tmp_path, DENSE, 10, 3, 2)
    bad_BC = torch.tensor([[0.0, 0.0, 0.0], [0.0, float("nan"), 0.0]])
    with pytest.raises(UserError, match="teacher gives row 3 of view 0 a logit"), Writer(parts, "teacher") as writer:
        for z_BC in (torch.ones(2, 3), bad_BC, torch.ones(2, 3), torch.ones(2, 3)):
            writer.write(z_BC)
    assert Parts(tmp_path, DENSE, 10, 3, 2).done == 1


def test_the_device_goes_on_while_parts_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, add = threading.Event(), Parts.add

    def slow(self: Parts, arrays: dict[str, np.ndarray]) -> None:
        assert go_on.wait(60)
        add(self, arrays)

    monkeypatch.setattr(Parts, "add", slow)
    parts = Parts(tmp_path, DENSE, 100, 3, 2)
    with Writer(parts, "teacher") as writer:
        for _ in range(AHEAD):
            writer.write(torch.ones(2, 3))
        assert parts.done == 0
        go_on.set()
    assert parts.done == AHEAD


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(tmp_path, DENSE, 10, 3, 2)

    def full(expected: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.labels.parts.beginning", full)
    with pytest.raises(OSError, match="No space") as raised, Writer(parts, "teacher") as writer:
        for _ in range(5):
            writer.write(torch.ones(2, 3))
    assert raised.value.filename == str(view_path(tmp_path, 0))


@pytest.mark.parametrize("is_cuda", [True, False])
def test_a_gpu_is_not_waited_for_when_logits_come_to_the_host(is_cuda: bool) -> None:
    calls: list[Any] = []

    class Logits:
        def __init__(self) -> None:
            self.is_cuda = is_cuda

        def to(self, *args: Any, **kwargs: Any) -> None:
            calls.append((args, kwargs))

    _fetched(Logits())  # pyright: ignore[reportArgumentType]
    assert calls == [(("cpu",), {"non_blocking": is_cuda})]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_one_logit_that_is_not_finite_names_teacher_view_and_row(tmp_path: Path, data: Prepared, wrong: float) -> None:
    class Broken(Network):
        """Its eleventh pass is the second one of view 1: rows 8 to 15."""

        def __call__(self, x_BCHW: Tensor) -> Tensor:
            z_BC = super().__call__(x_BCHW).detach()
            if self.passes == PASSES + 2:
                z_BC[5, 0] = wrong
            return z_BC

    with pytest.raises(UserError, match="teacher gives row 13 of view 1 a logit that is not finite"):
        write(tmp_path, data, Broken())
    assert not (tmp_path / "labels" / "labels.json").exists()
