import cv2
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.files.images import read_image
from inkdigits.reading.normalise.digit import BOX, frame_digit, frame_ink, is_framed, pen_width
from inkdigits.reading.normalise.paper import has_light_ink, percentiles, remove_paper
from inkdigits.reading.reader import Reader

Splits = tuple[Split, Split]


def on_paper(
    digit: np.ndarray, scale: float = 5.0, paper: float = 225, ink: float = 45, noise: float = 2.0, seed: int = 0
) -> np.ndarray:
    """Return a digit of MNIST's form as dark ink on light paper: uint8, `scale` times as large."""
    side = round(28 * scale)
    large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    grain = np.random.default_rng(seed).normal(0, noise, large.shape)
    return np.clip(paper - (paper - ink) * large + grain, 0, 255).astype(np.uint8)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far two framed digits are apart: 0 for equal ones, 1 for ones that share no ink."""
    x, y = a.astype(float), b.astype(float)
    return float(np.abs(x - y).sum() / (x.sum() + y.sum()))


def test_a_thousand_mnist_images_come_through_unchanged(mnist: Splits) -> None:
    images = mnist[0].images[:1000]
    np.testing.assert_array_equal(np.stack([frame_digit(image) for image in images]), images)


def test_a_thousand_mnist_images_come_through_all_steps_nearly_unchanged(mnist: Splits) -> None:
    # With a margin they are in MNIST's form no more, so that every step has its say.
    images = mnist[0].images[:1000]
    distances = [apart(frame_digit(np.pad(image, 6)), image) for image in images]
    assert np.median(distances) < 0.02
    assert np.quantile(distances, 0.95) < 0.12


def test_ink_in_mnists_form_is_framed_to_itself(mnist: Splits) -> None:
    distances = [apart(frame_ink(image), image) for image in mnist[0].images[:1000]]
    assert np.quantile(distances, 0.95) < 0.12


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def sheets(mnist: Splits, reader: Reader) -> tuple[np.ndarray, list[np.ndarray]]:
    """100 digits on paper, and what the shipped net answers for each as MNIST has it."""
    digits = mnist[1].images[:100]
    return reader.classify(digits).labels, [on_paper(digit, seed=i) for i, digit in enumerate(digits)]


def shifted(image: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, np.array([[1.0, 0, 9], [0, 1, -7]]), image.shape[::-1], borderValue=225)


def darker(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 0.55 + 8, 0, 255).astype(np.uint8)


def padded(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((90, 20), (60, 150)), mode="edge")


def in_shadow(image: np.ndarray) -> np.ndarray:
    return (image * np.linspace(0.5, 1, image.shape[1])).astype(np.uint8)


def faint(image: np.ndarray) -> np.ndarray:
    return np.clip(225 - (225 - image.astype(np.float32)) * 0.25, 0, 255).astype(np.uint8)


def turned(degrees: float, image: np.ndarray) -> np.ndarray:
    middle = image.shape[0] / 2
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1.0)
    return cv2.warpAffine(image, turn, image.shape[::-1], flags=cv2.INTER_CUBIC, borderValue=225)


CHANGES = {
    "shifted": shifted,
    "inverted": lambda image: 255 - image,
    "darker": darker,
    "padded": padded,
    "shadow": in_shadow,
    "faint": faint,
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "four times the size": lambda image: cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC),
    "turned to the left": lambda image: turned(10, image),
    "turned to the right": lambda image: turned(-10, image),
    "RGB": lambda image: np.repeat(image[..., None], 3, axis=2),
    "16 bit": lambda image: image.astype(np.uint16) * 257,
    "float": lambda image: image / 255,
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_answer_stays(name: str, sheets: tuple[np.ndarray, list[np.ndarray]], reader: Reader) -> None:
    labels, images = sheets
    framed = np.stack([frame_digit(read_image(CHANGES[name](image))) for image in images])
    wrong = int((reader.classify(framed).labels != labels).sum())
    assert wrong <= (3 if "turned" in name else 1)


@pytest.mark.parametrize("name", ["shifted", "inverted", "padded", "darker", "RGB", "16 bit"])
def test_the_framed_picture_stays(name: str, sheets: tuple[np.ndarray, list[np.ndarray]]) -> None:
    distances = [apart(frame_digit(read_image(CHANGES[name](image))), frame_digit(image)) for image in sheets[1]]
    assert np.median(distances) < 0.06


def test_the_form_of_mnist(mnist: Splits) -> None:
    for i, digit in enumerate(mnist[0].images[:50]):
        framed = frame_digit(on_paper(digit, seed=i))
        ys, xs = np.nonzero(framed)
        assert BOX - 1 <= max(np.ptp(ys), np.ptp(xs)) + 1 <= BOX
        moments = cv2.moments(framed)
        assert abs(moments["m01"] / moments["m00"] - 14) <= 0.51
        assert abs(moments["m10"] / moments["m00"] - 14) <= 0.51
        assert framed.max() == 255


def test_specks_rules_and_neighbours_are_dropped(mnist: Splits) -> None:
    digit = mnist[0].images[0]
    clean = on_paper(digit, noise=0)
    expected = frame_digit(clean)
    specks, ruled, boxed, neighbour = clean.copy(), clean.copy(), clean.copy(), clean.copy()
    for x, y in ((12, 15), (120, 20), (20, 125)):
        cv2.circle(specks, (x, y), 1, 60, -1)
    ruled[128:130] = 110
    boxed[:, 3:5] = 70
    boxed[3:5] = 70
    neighbour[40:110, :6] = 50
    for name, image in (("specks", specks), ("ruled", ruled), ("boxed", boxed), ("neighbour", neighbour)):
        assert apart(frame_digit(image), expected) < 0.05, name


@pytest.mark.parametrize("width_px", [2, 60])
def test_pens_far_off_are_brought_near_to_mnists(width_px: int) -> None:
    image = np.full((320, 320), 255, np.uint8)
    cv2.ellipse(image, (160, 160), (90, 120), 0, 0, 360, 0, width_px, cv2.LINE_AA)
    framed = frame_digit(image)
    assert 1.3 < pen_width(framed) < 4.6
    assert framed[framed > 64].mean() > 150


def test_pen_width_of_a_bar() -> None:
    image = np.zeros((40, 200), np.uint8)
    image[15:21, 10:190] = 255
    assert pen_width(image) == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_blank_paper_gives_no_ink(level: int) -> None:
    blank = np.full((50, 70), level, np.uint8)
    assert remove_paper(blank).max() == 0
    assert frame_digit(blank).max() == 0


def test_paper_grain_gives_no_ink() -> None:
    grain = np.random.default_rng(0).normal(200, 3, (120, 90)).astype(np.uint8)
    assert (remove_paper(grain) > 0).mean() < 0.02


def test_polarity_is_found(mnist: Splits) -> None:
    for digit in mnist[0].images[:300]:
        assert has_light_ink(digit)
        assert not has_light_ink(255 - digit)
        ys, xs = np.nonzero(digit > 64)
        tight = digit[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        if (tight > 64).mean() < 0.5:  # a tight crop of a 1 is a block
            assert has_light_ink(tight)


def test_remove_paper_keeps_shape_and_range() -> None:
    for shape in ((1, 1), (1, 40), (40, 1), (3, 2), (17, 900)):
        image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        ink = remove_paper(image)
        assert ink.dtype == np.uint8
        assert ink.shape == shape
        assert frame_digit(image).shape == (28, 28)


def test_is_framed(mnist: Splits) -> None:
    images = mnist[0].images[:200]
    assert is_framed(images)
    assert not is_framed(np.roll(images, 3, axis=2))
    assert not is_framed(255 - images)
    assert not is_framed(np.zeros((2, 28, 28), np.uint8))
    assert not is_framed(images[:, :27])
    assert not is_framed(images[:0])


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)],
    ids=["float", "RGB", "empty"],
)
def test_what_is_no_grey_image_is_refused(image: np.ndarray) -> None:
    for function in (remove_paper, frame_digit):
        with pytest.raises(ValueError, match="uint8"):
            function(image)


def test_percentiles_are_numpys_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 60, 171, 400):
        for percent in (0, 4, 50, 85, 97, 100):
            values = rng.integers(49, 256, n).astype(np.uint8)
            assert percentiles(values, percent) == [np.percentile(values, percent)]
