"""The exceptions that inkdigits raises on purpose.

    InkdigitsError
    ├── ImageError      a picture cannot be read
    ├── DataError       a data set is missing, damaged or cannot be had
    ├── ModelError      a model file is missing, damaged or breaks the contract
    ├── RecipeError     a recipe or one of its settings does not exist
    ├── TrainingError   training cannot go on (a loss that is not a number, say)
    ├── RunError        a run directory is missing, unfinished or cannot be written
    ├── OutputError     an answer's file exists already, cannot be written, or belongs to another run
    └── RecordError     MLflow or TensorBoard cannot keep records

Each message is one line which says what was wrong with which file and what to do; the command line prints it
as it is and exits with code 1, or 2 for a RecipeError: that is an error of the command's words.
"""


class InkdigitsError(Exception):
    """Base of everything that inkdigits raises on purpose."""


class ImageError(InkdigitsError):
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
    """A file for answers that exists already, cannot be written, or belongs to another run."""


class RecordError(InkdigitsError):
    """MLflow or TensorBoard that is missing, cannot be reached or cannot keep records."""
