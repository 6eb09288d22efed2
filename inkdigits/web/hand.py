"""The page's own hand: how many corrections there are, what was learned from them, and the button that learns."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from inkdigits.data.corrections import DEFAULT_HAND, Corrections, latest
from inkdigits.data.home import inkdigits_home
from inkdigits.errors import DataError, ModelError, OutputError
from inkdigits.reading.adapted import newest, versions
from inkdigits.reading.model import SHIPPED
from inkdigits.reading.reader import Reader
from inkdigits.web.errors import RequestError

LEAST = 20  # as `personal.adapt.LEAST`, which needs SciPy to be imported


class Hand:
    """The endpoints of `/v1/hand`.

    Args:
        reader: what answers now: the networks that ship, or a hand's; another model is not adapted.
        corrections: to learn from.
        use: is called with the reader that answers from now on.
    """

    def __init__(self, reader: Reader, corrections: Corrections, use: Callable[[Reader], None]) -> None:
        self._corrections, self._use = corrections, use
        self._folder = _folder_of(reader)
        self._busy = threading.Lock()

    async def state(self, request: Request) -> Response:
        """`GET /v1/hand`: how many corrections there are, and what was learned."""
        with _as_answers():
            return JSONResponse(await asyncio.to_thread(self._state))

    @property
    def name(self) -> str:
        """Whose corrections those are that are made now."""
        return self._folder.name if self._folder else DEFAULT_HAND

    def _state(self) -> dict[str, Any]:
        folder, facts = self._folder, None
        if folder is not None and newest(folder) is not None:
            from inkdigits.reading.adapted import DIGIT, load_adaptation

            path = versions(folder)[-1] / DIGIT
            facts = dict(load_adaptation(path).facts) if path.is_file() else None
        return {
            "hand": folder.name if folder else None,
            "corrections": len(latest(self._corrections.all(self.name))),
            "needed": LEAST,
            "can_learn": folder is not None
            and find_spec("threadpoolctl") is not None
            and find_spec("scipy") is not None,
            "learned": facts,
        }

    async def learn(self, request: Request) -> Response:
        """`POST /v1/hand`: fit the digit network to the corrections, and answer with it from now on if it is better."""
        return await self._one_at_a_time(self._learn)

    def _learn(self, folder: Path) -> dict[str, Any]:
        from inkdigits.personal.adapt import adapt
        from inkdigits.personal.examples import of_corrections

        outcome = adapt(folder.name, of_corrections(self._corrections.all(folder.name)))
        if outcome.version is not None:
            self._use(Reader(folder))
        # Where the server keeps hands is nobody's business.
        return {name: value for name, value in outcome.to_dict().items() if name != "path"}

    async def forget(self, request: Request) -> Response:
        """`DELETE /v1/hand`: forget what was learned last, and answer as before."""
        return await self._one_at_a_time(self._forget)

    def _forget(self, folder: Path) -> dict[str, Any]:
        from inkdigits.personal.hands import undo

        if newest(folder) is None:
            raise DataError("nothing was learned yet")
        before = undo(folder.name)
        self._use(Reader(folder if before else None))
        return self._state()

    async def _one_at_a_time(self, step: Callable[[Path], dict[str, Any]]) -> Response:
        if self._folder is None:
            raise RequestError(409, "own_model", "only the networks that ship learn a hand, not a model of one's own")
        if not self._busy.acquire(blocking=False):
            raise RequestError(503, "busy", "a hand is being learned at the moment", {"Retry-After": "10"})
        try:
            with _as_answers():
                return JSONResponse(await asyncio.to_thread(step, self._folder))
        finally:
            self._busy.release()


@contextmanager
def _as_answers() -> Iterator[None]:
    """Answer what is wrong with a hand or with corrections in its own words."""
    try:
        yield
    except (DataError, ModelError) as error:
        raise RequestError(409, "not_learned", _without_home(error)) from None
    except OutputError as error:
        raise RequestError(507, "not_kept", _without_home(error)) from None


def _without_home(error: Exception) -> str:
    """Return what went wrong without saying where the server keeps things."""
    return str(error).replace(f"{inkdigits_home()}{os.sep}", "")


def _folder_of(reader: Reader) -> Path | None:
    """Return the folder of the hand that this reader is, or that it would become; None where it is neither."""
    from inkdigits.personal.hands import hand_path

    path = reader.digits.model.path
    if path == SHIPPED / "digit.onnx":
        return hand_path(DEFAULT_HAND)
    folder = path.parent.parent
    return folder if folder.parent == hand_path(DEFAULT_HAND).parent else None
