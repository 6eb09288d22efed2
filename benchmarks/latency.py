"""How long answers take: our Reader, the same network through Keras, and plain ONNX Runtime on the same arrays, in
turn.

    python benchmarks/latency.py [--rounds 9] [--json FILE]

Framed digits (uint8 (N, 28, 28)) go to `Reader.classify`, to `InferenceSession.run` and to Keras's `predict` and plain
call; the networks' scores agree to 1e-4. Then what only a Reader does: pictures of single digits, framed first, and a
page.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import onnxruntime as ort
from common import Table, in_turn, publish, ratios, spread
from same_net import assert_same, shipped_in_keras

from inkdigits.data.loading import load_mnist
from inkdigits.reading.model import model_path
from inkdigits.reading.reader import Reader
from inkdigits.training.synthesis.sheets import compose_sheet

SHEET = ("31 415", "2718 28", "16 180", "299 792", "5040 67", "8 1 2 3")
OURS = "Reader.classify"
Calls = Mapping[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    reader, test = Reader(text_detector=False), load_mnist()[1]
    one, many = np.ascontiguousarray(test.images[:1]), np.ascontiguousarray(test.images[:1000])
    page = compose_sheet(test, SHEET)
    large = [cv2.resize(255 - image, (70, 70), interpolation=cv2.INTER_CUBIC) for image in many]
    figures = {
        "1 digit": in_turn(contestants(reader, one), given.rounds, repeats=50),
        "1,000 digits": in_turn(contestants(reader, many), given.rounds, repeats=3),
    }
    whole = {
        "`read_digit`, 1 picture of 70 x 70": (1, in_turn({"": lambda: reader.read_digit(large[0])}, given.rounds, 50)),
        "`read_digits`, 1,000 such pictures": (1000, in_turn({"": lambda: reader.read_digits(large)}, given.rounds)),
        f"`read_page`, {' x '.join(map(str, page.shape[::-1]))}, {digits_in(reader, page)} digits": (
            1,
            in_turn({"": lambda: reader.read_page(page)}, given.rounds, 3),
        ),
    }
    publish(
        "latency",
        "A Reader beside Keras and plain ONNX Runtime",
        [net_table(figures), reader_table({name: (n, found[""]) for name, (n, found) in whole.items()})],
        notes=[
            f"{given.rounds} rounds in turn, all in one process; of one digit 50 calls a round, of 1,000 three. "
            "`predict` works by batches of 256. ONNX Runtime's threads spin between calls unless told not to; a "
            "Reader's sleep, which leaves the cores to others and costs some hundredths of a millisecond a call."
        ],
        figures=figures | {"whole": {name: found[""] for name, (_, found) in whole.items()}},
        path=given.json,
    )


def contestants(reader: Reader, images: np.ndarray) -> Calls:
    session = ort.InferenceSession(str(model_path(None)), providers=["CPUExecutionProvider"])
    network = shipped_in_keras()
    plain = session.run(["scores"], {"images": images})[0]
    assert_same(network.predict(images, verbose=0), plain)
    return {
        OURS: lambda: reader.classify(images),
        "plain ONNX Runtime": lambda: session.run(["scores"], {"images": images}),
        "Keras predict": lambda: network.predict(images, batch_size=256, verbose=0),
        "Keras model(images)": lambda: np.asarray(network(images, training=False)),
    }


def digits_in(reader: Reader, page: np.ndarray) -> int:
    return sum(len(line.digits) for line in reader.read_page(page).lines)


def net_table(figures: Mapping[str, Mapping[str, list[float]]]) -> Table:
    rows = []
    for what, found in figures.items():
        for name, seconds in found.items():
            times = "" if name == OURS else spread(ratios(seconds, found[OURS]), 2)
            rows.append((what, name, spread([1000 * s for s in seconds], 2), times))
    return Table("Framed digits", ("", "by", "ms", f"times that of `{OURS}`"), rows)


def reader_table(whole: Mapping[str, tuple[int, list[float]]]) -> Table:
    rows = []
    for name, (n, seconds) in whole.items():
        rows.append((name, spread([1000 * s for s in seconds], 2), f"{n / np.median(seconds):,.0f}"))
    return Table("Pictures", ("", "ms", "a second"), rows)


if __name__ == "__main__":
    main()
