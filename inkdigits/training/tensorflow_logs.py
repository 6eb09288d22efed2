"""TensorFlow without the lines that it logs to stderr for its own developers.

TF_CPP_MIN_LOG_LEVEL does not silence what TensorFlow 2.17 and newer log before their logging library is set up (such as
"oneDNN custom operations are on", on processors with AVX-512; github.com/tensorflow/tensorflow/issues/100442). They are
written by C++ to the file descriptor, so they are filtered there, and only while TensorFlow is imported or converts a
model. (A program that imports TensorFlow first has set its log level, and then a conversion logs its start, too.)
"""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# "I0000 00:00:1795698365.803057   13070 port.cc:153] ..."; W: warnings. Errors and Python's own lines pass.
CHATTER = re.compile(rb"WARNING: All log messages before absl::InitializeLog\(\) |[IW]\d{4} \d\d:\d\d:")


def filter_import() -> None:
    """Filter the import of TensorFlow, whenever it comes."""
    if "tensorflow" in sys.modules:
        silence_warnings()
    else:
        sys.meta_path.insert(0, _Finder())


def silence_warnings() -> None:
    """Silence what TensorFlow warns of in Python, after it has set its own logger's level.

    From the fifth network on it warns that compiling again is slow: each is another network, so it has to.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


class _Finder(MetaPathFinder):
    """Finds TensorFlow where the other finders do, until it was imported: to ask for it alone changes nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found is not None), None)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader, self)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, finder: _Finder) -> None:
        self._loader, self._finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        with filtered_stderr():
            self._loader.exec_module(module)
        silence_warnings()


@contextmanager
def filtered_stderr() -> Iterator[None]:
    """Keep TensorFlow's chatter from stderr; all other lines appear at the end of the block."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # no stderr: nothing to filter
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not CHATTER.match(line):
                    os.write(2, line)
