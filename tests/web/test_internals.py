"""What is not documented of uvicorn and Starlette, and used all the same: which versions were tested."""

from importlib.metadata import version

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from inkdigits.web import internals


@pytest.mark.parametrize("package", ["uvicorn", "httptools", "starlette"])
def test_the_versions_named_are_those_that_are_tested(package: str) -> None:
    assert internals.__doc__ is not None
    assert f"{package} {version(package)}" in internals.__doc__.lower(), (
        "newer ones pass all other tests? Then name them"
    )
