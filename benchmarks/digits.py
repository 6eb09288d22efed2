"""How well the digit net reads single digits, how well it knows what it reads, and what it refuses.

    python benchmarks/digits.py [DIR] [--model RUN|FILE] [--json FILE]

MNIST's test set comes from `load_mnist`. DIR holds `digits/*.npz` (x uint8 (N, H, W), y (N,)) and `not-digits/*.npz`
(x). Every picture of DIR is framed first, as `Reader.read_digit` does it. Confidence is judged against that on MNIST's
test set: AUROC and FPR at 95 % say how well it tells digits from what is none; accepted is the share at or above the
card's threshold. Dots, lines, noise and blank paper are made here.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inkdigits.datasets import load_mnist
from inkdigits.framing import frame_digit
from inkdigits.metrics import auroc, calibration_error, fpr_at_tpr, wilson_interval
from inkdigits.reader import Classified, Reader

N_MADE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=Path, nargs="?", help="with digits/*.npz and not-digits/*.npz")
    parser.add_argument("--model", default=None, help="a run or an ONNX file; default: the shipped digit net")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    reader = Reader(arguments.model)
    test = load_mnist()[1]
    home = reader.classify(test.images)
    digits = [digits_row("MNIST test", home, test.labels)]
    sets = sorted((arguments.dir / "digits").glob("*.npz")) if arguments.dir else []
    for path in sets:
        with np.load(path) as arrays:
            images, labels = arrays["x"], arrays["y"]
        digits.append(digits_row(path.stem, reader.classify(framed(images)), labels))
    outliers = [
        outliers_row(name, reader.classify(images), home.confidence)
        for name, images in {**made_outliers(test.images), **stored_outliers(arguments.dir)}.items()
    ]
    speed = speed_of(reader, test.images)
    show(digits, outliers, speed, reader)
    if arguments.json:
        report = {"card": reader.card, "digits": digits, "outliers": outliers, "speed": speed}
        arguments.json.write_text(json.dumps(report, indent=1))


def framed(images: np.ndarray) -> np.ndarray:
    return np.stack([frame_digit(image) for image in images])


def digits_row(name: str, answers: Classified, labels: np.ndarray) -> dict[str, Any]:
    right = answers.labels == labels
    low, high = wilson_interval(int(right.sum()), len(right))
    accepted = answers.accepted
    return {
        "set": name,
        "n": len(right),
        "misses": int((~right).sum()),
        "accuracy": float(right.mean()),
        "interval": [low, high],
        "ece": calibration_error(answers.confidence, right),
        "accepted": float(accepted.mean()),
        "error_among_accepted": float((~right[accepted]).mean()) if accepted.any() else 0.0,
        "misses_accepted": int((~right & accepted).sum()),
    }


def outliers_row(name: str, answers: Classified, home: np.ndarray) -> dict[str, Any]:
    return {
        "set": name,
        "n": len(answers.labels),
        "auroc": auroc(home, answers.confidence),
        "fpr95": fpr_at_tpr(home, answers.confidence),
        "accepted": float(answers.accepted.mean()),
    }


def made_outliers(digits: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (N_MADE, 28, 28)).astype(np.uint8)
    dots, lines = np.full((2, N_MADE, 64, 64), 235, np.uint8)
    for dot, line in zip(dots, lines, strict=True):
        cv2.circle(dot, tuple(int(v) for v in rng.integers(8, 56, 2)), int(rng.integers(1, 8)), 40, -1)
        y = int(rng.integers(12, 52))
        ends = (int(rng.integers(2, 14)), y), (int(rng.integers(48, 62)), y + int(rng.integers(-8, 9)))
        cv2.line(line, *ends, 40, int(rng.integers(1, 6)))
    return {
        "inverted digits, as they are": 255 - digits[: 2 * N_MADE],
        "blank, 256 levels": np.repeat(np.arange(256, dtype=np.uint8), 784).reshape(-1, 28, 28),
        "noise, as it is": noise,
        "noise, framed": framed(rng.integers(0, 256, (N_MADE, 56, 56)).astype(np.uint8)),
        "one dot, framed": framed(dots),
        "a lying line, framed": framed(lines),
    }


def stored_outliers(folder: Path | None) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted((folder / "not-digits").glob("*.npz")) if folder else []:
        with np.load(path) as arrays:
            images = arrays["x"]
        found[f"{path.stem}, framed"] = framed(images)
        if images.shape[1:] == (28, 28):
            found[f"{path.stem}, as it is"] = images
    return found


def speed_of(reader: Reader, images: np.ndarray) -> dict[str, float]:
    """Return milliseconds a digit, the median of seven rounds: framing a 70 px picture, and the net by 256."""
    large = [cv2.resize(255 - image, (70, 70), interpolation=cv2.INTER_CUBIC) for image in images[:256]]
    rounds = []
    for _ in range(7):
        start = time.perf_counter()
        framed(np.stack(large))
        middle = time.perf_counter()
        reader.classify(images[:256])
        rounds.append((middle - start, time.perf_counter() - middle))
    frame_s, classify_s = np.median(rounds, axis=0)
    return {"frame_ms": 1000 * frame_s / 256, "classify_ms": 1000 * classify_s / 256}


def show(digits: list[dict[str, Any]], outliers: list[dict[str, Any]], speed: dict[str, float], reader: Reader) -> None:
    print(f"model {reader.card['name']}, threshold {reader.card.get('threshold', 0):.3f}\n")
    print("| digits | n | accuracy | 95 % interval | misses | ECE | accepted | error among accepted |")
    print("|---|---|---|---|---|---|---|---|")
    for row in digits:
        low, high = row["interval"]
        print(
            f"| {row['set']} | {row['n']:,} | {row['accuracy']:.2%} | {low:.2%} to {high:.2%} | {row['misses']} "
            f"| {row['ece']:.2%} | {row['accepted']:.1%} | {row['error_among_accepted']:.3%} "
            f"({row['misses_accepted']}) |"
        )
    print("\n| no digits | n | AUROC | FPR at 95 % | accepted |\n|---|---|---|---|---|")
    for row in outliers:
        print(f"| {row['set']} | {row['n']:,} | {row['auroc']:.2%} | {row['fpr95']:.2%} | {row['accepted']:.2%} |")
    print(f"\nframing {speed['frame_ms']:.2f} ms, net {speed['classify_ms']:.2f} ms a digit")


if __name__ == "__main__":
    main()
