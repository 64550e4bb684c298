"""A headless Chromium that opens a page and loads nothing else."""

import shutil
import tempfile
from pathlib import Path

from pipeline.base import programs
from pipeline.base.errors import UserError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless",
    "--no-sandbox",  # which it refuses to start with as root, and needs not for a page of our own without scripts
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name leads anywhere, for the browser's own errands, too
    "--hide-scrollbars",
)
DARK = "--blink-settings=preferredColorScheme=0"
PATIENCE = 60.0


def find() -> str | None:
    """The browser of this machine; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def browse(page: Path, *arguments: str, width: int = 1280, height: int = 900, dark: bool = False) -> str:
    """Open a page in a profile of its own, with these arguments of the browser; return what the browser printed.

    Raises:
        UserError: There is no browser, or it does not answer.
    """
    browser = find()
    if browser is None:
        raise UserError(f"there is no {', '.join(NAMES)} on the PATH: install Chromium to make pictures")
    # Snap's Chromium sees no hidden folders and not /tmp; a profile beside the page it always can see.
    with tempfile.TemporaryDirectory(dir=page.parent, prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = [
            browser,
            *QUIET,
            *([DARK] if dark else []),
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *arguments,
            page.resolve().as_uri(),
        ]
        done = programs.run(command, PATIENCE)
        if done.returncode != 0:
            raise UserError(f"{browser} did not show {page} (it exited with {done.returncode}): open it by hand")
    return done.stdout + done.stderr
