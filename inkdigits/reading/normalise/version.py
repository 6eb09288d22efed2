"""Which version of the normalisation this is: networks are trained behind one, and read behind the same.

The version is declared rather than computed. A hash of what normalisation does would differ between builds of OpenCV,
whose resizing and warping differ by a grey level here and there; a Reader would then reject good weights on another
machine. A test keeps the declaration true: it compares what normalisation does to fixed pictures with what it did when
the version was declared, within a tolerance wider than such differences (tests/reading/test_version.py).
"""

# Raise a number when the test fails because you meant to change that normalisation; networks of its kind must then be
# trained again.
# The finder looks at plain copies of the picture.
VERSIONS = {"digit": 1, "line": 1, "finder": 1}


def normalisation_version(kind: str = "digit") -> int:
    """Return the version of the normalisation before networks of a kind, as their cards hold it ("normalisation").

    Args:
        kind: "digit", "line" or "finder".
    """
    return VERSIONS[kind]
