"""Sections of pictures, charts and tables → one HTML file that needs no network.

Pictures are embedded as PNG or JPEG, charts by plotly, whose library is in the page (4.8 MB). The
page follows the reader's dark or light setting and the width of the screen; every picture and
chart has a text for those who cannot see it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

import cv2
import jinja2
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from keypointnet.files import write_whole


@dataclass(frozen=True)
class Picture:
    """A picture (h, w, 3) uint8 RGB.

    alt: what is in it, for those who cannot see it.  caption: below it; may be empty.
    width: CSS px that it is shown at, if the screen has as many; 0: its own.
    smooth: JPEG rather than PNG, for photographs.
    """

    rgb: np.ndarray
    alt: str
    caption: str = ""
    width: int = 0
    smooth: bool = False

    kind = "picture"

    @property
    def source(self) -> str:
        """The picture as a data URL."""
        suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 9]
        if self.smooth:
            suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 90]
        ok, data = cv2.imencode(suffix, cv2.cvtColor(self.rgb, cv2.COLOR_RGB2BGR), options)
        if not ok:
            raise ValueError(f"Picture: expected (h, w, 3) uint8, got {self.rgb.shape}")
        mime = "jpeg" if self.smooth else "png"
        return f"data:image/{mime};base64,{base64.b64encode(data.tobytes()).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in CSS px; a page that knows them does not jump while it loads."""
        h, w = self.rgb.shape[:2]
        width = self.width or w
        return width, round(width * h / w)


@dataclass(frozen=True)
class Chart:
    """A chart of plotly.

    name: of its element in the page, letters and dashes.  alt: what it shows.  caption: below it.
    height: CSS px.
    """

    figure: go.Figure
    name: str
    alt: str
    caption: str = ""
    height: int = 380

    kind = "chart"

    @property
    def html(self) -> Markup:
        """The element, and the script that fills it."""
        self.figure.update_layout(height=self.height)
        text = self.figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=self.name,
            config={"displaylogo": False, "responsive": True},
        )
        return Markup(text)


@dataclass(frozen=True)
class Table:
    """A table: headings, and rows of texts, the first cell of which is their heading."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    kind = "table"


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other, each with its caption."""

    pictures: Sequence[Picture]
    kind = "gallery"


Item: TypeAlias = Picture | Chart | Table | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page.

    name: of its element, letters and dashes.  text: paragraphs before the items.
    level: 2, or 3 for a part of the section before it.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    items: Sequence[Item] = field(default_factory=tuple)
    level: int = 2


def write_page(path: Path, title: str, about: str, sections: Sequence[Section]) -> None:
    """Writes the page, whole or not at all.

    Args:    about: a paragraph below the title.
    Raises:  OSError: it cannot be written.  ValueError: two elements of one name.
    """
    names = [section.name for section in sections]
    names += [item.name for part in sections for item in part.items if isinstance(item, Chart)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"write_page: several elements are called {', '.join(twice)}")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    html = environment.from_string(source).render(
        title=title,
        about=about,
        sections=sections,
        # inside of <script> nothing else than its end tag would be read as HTML
        plotly_js=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )
    write_whole(Path(path), html.encode("utf-8"))
