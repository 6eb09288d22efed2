"""The process that decodes pictures for `decoder`: a length and a picture's bytes in, a status and an array out."""

import struct
import sys
from typing import IO

from inkdigits.errors import ImageError
from inkdigits.files.images import read_image

ASK = struct.Struct("<QQ")  # bytes of the picture, most pixels
ANSWER = struct.Struct("<BQQ")  # status; height and width, or bytes of the message and 0
FINE, BROKEN = 0, 1


def main(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer pictures until the source ends, as it does when the server is gone, however it went."""
    while len(head := source.read(ASK.size)) == ASK.size:
        n_bytes, max_pixels = ASK.unpack(head)
        try:
            image = read_image(source.read(n_bytes), max_pixels=max_pixels, name="the picture")
        except ImageError as error:
            message = str(error).encode()
            sink.write(ANSWER.pack(BROKEN, len(message), 0) + message)
        else:
            sink.write(ANSWER.pack(FINE, *image.shape) + image.tobytes())
        sink.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
