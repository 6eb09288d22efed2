"""What MkDocs needs to build the site: the pages that stand elsewhere, and the links that lead out of docs/."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[2]
NOTEBOOK = "notebooks/tutorial.ipynb"
# Files of the repository that are pages of the site.
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
ELSEWHERE = PAGES | {"README.md": "index.md", NOTEBOOK: "tutorial.md"}
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the tutorial, made of the notebook, and the pages of the repository's root."""
    text, pictures = tutorial()
    files.append(File.generated(config, "tutorial.md", content=text))
    for name, content in pictures.items():
        files.append(File.generated(config, name, content=content))
    for source, page in PAGES.items():
        files.append(
            File.generated(config, page, content=moved((ROOT / source).read_text(encoding="utf-8"), "", "docs"))
        )
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that lead out of docs/ (as a code host shows them) into links of the site."""
    return moved(markdown, "docs", "docs") if page.file.src_uri not in {*PAGES.values(), "tutorial.md"} else markdown


def tutorial() -> tuple[str, dict[str, bytes]]:
    """Return the notebook as Markdown and its pictures, name -> bytes."""
    text, resources = MarkdownExporter().from_filename(str(ROOT / NOTEBOOK))
    pictures = {f"tutorial/{name}": content for name, content in resources["outputs"].items()}
    for name in resources["outputs"]:
        text = text.replace(f"({name})", f"(tutorial/{name})")
    # "![png](...)" says nothing to those who do not see it; a figure's repr above it says nothing to anybody.
    text = re.sub(r"    <(?:Figure size|matplotlib|PIL)[^\n]*>\n", "", text.replace("![png]", "![The figure drawn]"))
    text = re.sub(r"    Text\([^\n]*\)\n", "", text).replace("%matplotlib inline\n", "")
    return text.replace("`make notebook` opens this page", f"`make notebook` opens this page as `{NOTEBOOK}`"), pictures


def moved(markdown: str, source: str, docs: str) -> str:
    """Return a text whose relative links were written in the folder `source`, as a page below `docs`.

    Only links to files that are pages of the site change; all others stay, for MkDocs to check.
    """

    def link(found: re.Match[str]) -> str:
        target = found[2]
        if "://" in target:
            return found[0]
        place = posixpath.normpath(posixpath.join(source, target))
        if place in ELSEWHERE:
            return f"{found[1]}{ELSEWHERE[place]}{found[3]}"
        inside = posixpath.relpath(place, docs) if place.startswith(f"{docs}/") and not source else target
        return f"{found[1]}{inside}{found[3]}"

    return LINK.sub(link, markdown)
