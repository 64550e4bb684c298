from pathlib import Path

import pytest

from pipeline.dvc import cache, links


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that counts as large, in a repository of DVC's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(links, "LARGE", 5000)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "data" / "shards").mkdir(parents=True)
    (tmp_path / "data" / "shards" / "000000.tar").write_bytes(bytes(5000))
    return tmp_path / "data"


def config(text: str) -> None:
    Path(".dvc/config").write_text(text)


def no_reflinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "reflink", lambda source, target: False)


@pytest.mark.parametrize("given", ["", "[cache]\n    type = copy\n", "[cache]\n    type = reflink,copy\n"])
def test_a_large_store_that_is_copied_is_said_with_the_command(
    store: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    config(given)
    no_reflinks(monkeypatch)
    said = links.advice(store)
    assert said and f"`{links.COMMAND}`" in said and "0.0 GB" in said
    assert not [*Path(".dvc").rglob("*.tmp")]


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "reflink,hardlink", "hardlink, symlink"])
def test_links_need_no_advice(store: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    config(f"[cache]\n    type = {kind}\n")
    no_reflinks(monkeypatch)
    assert links.advice(store) is None


def test_reflinks_and_small_stores_need_none(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config("")
    monkeypatch.setattr(links, "reflink", lambda source, target: True)
    assert links.advice(store) is None
    no_reflinks(monkeypatch)
    (store / "shards" / "000000.tar").write_bytes(bytes(4999))
    assert links.advice(store) is None


def test_without_a_repository_nothing_is_copied(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    no_reflinks(monkeypatch)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert cache.folder() is None
    assert links.advice(store) is None


def test_the_command_is_what_dvc_takes(store: Path) -> None:
    *_, kinds = links.COMMAND.split()
    config(f"[cache]\n    type = {kinds}\n")
    assert cache.link_types() == {"hardlink", "symlink"}
