"""PDFs and TIFFs of several pages, page by page; what is damaged is told of."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigits.cli.main import main
from inkdigits.errors import ImageError
from inkdigits.files.documents import pages_of


def page(number: int) -> Image.Image:
    pixels = np.full((120, 90), 255, np.uint8)
    pixels[20:100, 20 * number : 20 * number + 8] = 0
    return Image.fromarray(pixels)


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    page(1).save(tmp_path / "three.tif", save_all=True, append_images=[page(2), page(3)])
    return tmp_path / "three.tif"


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    pytest.importorskip("pypdfium2", reason="the extra `forms` is not installed")
    page(1).save(tmp_path / "two.pdf", save_all=True, append_images=[page(2)], resolution=100)
    return tmp_path / "two.pdf"


def test_frames_of_a_tiff(tiff: Path) -> None:
    pages = list(pages_of(str(tiff)))
    assert [each.source for each in pages] == [f"{tiff}#{i}" for i in (1, 2, 3)]
    assert pages[-1].share == 1
    for i, each in enumerate(pages_of(str(tiff)), 1):
        assert np.array_equal(each.load(), np.asarray(page(i)))


def test_pages_of_a_pdf(pdf: Path) -> None:
    images = {each.source: each.load() for each in pages_of(str(pdf))}
    assert list(images) == [f"{pdf}#1", f"{pdf}#2"]
    assert images[f"{pdf}#1"].shape == pytest.approx((240, 180), abs=1)  # 100 dpi, drawn with 200
    assert images[f"{pdf}#2"][120, 88] < 60 < images[f"{pdf}#1"][120, 88]


def test_one_picture_is_itself(tmp_path: Path) -> None:
    page(1).save(tmp_path / "a.png")
    page(1).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        (only,) = pages_of(str(tmp_path / name))
        assert only.source == str(tmp_path / name)
        assert only.load().shape == (120, 90)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 broken", b"\0" * 100])
def test_a_broken_pdf_is_one_line(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pypdfium2", reason="the extra `forms` is not installed")
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.pdf: not a PDF that can be read"):
        list(pages_of(str(tmp_path / "a.pdf")))


def test_a_tiff_cut_short(tiff: Path) -> None:
    tiff.write_bytes(tiff.read_bytes()[:-3000])
    with pytest.raises(ImageError, match="three"):
        [each.load() for each in pages_of(str(tiff))]


def test_read_answers_each_page(
    tiff: Path, pdf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["inkdigits", "read", str(pdf), str(tiff), "--layout", "number", "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(each["image"]).name for each in said] == [
        "two.pdf#1",
        "two.pdf#2",
        *(f"three.tif#{i}" for i in (1, 2, 3)),
    ]
    output = tmp_path / "answers.csv"
    monkeypatch.setattr("sys.argv", ["inkdigits", "read", str(tmp_path), "--layout", "number", "--output", str(output)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert output.read_text().count("#") == 5
