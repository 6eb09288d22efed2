"""Labels turned wrong on purpose are found, and so are planted copies; what cannot be scored is said."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.helpers import Seen
from typer.testing import CliRunner

from inkdigits.audit import label_issues
from inkdigits.audit.report import diagnosis_html
from inkdigits.cli.main import app
from inkdigits.data.idx import save_idx_folder
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, RecipeError

Splits = tuple[Split, Split]
WRONG = {"train": np.arange(7, 600, 40), "test": np.arange(11, 200, 40)}


def spoilt(split: Split) -> Split:
    """The same with some labels wrong, and with noise, since printed digits repeat themselves."""
    noise = np.random.default_rng(len(split)).normal(0, 30, split.images.shape)
    images = np.clip(split.images + noise, 0, 255).astype(np.uint8)
    labels = split.labels.copy()
    labels[WRONG[split.name]] = (labels[WRONG[split.name]] + 3) % 10
    return replace(split, images=images, labels=labels)


@pytest.fixture(scope="module")
def planted(toy: Splits) -> Splits:
    """Digits with wrong labels, a test image copied from the training set, and one twice with different labels."""
    train, test = map(spoilt, toy)
    images, labels = test.images.copy(), test.labels.copy()
    images[0], labels[0] = train.images[0], train.labels[0]
    images[2], labels[2] = images[1], (labels[1] + 1) % 10
    return train, replace(test, images=images, labels=labels)


@pytest.fixture(scope="module")
def diagnosis(planted: Splits) -> label_issues.Diagnosis:
    return label_issues.examine(*planted, "hidden", folds=2, epochs=15, batch_size=16, top=20, progress=False)


def test_wrong_labels_come_first(diagnosis: label_issues.Diagnosis, toy: Splits, planted: Splits) -> None:
    for found_labels, truth, given in zip((diagnosis.train, diagnosis.test), toy, planted, strict=True):
        wrong = set(np.flatnonzero(truth.labels != given.labels).tolist())
        assert wrong >= set(WRONG[truth.name].tolist())
        assert len(wrong & set(found_labels.ranking[: len(wrong) + 2].tolist())) >= 0.9 * len(wrong)
        assert wrong <= set(np.flatnonzero(found_labels.disagrees).tolist())
        assert found_labels.disagrees.sum() <= len(wrong) + 0.15 * len(truth)
        assert found_labels.is_issue.sum() >= 0.8 * len(wrong)
        at = WRONG[truth.name]
        assert (found_labels.suggested[at] == truth.labels[at]).mean() >= 0.9


def test_answers_are_out_of_fold(toy: Splits) -> None:
    """Noise can be learned by heart, yet not by a net that has not seen it."""
    rng = np.random.default_rng(0)
    train = replace(toy[0], images=rng.integers(0, 256, (200, 28, 28), np.uint8), labels=np.arange(200) % 10)
    found = label_issues.examine(train, toy[1].take(20), "linear", folds=2, epochs=15, progress=False)
    assert found.train.disagrees.mean() > 0.75


def test_planted_copies_are_found(diagnosis: label_issues.Diagnosis) -> None:
    contradicting = diagnosis.twins[0]
    assert contradicting.contradict
    assert contradicting.indices == (1, 2)
    assert [split.name for split in contradicting.splits] == ["test", "test"]
    copied = [twins for twins in diagnosis.twins if twins.across and twins.exact]
    assert [(twins.indices, twins.contradict) for twins in copied] == [((0, 0), False)]


def test_folds_part_every_class_evenly() -> None:
    labels = np.repeat(np.arange(10), np.arange(2, 12))
    fold = label_issues.fold_of(labels, 5, seed=1)
    assert np.ptp(np.bincount(fold)) <= 1
    for label in range(10):
        assert np.ptp(np.bincount(fold[labels == label], minlength=5)) <= 1
    assert (fold != label_issues.fold_of(labels, 5, seed=2)).any()


def test_a_class_of_one_image_is_not_scored(toy: Splits) -> None:
    train, test = (split.take(60) for split in toy)
    nines = np.flatnonzero(train.labels == 9)
    kept = np.delete(np.arange(60), nines[1:])
    train = replace(train, images=train.images[kept], labels=train.labels[kept])
    found = label_issues.examine(train, test, "linear", folds=2, epochs=1, progress=False)
    assert not found.train.scored[train.labels == 9].any()
    assert not found.test.scored[test.labels == 9].any()
    assert found.test.scored[test.labels != 9].all()
    assert not set(found.test.ranking.tolist()) & set(np.flatnonzero(test.labels == 9).tolist())
    assert found.remarks[0] == "class 9 has 1 training images: its labels were not scored"
    assert found.to_dict()["labels"]["test"]["not_scored"] == (test.labels == 9).sum()


@pytest.mark.parametrize(
    ("labels", "folds", "words"),
    [(np.arange(10), 3, "at least 2 classes"), (np.zeros(9, int), 3, "2 classes"), (np.arange(4) % 2, 5, "4 training")],
)
def test_too_few_images_are_an_error(labels: np.ndarray, folds: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        label_issues.fold_of(labels, folds, seed=0)


def test_a_recipe_that_composes_is_refused(toy: Splits) -> None:
    with pytest.raises(RecipeError, match="composed"):
        label_issues.examine(*toy, "reader")


def test_the_page_shows_what_was_found(diagnosis: label_issues.Diagnosis) -> None:
    html = diagnosis_html(diagnosis)
    seen = Seen(html)
    assert seen.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in seen.links)
    assert not re.search(r"https?:|<script", re.sub(r"data:image/png;base64,[\w+/=]+", "", html))
    words = [str(image["alt"]) for image in seen.images]
    names = diagnosis.train.split.class_names
    for i in diagnosis.train.worst(20):
        given, likely = names[diagnosis.train.split.labels[i]], names[diagnosis.train.suggested[i]]
        assert f"train image {i}: labelled {given}, likely {likely}" in words
    assert "test 1 = test 2" in seen.text


def test_balance_is_reported(toy: Splits) -> None:
    train = replace(toy[0], labels=np.minimum(toy[0].labels, 8))
    scored = np.ones(600, bool)
    found_labels = label_issues.LabelIssues(train, np.eye(10)[train.labels], np.ones(600), ~scored, scored)
    test = replace(toy[1], labels=np.minimum(toy[1].labels, 7))
    of_test = label_issues.LabelIssues(test, np.eye(10)[test.labels], np.ones(200), ~scored[:200], scored[:200])
    found = label_issues.Diagnosis(label_issues.recipes.resolve("linear"), 5, found_labels, of_test, [])
    assert found.balance[8] == ("8", 120, 0)
    assert found.remarks == [
        "class 9 has 0 training images: its labels were not scored",
        "class 8 has 2.0 times as many training images as class 0",
        "class 8 has no test images",
    ]
    assert "agree with every label of the test set" in str(found)
    assert "There are none" in diagnosis_html(found)


@pytest.mark.parametrize(("off_by", "weak"), [(0, False), (1, True)])
def test_weak_networks_are_named(off_by: int, weak: bool, toy: Splits) -> None:
    found = [
        label_issues.LabelIssues(split, np.eye(10)[(split.labels + off_by) % 10], ones, ones < 1, ones > 0)
        for split, ones in ((split, np.ones(len(split))) for split in toy)
    ]
    diagnosis = label_issues.Diagnosis(label_issues.recipes.resolve("linear"), 5, *found, [])
    assert ("too weak" in str(diagnosis)) == weak


def test_the_command_line(
    planted: Splits, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("inkdigits"), "propagate", True)
    caplog.set_level(logging.INFO, logger="inkdigits")
    save_idx_folder(tmp_path / "data", *planted)
    words = ["doctor", "--data", str(tmp_path / "data"), "--recipe", "linear", "--folds", "2", "--epochs", "8"]
    done = CliRunner().invoke(app, [*words, "--top", "30", "--report", str(tmp_path / "a" / "page.html"), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    listed = {each["index"] for each in found["labels"]["train"]["worst"]}
    assert len(listed & set(WRONG["train"].tolist())) >= 0.8 * len(WRONG["train"])
    assert found["duplicates"][0]["images"][1] == {
        "split": "test",
        "index": 2,
        "label": str(planted[1].labels[2]),
    }
    assert "fold 2/2" in caplog.text
    assert (tmp_path / "a" / "page.html").read_text().startswith("<!doctype html>")
