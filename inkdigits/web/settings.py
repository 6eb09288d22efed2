"""What a server allows: limits, who may ask, where corrections are kept. Every default is the safe one."""

from dataclasses import dataclass
from pathlib import Path

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Limits of one server, and who may ask it.

    Attributes:
        token: the bearer token asked for, None for none.
        allow_origins: web pages of these origins may ask too, such as "https://example.org".
        hosts: names by which the server may be called; None for any. A server on loopback holds to loopback's names,
            so that no foreign page reaches it through a name of its own (DNS rebinding).
        max_body_bytes: of a request.
        max_pixels: of a picture, checked from its header before decoding.
        max_files: of one read-many request.
        body_limit_s: time for a request's body to arrive.
        decode_limit_s: time for a picture to be decoded.
        max_held_bytes: of all bodies in memory at once; past it new ones are answered 503.
        digit_queue: small pictures of one digit that may wait at once.
        rows_queue: small pictures of rows that may wait at once.
        large_queue: large pictures that may wait at once, to be decoded or to be read.
        patience_ms: how long a request that finds no other waits for company in one model call.
        max_batch: requests in one model call.
        corrections: the SQLite file, None for `corrections.sqlite3` in INKDIGITS_HOME.
        max_corrections_bytes: of that file; past it corrections are answered 507.
    """

    token: str | None = None
    allow_origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    max_body_bytes: int = 10_000_000
    max_pixels: int = 50_000_000
    max_files: int = 100
    body_limit_s: float = 20.0
    decode_limit_s: float = 5.0
    max_held_bytes: int = 200_000_000
    digit_queue: int = 512
    rows_queue: int = 64
    large_queue: int = 8
    patience_ms: float = 1.0
    max_batch: int = 64
    corrections: Path | None = None
    max_corrections_bytes: int = 2_000_000_000
