"""A network of the user's own: built from a file of the repository, checked before and after."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.base.errors import UserError
from pipeline.config.network import complete_architecture
from pipeline.models.build import build, rebuild
from pipeline.models.libraries import versions
from pipeline.models.taps import tapped
from pipeline.planning import units
from pipeline.planning.own import own_fingerprint
from tests.models.nets import taps
from tests.scratch import ROOT

NETWORKS = '''
"""Networks."""
from torch import nn
from .blocks import block
import helpers.sizes
from torchvision.ops import Permute


def student(classes: int, channels: int = 3, *, width: float = 1.0, deep: bool = False, act="relu") -> nn.Module:
    count = helpers.sizes.count(width)
    layers = [block(channels, count), block(count, 2 * count)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * count, classes))


class Whole(nn.Module):
    def __init__(self, classes, channels, width=4):
        super().__init__()
        self.body = block(channels, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def broken(classes):
    return nn.Sequential(nn.Linear("a", classes))


def flat(classes, channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, classes))


def wrong(channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 7))


def none(classes):
    return 3


def placed(classes, /):
    return 3
'''
BLOCKS = '''
from torch import nn


def block(inputs, outputs):
    """A block."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())
'''
SIZES = "def count(width):\n    return round(4 * width)\n"
ARCHITECTURE = {"family": "own", "module": "nets/networks.py", "build": "student"}


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "nets" / "helpers").mkdir(parents=True)
    (tmp_path / "nets" / "networks.py").write_text(NETWORKS)
    (tmp_path / "nets" / "blocks.py").write_text(BLOCKS)
    (tmp_path / "nets" / "helpers" / "sizes.py").write_text(SIZES)
    monkeypatch.chdir(tmp_path)
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if name.startswith(("own_networks_", "helpers")):
            del sys.modules[name]


def made(**settings: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return build({**ARCHITECTURE, **settings}, channels=1, size=8, classes=5)


def test_it_is_built_with_what_it_takes_and_its_layers_are_found() -> None:
    model = made(width=1.5)
    assert model.training and taps(model)[-1] == "embedding"
    with tapped(model, taps(model)) as outputs:
        z_BC = model(torch.randn(2, 1, 8, 8))
    assert z_BC.shape == (2, 5) and outputs[taps(model)[-1]].shape == (2, 12)
    head = model.get_submodule("4")
    assert isinstance(head, torch.nn.Linear) and {*model.state_dict()} >= {"4.weight", "0.0.weight"}
    torch.testing.assert_close(torch.nn.functional.linear(outputs[taps(model)[-1]], head.weight, head.bias), z_BC)
    assert made(build="Whole", width=3)(torch.randn(2, 1, 8, 8)).shape == (2, 5)
    again = rebuild({**ARCHITECTURE, "width": 1.5, "channels": 1, "size": 8, "classes": 5})
    again.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module": "none.py"}, r"\.module: 'none\.py' is no Python file in the repository"),
        ({"module": "../x.py"}, r"\.module: '\.\./x\.py' does not lie in the repository"),
        ({"module": "/etc/passwd"}, "does not lie in the repository"),
        ({"build": "studnt"}, r"\.build: unknown function of nets/networks\.py 'studnt', did you mean 'student'\?"),
        ({"widht": 2}, r"\.widht: student of nets/networks\.py: unknown argument 'widht', did you mean 'width'\?"),
        ({"classes": 3}, r"\.classes: student of nets/networks\.py: unknown argument"),
        ({"width": "wide"}, r"\.width: must be a valid number.*, not 'wide'"),
        ({"width": True}, r"\.width: must be a number, not True"),
        ({"build": "placed"}, r"placed of nets/networks\.py takes classes by its place only"),
        ({"module": None}, r"module: must be a valid string"),
    ],
)
def test_plan_names_what_does_not_fit_without_running_the_file(settings: dict[str, Any], message: str) -> None:
    Path("nets/helpers/sizes.py").write_text("raise SystemExit\n")
    given = {**ARCHITECTURE, **settings}
    with pytest.raises((UserError, ValueError), match=message):
        complete_architecture(given)
    complete_architecture({**ARCHITECTURE, "width": 2, "deep": True, "act": "gelu"})


def test_python_that_cannot_be_read_is_named_with_its_line() -> None:
    Path("nets/networks.py").write_text("def student(classes):\n    return (\n")
    with pytest.raises(ValueError, match=r"nets/networks\.py, line 2: '\(' was never closed"):
        complete_architecture(ARCHITECTURE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"build": "broken"}, r"params\.yaml, architecture: nets/networks\.py, line 26: TypeError"),
        ({"build": "none"}, "none of nets/networks.py returns a int: it must return a torch.nn.Module"),
        ({"build": "wrong"}, "wrong of nets/networks.py gives 7 logits and the data has 5 classes"),
    ],
)
def test_what_it_does_wrong_is_one_sentence_with_its_place(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(**settings)


def test_a_fault_of_its_forward_pass_has_its_place() -> None:
    text = NETWORKS.replace("self.body(x).mean((2, 3))", "self.body(x).mean((2, 9))")
    Path("nets/networks.py").write_text(text)
    with pytest.raises(UserError, match=r"does not run on 1x8x8 images \(nets/networks\.py, line 22: IndexError"):
        made(build="Whole")


def test_a_fault_beside_it_has_the_place_of_that_file() -> None:
    Path("nets/blocks.py").write_text("\n\nraise RuntimeError('not today')\n")
    with pytest.raises(UserError, match=r"architecture: nets/blocks\.py, line 3: RuntimeError: not today"):
        made()


def test_the_fingerprint_is_of_all_files_that_it_imports_and_of_nothing_else(repository: Path) -> None:
    first = own_fingerprint("nets/networks.py")
    files = {name: (repository / "nets" / name) for name in ("networks.py", "blocks.py", "helpers/sizes.py")}
    for path in files.values():
        text = path.read_text()
        path.write_text(f"# a comment\n{text}\n")
        assert own_fingerprint("nets/networks.py") == first
        path.write_text(f"{text}\nMORE = 1\n")
        assert own_fingerprint("nets/networks.py") != first
        path.write_text(text)
    (repository / "nets" / "unused.py").write_text("A = 1\n")
    (repository / "nets" / "helpers" / "__init__.py").write_text("")
    assert own_fingerprint("nets/networks.py") != first  # it runs
    assert units.code(units.model(ARCHITECTURE)).keys() == {"model own", "own nets/networks.py"}


def test_what_it_imports_of_ours_counts_and_a_missing_neighbour_is_named() -> None:
    before = own_fingerprint("nets/networks.py")
    path = Path("nets/blocks.py")
    path.write_text(f"{BLOCKS}\nfrom pipeline.models.net import conv3x3\n")
    assert own_fingerprint("nets/networks.py") != before
    path.write_text(f"{BLOCKS}\nfrom .absent import x\n")
    with pytest.raises(UserError, match=r"nets/blocks\.py, line 9: there is no \.absent in the repository"):
        own_fingerprint("nets/networks.py")


def test_the_version_of_what_it_builds_on_is_known() -> None:
    assert versions([ARCHITECTURE]).keys() == {"torchvision"}
    assert versions([{"family": "plain"}]) == {}


def test_a_file_at_the_top_may_import_its_neighbours_too(repository: Path) -> None:
    (repository / "top.py").write_text(NETWORKS.replace("import helpers.sizes", "from nets import helpers"))
    (repository / "blocks.py").write_text(BLOCKS)
    assert own_fingerprint("top.py") and complete_architecture({**ARCHITECTURE, "module": "top.py"})
    assert build({**ARCHITECTURE, "module": "top.py", "build": "Whole"}, channels=1, size=8, classes=5)(
        torch.randn(2, 1, 8, 8)
    ).shape == (2, 5)


def test_the_example_of_the_documentation_works(repository: Path) -> None:
    page = (ROOT / "docs" / "networks.md").read_text()
    python, yaml_ = re.search(r"```python\n(.*?)```\n\n```yaml\n(.*?)```", page, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert len(python.strip().splitlines()) <= 10
    (repository / "networks.py").write_text(python)
    architecture = complete_architecture(yaml.safe_load(yaml_)["student"]["architecture"])
    model = build(architecture, channels=3, size=16, classes=4)
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 4)
