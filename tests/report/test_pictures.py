"""Pictures without a browser: what is said where there is none, and which parts are asked for."""

from pathlib import Path

import pytest

from pipeline.base.errors import UserError
from pipeline.report import browser, page, pictures


def test_without_a_page_there_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*report\.html: run `dvc repro`"):
        list(pictures.take(tmp_path / "report.html", tmp_path))


def test_without_a_browser_one_is_told_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "report.html").write_text("<style></style>")
    with pytest.raises(UserError, match=r"there is no chromium, .* on the PATH: install Chromium"):
        list(pictures.take(tmp_path / "report.html", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_browser_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(browser, "NAMES", ("chromium",))
    with pytest.raises(UserError, match="did not show"):
        browser.browse(tmp_path / "page.html")


def test_every_section_that_is_asked_for_has_a_template() -> None:
    known = {path.stem for path in page.TEMPLATES.glob("*.html")}
    for picture in pictures.PICTURES:
        assert {*picture.sections} <= known
