"""The exceptions that inkdigits raises on purpose.

    InkdigitsError
    ├── InputError      a file, a folder or a list of inputs is missing or cannot be read
    │   └── ImageError  a picture cannot be read
    ├── DataError       a data set is missing, damaged or cannot be loaded
    ├── ModelError      a model file is missing, damaged or breaks the contract
    ├── RecipeError     a recipe or one of its settings does not exist
    ├── TrainingError   training cannot continue (a loss that is not a number, say)
    ├── RunError        a run directory is missing, unfinished or cannot be written
    ├── OutputError     an output exists already, cannot be written, or belongs to another run
    ├── FormError       a form's template is missing, damaged or contradicts itself
    ├── RecordError     MLflow or TensorBoard cannot keep records
    └── MissingExtraError  a package that comes with one of inkdigits's extras is not installed

Each message is one line which says what was wrong with which file and what to do; the command line prints it
as it is and exits with code 1, or 2 for a RecipeError: that is an error of the command's words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


class InkdigitsError(Exception):
    """Base of everything that inkdigits raises on purpose."""


class InputError(InkdigitsError):
    """A file, a folder, a list or a table of inputs that is missing, empty or cannot be read."""


class ImageError(InputError):
    """A picture that cannot be read: missing, empty, truncated, not an image, too large."""


class DataError(InkdigitsError):
    """A data set that is missing, damaged or cannot be loaded."""


class ModelError(InkdigitsError):
    """A model file that is missing, damaged or breaks the contract of its inputs and outputs."""


class PromiseError(InkdigitsError):
    """A promise about accepted numbers that is missing, damaged or withdrawn, or that its sample does not allow."""


class RecipeError(InkdigitsError, ValueError):
    """A recipe, or one of its settings, that does not exist or makes no sense."""


class TrainingError(InkdigitsError):
    """Training that cannot continue."""


class RunError(InkdigitsError):
    """A run directory that is missing, unfinished or cannot be written."""


class OutputError(InkdigitsError):
    """An output that exists already, cannot be written, or belongs to another run."""


class FormError(InkdigitsError):
    """A form's template that is missing, damaged, contradicts itself, or whose pictures have changed."""


class RecordError(InkdigitsError):
    """MLflow or TensorBoard that cannot be reached or cannot keep records."""


class MissingExtraError(InkdigitsError, ImportError):
    """A package that is not installed and comes with one of inkdigits's extras."""


# Packages that inkdigits imports -> the extra that installs them; tests/test_install.py holds it to pyproject.toml.
EXTRAS = {
    **dict.fromkeys(("keras", "tensorflow", "tf2onnx", "onnx", "matplotlib", "seaborn"), "train"),
    **dict.fromkeys(("jinja2", "markupsafe", "optuna", "cleanlab"), "train"),
    **dict.fromkeys(("pyarrow", "ray"), "scale"),
    **dict.fromkeys(("mlflow", "tensorboard"), "track"),
    **dict.fromkeys(("fastapi", "starlette", "pydantic", "uvicorn", "httptools", "python_multipart"), "web"),
    **dict.fromkeys(("prometheus_client",), "web"),
    "rapidocr": "pages",
    "pillow_heif": "heic",
    **dict.fromkeys(("scipy", "threadpoolctl"), "adapt"),
    **dict.fromkeys(("pypdfium2", "xlsxwriter", "stdnum", "simpleeval", "re2"), "forms"),
}


@contextmanager
def naming_missing_extra() -> Iterator[None]:
    """Turn the failure to import a package of an extra into one line that names the extra.

    Raises:
        MissingExtraError: such a package is missing. Any other missing module stays a ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = EXTRAS[package]
        raise MissingExtraError(f"{package} is missing: `pip install 'inkdigits[{extra}]'`", name=error.name) from None


def require(*packages: str) -> None:
    """Make sure that packages are installed, before work begins whose result would be lost without them.

    Raises:
        MissingExtraError: one is not.
    """
    with naming_missing_extra():
        for package in packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def reason(error: BaseException) -> str:
    """Return what went wrong in one line of at most 200 characters, for use in an error of our own.

    The system's own words where there are any (`strerror`), else the first line of the text, else the type's name.
    """
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    if text == "disk I/O error":  # SQLite's words where its journal finds no room
        return f"{text}: the disk may be full"
    # Object stores append the story of the whole request.
    return text.splitlines()[0].split(" (Request ID")[0][:200]
