"""A reader learns one hand: here MNIST's test digits turned so far that one in five is read wrong."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("scipy", reason="the extra `adapt` is not installed")

from inkdigits.cli.personal import _list
from inkdigits.data.corrections import Corrections, default_path
from inkdigits.data.idx import save_idx_folder
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, ModelError, OutputError
from inkdigits.evaluation.gate import Gate
from inkdigits.personal.adapt import Outcome, adapt
from inkdigits.personal.examples import NOT_A_DIGIT, Examples, examples_of, of_corrections, of_data
from inkdigits.personal.hands import hand_path, hands, undo
from inkdigits.reading.adapted import DIGIT, LINE, load_adaptation, save_adaptation, versions
from inkdigits.reading.model import SHIPPED, OnnxModel
from inkdigits.reading.normalise.digit import frame_ink
from inkdigits.reading.reader import Reader

N = 120


def turned(images: np.ndarray, degrees: float = 55) -> np.ndarray:
    """Return digits turned, of which the network reads a fifth wrong at 55 degrees."""
    matrix = cv2.getRotationMatrix2D((14, 14), degrees, 1.0)
    return np.stack([frame_ink(cv2.warpAffine(image, matrix, (28, 28))) for image in np.asarray(images)])


@pytest.fixture(scope="module")
def hand(mnist: tuple[Split, Split]) -> tuple[Examples, Examples]:
    """Digits to learn from, and further ones of the same hand."""
    test = mnist[1].take(slice(5_000, 5_000 + N + 600))
    images = turned(test.images)
    return examples_of(images[:N], test.labels[:N]), examples_of(images[N:], test.labels[N:])


@pytest.fixture
def learned(home: Path, hand: tuple[Examples, Examples]) -> Outcome:
    return adapt("anna", hand[0])


def errors(reader: Reader, examples: Examples) -> int:
    return int((reader.classify(examples.images).labels != examples.labels).sum())


def test_a_hand_is_read_better_and_nothing_is_forgotten(
    learned: Outcome, hand: tuple[Examples, Examples], mnist: tuple[Split, Split]
) -> None:
    gate = learned.digits
    assert learned.version is not None
    assert gate.errors_after <= 0.8 * gate.errors_before, gate
    assert gate.home_after - gate.home_before <= 0.0005 * gate.n_home
    before, after = Reader(), Reader(learned.version.parent)
    assert errors(after, hand[1]) <= 0.75 * errors(before, hand[1])
    others = mnist[1].take(2_000)  # the gate's promise, on digits that had no say in it
    at_home = Examples(np.asarray(others.images), others.labels)
    assert errors(after, at_home) <= errors(before, at_home) + 3
    confident = after.classify(hand[1].images)
    assert confident.confidence.mean() <= (confident.labels == hand[1].labels).mean() + 0.02  # it does not boast
    assert after.card["adapted"]["n"] == N
    assert after.card["name"] == "anna-0001"
    assert "learned from 120 examples" in learned.summary


def test_a_letter_is_still_no_digit(learned: Outcome) -> None:
    assert learned.version is not None
    grid = np.zeros((28, 28), np.uint8)
    grid[4:24:4, 4:24] = grid[4:24, 4:24:4] = 255
    assert not Reader(learned.version.parent).classify(grid[None]).accepted[0]


def test_versions_are_kept_and_taken_back(learned: Outcome, hand: tuple[Examples, Examples]) -> None:
    second = adapt("anna", hand[1])
    assert second.version is not None
    assert second.version.name == "0002"
    assert [each.name for each in hands()] == ["anna"]
    assert undo("anna") == learned.version
    assert undo("anna") is None
    assert hands() == []
    with pytest.raises(ModelError, match=r"anna: no such hand; `inkdigits adapt` learns one"):
        undo("anna")


def test_wrong_labels_do_no_harm(home: Path, mnist: tuple[Split, Split]) -> None:
    """Of a hand that is read well, a fifth of the labels is wrong: whatever is kept reads it no worse."""
    test, rng = mnist[1], np.random.default_rng(5)
    labels = test.labels[:100].copy()
    flipped = rng.permutation(100)[:20]
    labels[flipped] = (labels[flipped] + rng.integers(1, 10, 20)) % 10
    outcome = adapt("flipped", examples_of(test.images[:100], labels))
    assert outcome.digits.errors_before >= 20
    rest = Examples(np.asarray(test.images[100:1_100]), test.labels[100:1_100])
    reader = Reader(outcome.version.parent) if outcome.version else Reader()
    assert errors(reader, rest) <= errors(Reader(), rest) + 2


def test_a_fifth_of_the_labels_of_hard_examples_is_wrong(home: Path, mnist: tuple[Split, Split]) -> None:
    """Half of the examples were read wrong, as corrections are; the rest of the hand, mostly easy, is read no worse."""
    test = mnist[1].take(slice(5_000, 6_400))
    images, labels = turned(test.images, 40), test.labels
    wrong = Reader().classify(images).labels != labels
    before, after, set_aside = 0, 0, 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(labels))
        learn, rest = order[:700], order[700:]
        learn = np.concatenate([learn[wrong[learn]][:25], learn[~wrong[learn]][:25]])
        said = labels[learn].copy()
        flipped = rng.permutation(50)[:10]
        said[flipped] = (said[flipped] + rng.integers(1, 10, 10)) % 10
        outcome = adapt(f"hand{seed}", examples_of(images[learn], said))
        reader = Reader(outcome.version.parent) if outcome.version else Reader()
        unseen = Examples(images[rest], labels[rest])
        before, after = before + errors(Reader(), unseen), after + errors(reader, unseen)
        set_aside += outcome.n_set_aside
    assert after <= before
    assert 20 <= set_aside <= 60  # of 30 that are wrong


def test_examples_that_contradict_each_other_are_left_out() -> None:
    images = np.arange(3 * 784).reshape(3, 28, 28).astype(np.uint8)
    found = examples_of([images[0], images[1], images[1], images[2], images[2]], [1, 2, 3, 4, 4])
    assert (found.labels.tolist(), found.n_contradicting) == ([1, 4], 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(1), "^1 example of the hand: at least 20 are needed$"),
        (np.arange(19) % 10, "19 examples of the hand: at least 20 are needed"),
        (np.full(30, 7), "all are the digit 7"),
        (np.full(30, NOT_A_DIGIT), "none is a digit"),
    ],
)
def test_too_little_is_an_error(home: Path, labels: np.ndarray, message: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28)).astype(np.uint8)
    with pytest.raises(DataError, match=message):
        adapt("me", examples_of(images, labels))
    assert not hand_path("me").exists()


def test_an_adaptation_of_other_weights_is_rejected(learned: Outcome) -> None:
    assert learned.version is not None
    path = learned.version / DIGIT
    known = load_adaptation(path)
    save_adaptation(path, type(known)(**vars(known) | {"base_sha256": "0" * 64}))
    other = (
        r"adapted from other weights than .*digit.onnx; adapt again; `inkdigits adapt anna --undo` takes this version"
    )
    with pytest.raises(ModelError, match=other):
        Reader(learned.version.parent)
    path.write_bytes(path.read_bytes()[:500])
    undo_helps = r"digit.npz: cannot be read .*; `inkdigits adapt anna --undo` takes this version away$"
    with pytest.raises(ModelError, match=undo_helps):
        Reader(learned.version.parent)
    path.unlink()
    (learned.version / "line.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"line.onnx: .*`inkdigits adapt anna --undo` takes this version away$"):
        Reader(learned.version.parent)


def test_a_version_without_anything_is_an_error(learned: Outcome) -> None:
    assert learned.version is not None
    (learned.version / DIGIT).unlink()
    with pytest.raises(ModelError, match=r"0001: this version of the hand is empty; `inkdigits adapt anna --undo`"):
        Reader(learned.version.parent)


def test_what_is_not_fitted_again_stays_unless_it_is_damaged(
    learned: Outcome, hand: tuple[Examples, Examples], capsys: pytest.CaptureFixture[str]
) -> None:
    assert learned.version is not None
    path = learned.version / LINE
    card = OnnxModel(SHIPPED / LINE).card | {"adapted": {"n": 20, "errors": [3, 1], "date": "2026-01-01"}}
    network = onnx.load(SHIPPED / LINE)
    next(each for each in network.metadata_props if each.key == "card").value = json.dumps(card)
    onnx.save(network, path)
    second = adapt("anna", hand[1]).version
    assert second is not None
    assert (second / LINE).read_bytes() == path.read_bytes()
    (learned.version / DIGIT).unlink()
    (second / LINE).write_bytes(b"no network")
    said: list[str] = []
    third = adapt("anna", hand[1], report=said.append).version
    assert third is not None
    assert not (third / LINE).exists()
    assert said[-1] == f"left out: {second / LINE}, damaged or made with other networks"
    Reader(third.parent)
    (third / DIGIT).unlink()
    _list(as_json=False)
    printed = capsys.readouterr()
    assert printed.out == "anna             0001     20 examples, 3 -> 1 errors, 2026-01-01  with lines\n"
    damaged, empty = printed.err.splitlines()
    assert f"{second / LINE}: " in damaged
    assert f"{third}: this version of the hand is empty" in empty


def test_two_adaptations_at_once(home: Path, hand: tuple[Examples, Examples]) -> None:
    from inkdigits.personal.hands import one_at_a_time

    with (
        one_at_a_time(hand_path("anna")),
        pytest.raises(ModelError, match="anna: another process adapts this hand; wait for it to end"),
    ):
        adapt("anna", hand[0])


def test_what_was_left_out_is_said(home: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28)).astype(np.uint8)
    found = examples_of([*images, images[0], images[1], images[1]], [*range(10), 0, 1, 5, 1, 1])
    assert (len(found), found.n_contradicting, found.n_repeated) == (11, 2, 2)
    with pytest.raises(DataError) as error:
        adapt("me", replace(found, n_not_cut=14))
    assert str(error.value) == (
        "11 examples of the hand: at least 20 are needed; left out: 14 numbers in which not as many digits were found "
        "as are written, 2 digits labelled otherwise elsewhere, 2 digits there twice"
    )


@pytest.mark.parametrize("name", ["reader", "Line", "digit", "finder", "x.onnx", "y.npz"])
def test_a_name_that_means_a_network(home: Path, name: str) -> None:
    with pytest.raises(ModelError, match="--model means a network by this name"):
        hand_path(name)


def test_a_failed_adaptation_leaves_no_folder(home: Path, hand: tuple[Examples, Examples]) -> None:
    class Fails:
        def gate(self, lines: object) -> None:
            raise DataError("no")

    lines = tuple((np.zeros((9, 9), np.uint8), "1") for _ in range(20))
    with pytest.raises(DataError, match="no"):
        adapt("anna", replace(hand[0], lines=lines), make_tuner=Fails)  # type: ignore[arg-type]
    assert not hand_path("anna").exists()


def test_a_hand_that_cannot_be_written_is_one_line(
    home: Path, hand: tuple[Examples, Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(OutputError, match=r"hands.anna: cannot be written \(Permission denied\)"):
        adapt("anna", hand[0])


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "a" * 65])
def test_a_name_that_is_none(home: Path, name: str) -> None:
    with pytest.raises(ModelError, match="a hand's name begins with a letter or digit"):
        hand_path(name)


def test_the_gate_says_why() -> None:
    worse = Gate("digits", 50, 5, 5, 3_000, 15, 15, 0.0005)
    assert worse.objection == "it does not read this hand better: 5 -> 5 errors of 50 digits"
    forgets = Gate("digits", 50, 5, 1, 3_000, 15, 17, 0.0005)
    assert forgets.objection == "it forgets: 15 -> 17 errors of 3000 digits of others"
    assert Gate("digits", 50, 5, 1, 3_000, 15, 16, 0.0005).is_kept


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inkdigits", *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def data(home: Path, hand: tuple[Examples, Examples], tmp_path: Path) -> Path:
    split = Split(hand[0].images, hand[0].labels, "train", tuple("0123456789"), "a hand", "")
    save_idx_folder(tmp_path / "hand", split, split.take(2))
    return tmp_path / "hand"


def test_the_command_learns_lists_reads_and_undoes(data: Path, hand: tuple[Examples, Examples], tmp_path: Path) -> None:
    assert len(of_data(data)) == N
    done = run("adapt", "anna", "--data", data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("learned from 120 examples:")
    assert "inkdigits read --model anna" in done.stderr
    listed = [json.loads(line) for line in run("adapt", "--list", "--json").stdout.splitlines()]
    assert [(each["hand"], each["version"], each["n"]) for each in listed] == [("anna", "0001", N)]
    picture = tmp_path / "digit.png"
    cv2.imwrite(str(picture), 255 - hand[1].images[0])
    assert run("read", picture, "--layout", "digit", "--model", "anna").returncode == 0
    table = tmp_path / "rows.csv"
    assert run("read", picture, "--layout", "digit", "--model", "anna", "--output", table).returncode == 0
    assert run("evaluate", "--model", "anna", "--data", data, "--json").returncode == 0
    assert run("read", picture, "--model", "zz").stderr == (
        "error: zz: no such model file, run or hand; the hands there are: anna\n"
    )
    unknown = run("evaluate", "--model", "zz").stderr
    assert unknown.startswith("error: zz: no such run; ")  # then what is in the folder of runs, if anything is
    assert unknown.endswith("; the hands there are: anna\n")
    assert run("adapt", "anna", "--undo").stdout == "anna: back to the networks that ship\n"
    assert run("read", picture, "--model", "anna").stderr.startswith("error: anna: no such model file")


def test_the_command_learns_from_corrections(home: Path, hand: tuple[Examples, Examples]) -> None:
    store = Corrections(default_path())
    for i in range(N):
        framed = hand[0].images[i]
        store.add(b"%d" % i, (0, 0, 28, 28), 1, 0.9, int(hand[0].labels[i]), "model", framed)
    assert len(of_corrections(store.all())) == N
    store.close()
    done = run("adapt", "ben")
    assert done.returncode == 1
    assert done.stderr == (  # not `serve --model ben`: there is no such hand yet
        "error: ben: no corrections of this hand, only of: me; "
        "a hand of this name begins with --cells, --job or --data\n"
    )
    done = run("adapt", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] is True
    assert versions(hand_path("me"))


def test_without_corrections_it_is_said_where_they_come_from(home: Path) -> None:
    done = run("adapt")
    assert done.returncode == 1
    assert done.stderr == "error: me: no corrections of this hand; `inkdigits serve` collects them\n"


def test_what_a_kill_left_is_forgotten_with_the_hand(learned: Outcome) -> None:
    assert learned.version is not None
    folder = learned.version.parent
    for name in (".0002.partial", ".0003.gone"):
        (folder / name).mkdir()
        (folder / name / DIGIT).write_bytes(b"digits of the hand")
    assert undo("anna") is None
    assert not folder.exists()


def test_a_kill_leaves_the_old_version(data: Path) -> None:
    assert run("adapt", "anna", "--data", data).returncode == 0
    for seconds in (1.5, 3.0, 4.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "inkdigits", "adapt", "anna", "--data", str(data)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ,
        )
        time.sleep(seconds)
        process.kill()
        process.wait()
        Reader(hand_path("anna"))
    assert run("adapt", "anna", "--undo").returncode == 0
