"""Fit how likely a row of PP-OCR's text detector is read right: print what `reading.text_detector.ROWS` holds.

    python benchmarks/fit_text_detector.py

On the composed pages of held-out styles on which a finder's own model is fitted (`train finder`). To be run again after
the line network or the digit network has changed.
"""

from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import hold_out
from inkdigits.reading.text_detector import TextDetector
from inkdigits.training.finder_model import CALIBRATION, fit_rows, held_out_pages
from inkdigits.training.recipes import resolve


def main() -> None:
    recipe = resolve("finder")
    _, validation = hold_out(load_mnist()[0], recipe.validation, seed=0)
    print(fit_rows(TextDetector(), held_out_pages(validation, CALIBRATION)))


if __name__ == "__main__":
    main()
