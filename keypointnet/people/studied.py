"""The library of bodies and where on them everything is, opened once in a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from keypointnet.people.anatomy import Anatomy, study
from keypointnet.people.bodies import BodyLibrary, cache_folder, open_library


def studied_library() -> tuple[BodyLibrary, Anatomy]:
    """The library, made now if it is not there, and the places of its surface.

    Raises:  PeopleError: as `open_library`.
    """
    return _studied(cache_folder())


@lru_cache(maxsize=1)
def _studied(folder: Path) -> tuple[BodyLibrary, Anatomy]:
    library = open_library()
    return library, study(library)
