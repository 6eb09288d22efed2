"""Where inkdigits keeps its own files."""

import os
from pathlib import Path

import platformdirs


def inkdigits_home() -> Path:
    """Return the folder of our cache: INKDIGITS_HOME, or the system's cache folder for this user."""
    chosen = os.environ.get("INKDIGITS_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("inkdigits", appauthor=False))
