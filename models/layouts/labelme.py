"""LabelMe's JSON: the outlines that a person drew on one picture."""

from __future__ import annotations

import json
from pathlib import Path

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.outlines import Polygons


def outlined(file: Path) -> Polygons | None:
    """All polygons in the file; None where there is no file, or nothing drawn.

    Boxes are left out: BTXRD gives one beside each polygon.

    Raises:
        InvalidConfiguration: it is not LabelMe's, or holds boxes only.
    """
    if not file.is_file():
        return None
    try:
        document = json.loads(file.read_text("utf-8"))
        shapes = document["shapes"]
        kinds = [str(shape.get("shape_type", "polygon")) for shape in shapes]
        corners = tuple(
            tuple((float(x), float(y)) for x, y in shape["points"])
            for shape, kind in zip(shapes, kinds, strict=True)
            if kind == "polygon"
        )
        size = document.get("imageHeight"), document.get("imageWidth")
        drawn_on = None if None in size else (int(size[0]), int(size[1]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfiguration(f"{file}: is not what LabelMe writes ({error!r})") from error
    if kinds and not corners:
        raise InvalidConfiguration(
            f"{file}: holds no polygon ({', '.join(sorted(set(kinds)))} only); outline the lesion"
        )
    if any(len(polygon) < 3 for polygon in corners):
        raise InvalidConfiguration(f"{file}: an outline has fewer than three corners; draw it again")
    return Polygons(str(file), corners, drawn_on) if corners else None
