"""How a training is fed decides no bit of it."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu.arms import arms, finished, stopped
from benchmarks.gpu.setting import Setting


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("name", ["live, encoded, mixed", "hard"])
def test_by_any_number_of_threads_and_stopped_within_an_epoch_it_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, threads: int
) -> None:
    setting = Setting(tmp_path, is_small=True)
    on = setting.cpu()
    monkeypatch.setattr(type(on), "room", lambda self: 0)  # nothing is resident, no picture is kept
    whole, _ = finished(arms(setting)[name](on), tmp_path / "alone")
    monkeypatch.setattr("pipeline.data.feed.beside", lambda device: threads)
    stopped(arms(setting)[name](on), tmp_path / "ahead", 8)
    ahead, printed = finished(arms(setting)[name](on), tmp_path / "ahead")
    assert any("going on at epoch 2" in sentence for sentence in printed)
    assert whole.keys() == ahead.keys() and all(torch.equal(whole[key], ahead[key]) for key in whole)
