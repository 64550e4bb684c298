"""Pictures of the report for the documentation: parts of the page as a browser shows them."""

import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.data.decode import opened
from pipeline.report.browser import browse

TALL = 4000  # pixels: more than any part needs; what stays empty is cut off
MARGIN = 40


@dataclass(frozen=True)
class Picture:
    """What of the page is shown: sections by their keys, the head or not, and how."""

    name: str
    sections: tuple[str, ...]
    head: bool = False
    width: int = 1280
    height: int = TALL
    dark: bool = False


PICTURES = (
    Picture("report-light", ("lineage",), head=True, height=1316),
    Picture("report-dark", ("lineage",), head=True, height=1316, dark=True),
    Picture("methods", ("methods",), width=1100),
    Picture("cost", ("generations", "tradeoff"), width=1100),
    Picture("compression", ("compression",), width=1100),
    Picture("trust", ("calibration", "agreement"), width=1100, dark=True),
    Picture("labels", ("soft-labels",), width=1100),
    Picture("attention", ("attention",), width=1100),
    Picture("classes", ("classes",), width=1100, dark=True),
    Picture("curves", ("curves",), width=1100),
    Picture("phone", ("lineage",), head=True, width=390, height=1400),
)


def take(page: Path, folder: Path) -> Iterator[Path]:
    """Write each picture of the page `page` as `<folder>/<name>.png`.

    Raises:
        UserError: There is no page, or no browser.
    """
    try:
        html = page.read_text()
    except OSError:
        raise UserError(f"there is no {page}: run `dvc repro` to make it") from None
    with tempfile.TemporaryDirectory(dir=page.parent, prefix="pictures-") as temporary:
        for picture in PICTURES:
            part, raw = Path(temporary) / "part.html", Path(temporary) / "raw.png"
            part.write_text(html.replace("</style>", f"{style(picture)}</style>", 1))
            browse(part, f"--screenshot={raw}", width=picture.width, height=picture.height, dark=picture.dark)
            path = folder / f"{picture.name}.png"
            files.write_bytes(path, trimmed(raw))
            yield path


def style(picture: Picture) -> str:
    """The rules that leave only this part of the page."""
    kept = ", ".join(f"#{key}" for key in picture.sections)
    rules = f"main > section:not({kept}), footer {{ display: none }}"
    if not picture.head:
        rules += " .top, nav { display: none } .body { display: block } section:first-of-type { padding-top: 2rem }"
    return rules


def trimmed(png: Path) -> bytes:
    """A picture without the empty space below."""
    from PIL import Image, ImageChops

    with opened(png) as shot:
        image = shot.convert("RGB")
    empty = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, empty).getbbox() or (0, 0, *image.size)
    cut = image.crop((0, 0, image.width, min(image.height, box[3] + MARGIN)))
    content = io.BytesIO()
    cut.save(content, "PNG", optimize=True)
    return content.getvalue()
