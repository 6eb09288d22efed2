"""The package's long description: README.md without pictures and relative links, which an index page cannot follow."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n+", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")
MARK = re.compile(r"^<!--.*?-->\n", re.MULTILINE)


class ReadmeHook(MetadataHookInterface):
    """Fills in the dynamic field "readme"."""

    def update(self, metadata: dict) -> None:
        """Set the description."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text)}


def description(readme: str) -> str:
    """Return a README as an index page shows it."""
    return LINK.sub(r"\1", MARK.sub("", PICTURE.sub("", readme)))
