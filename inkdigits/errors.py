"""The exceptions that inkdigits raises on purpose.

    InkdigitsError
    ├── InputError      a file, a folder or a list of inputs is missing or cannot be read
    │   └── ImageError  a picture cannot be read
    ├── DataError       a data set is missing, damaged or cannot be had
    ├── ModelError      a model file is missing, damaged or breaks the contract
    ├── RecipeError     a recipe or one of its settings does not exist
    ├── TrainingError   training cannot go on (a loss that is not a number, say)
    ├── RunError        a run directory is missing, unfinished or cannot be written
    ├── OutputError     an output exists already, cannot be written, or belongs to another run
    └── RecordError     MLflow or TensorBoard cannot keep records

Each message is one line which says what was wrong with which file and what to do; the command line prints it
as it is and exits with code 1, or 2 for a RecipeError: that is an error of the command's words.
"""


class InkdigitsError(Exception):
    """Base of everything that inkdigits raises on purpose."""


class InputError(InkdigitsError):
    """A file, a folder, a list or a table of inputs that is missing, empty or cannot be read."""


class ImageError(InputError):
    """A picture that cannot be read: missing, empty, truncated, not an image, too large."""


class DataError(InkdigitsError):
    """A data set that is missing, damaged or cannot be had."""


class ModelError(InkdigitsError):
    """A model file that is missing, damaged or breaks the contract of its inputs and outputs."""


class RecipeError(InkdigitsError, ValueError):
    """A recipe, or one of its settings, that does not exist or makes no sense."""


class TrainingError(InkdigitsError):
    """Training that cannot go on."""


class RunError(InkdigitsError):
    """A run directory that is missing, unfinished or cannot be written."""


class OutputError(InkdigitsError):
    """An output that exists already, cannot be written, or belongs to another run."""


class RecordError(InkdigitsError):
    """MLflow or TensorBoard that is missing, cannot be reached or cannot keep records."""


def reason(error: BaseException) -> str:
    """Return what went wrong in one line of at most 200 characters, for use in an error of our own.

    The system's own words where there are any (`strerror`), else the first line of the text, else the type's name.
    """
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    # Object stores append the story of the whole request.
    return text.splitlines()[0].split(" (Request ID")[0][:200]
