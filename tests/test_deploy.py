"""What a package, a container and a host's workflow are made of: checked by their own tools where Docker is not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from markdown_it import MarkdownIt

import inkdigits

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


def metadata_of(dist: Path) -> Message:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


@pytest.mark.slow
def test_package_is_complete_and_renders_on_an_index_page(dist: Path) -> None:
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    found = metadata_of(dist)
    assert (found["Name"], found["Version"], found["License-Expression"]) == ("inkdigits", inkdigits.__version__, "MIT")
    assert found["Author"] == "inkdigits contributors"
    assert found.get_all("Project-URL") is None  # there is no address yet
    text = str(found.get_payload())
    assert "pip install" in text
    assert [place for place in places_in(text) if not place.startswith(("http://", "https://"))] == []
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    licence = f"inkdigits-{inkdigits.__version__}.dist-info/licenses/LICENSE"
    assert {"inkdigits/py.typed", "inkdigits/reading/weights/digit.onnx", licence} <= set(names)
    assert not [name for name in names if not name.startswith("inkdigits")]
    with tarfile.open(archive) as source:
        files = {name.partition("/")[2] for name in source.getnames()}
    assert {"Makefile", "requirements.lock", "tests/conftest.py", "docs/index.md", ".ci/run", "Dockerfile"} <= files
    assert files >= tracked_files()
    assert archive.stat().st_size < 10_000_000


def places_in(markdown: str) -> list[str]:
    """Return where the links and pictures of a Markdown text lead, those in HTML included."""
    found: list[str] = []
    waiting = MarkdownIt().enable("table").parse(markdown)
    while waiting:
        token = waiting.pop()
        waiting += token.children or []
        found += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
        if token.type.startswith("html_"):
            found += re.findall(r"""(?:href|src)=["']?([^"'> ]*)""", token.content)
    return found


def test_every_kind_of_link_is_found() -> None:
    kinds = "[a](b.md) [c][d] ![e](f.png) [![g](h.png)](i.md)\n\n<img src='j.png'>\n\n|k|\n|-|\n|[l](m)|\n\n[d]: n.md"
    assert sorted(places_in(kinds)) == ["b.md", "f.png", "h.png", "i.md", "j.png", "m", "n.md"]


def tracked_files() -> set[str]:
    """Return what a clone holds; nothing where this is not a clone."""
    if not (ROOT / ".git").exists():
        return set()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


def test_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert f"## {inkdigits.__version__} " in (ROOT / "CHANGELOG.md").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == inkdigits.__version__


def test_links_and_pictures_are_taken_out_of_the_description() -> None:
    pytest.importorskip("hatchling")
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    readme = "![a](docs/a.png)\n\nSee [docs](docs/a.md) and [web](https://example.org).\n<!-- figures: x -->\n| 1 |\n"
    assert module.description(readme) == "See docs and [web](https://example.org).\n| 1 |\n"


# ------------------------------------------------------------------------------------------------------- container


def instructions() -> dict[str, list[str]]:
    """Return the Dockerfile's instructions: keyword -> arguments, continued lines joined."""
    found: dict[str, list[str]] = {}
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            found.setdefault(word, []).append(rest.strip())
    return found


def test_dockerfile_passes_its_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [hadolint, "--failure-threshold", "info", ROOT / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_container_is_confined() -> None:
    found = instructions()
    assert found["USER"] == ["10001"]
    assert all("slim" in image for image in found["FROM"])
    assert found["VOLUME"] == ["/data"]
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["inkdigits"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert [volume.rpartition(":")[2] for volume in service["volumes"]] == found["VOLUME"]


def copied_as_docker_would(folder: Path) -> None:
    """Copy what .dockerignore lets into the build."""
    for line in (ROOT / ".dockerignore").read_text().split():
        if line.startswith("!"):
            source = ROOT / line[1:]
            copy: Any = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, folder / line[1:])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the container is Linux")
def test_the_dockerfiles_lines_run(tmp_path: Path) -> None:
    """In a fresh environment: pip builds and installs what the image gets (dependencies are those of the tests)."""
    found = instructions()
    source, environment = tmp_path / "source", tmp_path / "environment"
    source.mkdir()
    copied_as_docker_would(source)
    venv.create(environment, with_pip=True, symlinks=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (tests_site,) = [path for path in sys.path if path.endswith("site-packages")][:1]
    (site / "dependencies.pth").write_text(tests_site)
    variables = {
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "INKDIGITS_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path / "none"),
    }
    install = found["RUN"][0].replace(
        "--prefix=/install", "--no-deps --no-index --no-build-isolation --force-reinstall"
    )
    assert install != found["RUN"][0]
    subprocess.run(install, shell=True, cwd=source, env=variables, check=True, capture_output=True)
    command = json.loads(found["CMD"][0])
    assert command[-2:] == ["--port", "8000"]
    assert (environment / "bin" / command[0]).is_file()
    server = subprocess.Popen([*command[:-1], "0"], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        address = server.stdout.readline().strip().replace("0.0.0.0", "127.0.0.1")
        health = json.loads(found["HEALTHCHECK"][0].partition("CMD ")[2])
        script = health[2].replace("http://127.0.0.1:8000/", address)
        assert script != health[2]
        subprocess.run([health[0], health[1], script], env=variables, check=True)
        with urlopen(address, timeout=10) as page:
            assert b"inkdigits" in page.read()
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode in (0, -signal.SIGTERM)  # finished, then ended by the signal as uvicorn does


# -------------------------------------------------------------------------------------------------------- workflow


def test_workflow_calls_what_exists() -> None:
    steps = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
    for line in steps:
        program, *words = line.split()
        if program == "make":
            assert set(words) <= TARGETS
        elif program.startswith(".ci/"):
            assert (ROOT / program).is_file()
    pythons = {
        version
        for job in WORKFLOW["jobs"].values()
        for version in job.get("strategy", {}).get("matrix", {}).get("python", [])
    }
    assert pythons == {"3.11", "3.12", "3.13"}
    assert {"make lint", ".ci/run", "make docs", "make dist", "python -m pip install ."} <= set(steps)


# What a host knows of a form's parts. A form with anything else is not shown.
ATTRIBUTES = {
    "markdown": {"value"},
    "textarea": {"label", "description", "placeholder", "value", "render"},
    "checkboxes": {"label", "description", "options"},
}


@pytest.mark.parametrize("name", ["bug", "feature", "misread"])
def test_issue_forms_are_valid(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert form.keys() <= {"name", "description", "labels", "body"}
    for part in form["body"]:
        assert part.keys() <= {"type", "id", "attributes", "validations"}
        assert part["attributes"].keys() <= ATTRIBUTES[part["type"]]
        assert all(isinstance(value, str | list) for value in part["attributes"].values())
