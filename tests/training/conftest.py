"""Torch's switches are one for the whole process: who makes up a GPU gives them back. And a remote, with hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_objects.fs.local import LocalFileSystem

from pipeline.dvc.remote import RemoteFolder
from pipeline.training import exactness
from tests.training.hosts import Host, Hosts


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """What `fix_kernels` sets, after each test as it was before."""
    cudnn, cuda = exactness._backends()
    kept = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, cuda.matmul.allow_tf32
    attentions = cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # noted, so that it is as it was, or not there, at the end
        patch.delenv("CUBLAS_WORKSPACE_CONFIG")
        yield
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, cuda.matmul.allow_tf32 = kept
    enable = cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_cudnn_sdp
    for switch, was in zip(enable, attentions, strict=True):
        switch(was)


@pytest.fixture
def remote(tmp_path: Path) -> RemoteFolder:
    """A folder that several hosts reach, empty."""
    return RemoteFolder(LocalFileSystem(), str(tmp_path / "remote"))


@pytest.fixture
def hosts(tmp_path: Path, remote: RemoteFolder) -> Hosts:
    """Hosts by name, which know nothing but this remote."""
    return lambda name: Host(tmp_path / name, remote)
