"""Fit how likely a row is read right with the extra `pages`: print what `reading.text_detector.ROWS` holds.

    python benchmarks/fit_text_detector.py

Of our finder's rows, then of PP-OCR's text detector's, each with a second opinion, on the composed pages of held-out
styles on which a finder's own model is fitted (`train finder`). To be run again after the line network, the digit
network or the finder has changed.
"""

from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import hold_out
from inkdigits.reading.finder import Finder
from inkdigits.reading.model import SHIPPED
from inkdigits.reading.second_opinion import TextRecogniser
from inkdigits.reading.text_detector import TextDetector
from inkdigits.training.finder_model import CALIBRATION, fit_rows, held_out_pages
from inkdigits.training.recipes import resolve


def main() -> None:
    recipe = resolve("finder")
    _, validation = hold_out(load_mnist()[0], recipe.validation, seed=0)
    for finder in (Finder(SHIPPED / "finder.onnx"), TextDetector()):
        print(fit_rows(finder, held_out_pages(validation, CALIBRATION), TextRecogniser()), flush=True)


if __name__ == "__main__":
    main()
