"""What pages for people are made with: one style, plots as SVG, and nothing that is fetched from anywhere.

The workstation itself writes none; matplotlib and jinja2 are loaded when a page is asked for.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from .errors import InvalidConfiguration

_LIBRARIES = ("jinja2", "matplotlib")


def check_pages_can_be_made() -> None:
    """Before time is spent on what should be in one.

    Raises:
        InvalidConfiguration: a library is not installed.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise InvalidConfiguration(
            f"a report needs {' and '.join(missing)}, which a workstation does without; install bonedge[report]"
        )


def render_page(package: str, template: str, filters: Mapping[str, Any] | None = None, **values: Any) -> str:
    """A page from a template among the files of `package`; `style` is the style sheet that all pages share."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= filters or {}
    style = Markup(files("bonedge.edge").joinpath("page.css").read_text("utf-8"))  # noqa: S704 - our own file
    source = files(package).joinpath(template).read_text("utf-8")
    return environment.from_string(source).render(style=style, **values)


def data_uri(kind: str, content: bytes) -> str:
    """A picture of a media type, to be put into a page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def plot_panels(columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A matplotlib figure of `size` inches, and its axes side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, columns, place + 1) for place in range(columns)]
    for one in axes:
        one.grid(alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
        one.title.set_fontsize(10)
    return figure, axes


def as_svg(figure: Any) -> bytes:
    """The figure; the same bytes for the same figure."""
    import matplotlib

    content = io.BytesIO()
    # Salted identifiers would make every page of the same figures another page.
    with matplotlib.rc_context({"svg.hashsalt": "bonedge"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
