"""The teacher's output for a view."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.rows import Rows
from pipeline.labels.layout import Format
from pipeline.training.device import Device
from pipeline.training.teacher import LiveTeacher, StoredLabels
from tests.labels.folders import COUNT, logits, opened, write

CPU = Device(torch.device("cpu"), torch.float32)
X_BCHW = torch.zeros(0)  # stored labels look at no pixel


class Network(nn.Module):
    """A network with one tap."""

    taps = ("embedding",)

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.embedding(x_BCHW))


def test_stored_labels_are_those_of_the_view_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, Format("dense", "float32"))
    stored = StoredLabels(opened(tmp_path), CPU)
    rows_B = np.array([COUNT - 1, 0, 7])
    for v in (1, 2):
        output = stored.output(v, Rows.on(CPU.where, rows_B), X_BCHW)
        assert output.t_BC is not None and torch.equal(output.t_BC, logits(v)[torch.from_numpy(rows_B)])


def test_a_live_teacher_learns_nothing() -> None:
    torch.manual_seed(0)
    teacher = Network().train()
    live = LiveTeacher(teacher, CPU, batch_size=4, channels=1, size=2)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    x_BCHW = torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    output = live.output(1, Rows.on(CPU.where, np.arange(6)), x_BCHW)
    assert output.t_BC is not None and not output.t_BC.requires_grad
    torch.testing.assert_close(output.t_BC, teacher.eval()(x_BCHW).detach())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
