"""Group screens: what is shown, to whom, controls among it, what becomes of what is marked and of what is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from forms.made import page_of, with_digits

from inkdigits.errors import FormError
from inkdigits.files.images import read_image
from inkdigits.forms import groups
from inkdigits.forms.groups import TILE, places_of, tile
from inkdigits.forms.job import Job
from inkdigits.forms.template import FormField


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> Job:
    job = Job.begin(tmp_path / "job", folder)
    for number in range(12):
        values = {"date": ("17012026", 1.0), "cases_1_1": ("7", 1.0), "cases_1_2": ("15", 1.0), "total": ("22", 1.0)}
        job.add(with_digits(page_of(job.form, f"{number}.png", values), job.form))
    return job


def cuts_of(job: Job, screen: int) -> list[tuple[int, str, int, str | None]]:
    """Return position, field, place and known digit of each cut-out."""
    query = """SELECT position, name, place, control FROM cuts JOIN fields ON fields.id = field WHERE screen = ?
               ORDER BY position"""
    with job._session() as connection:
        return connection.execute(query, (screen,)).fetchall()


def test_every_known_place_is_shown_once(job: Job) -> None:
    shown: list[tuple[str, int, str]] = []
    while screens := job.screens("ann", 1):
        (screen,) = screens
        cuts = cuts_of(job, screen.screen)
        assert len(cuts) == screen.n <= groups.CUTS
        shown += [(name, place, screen.digit) for _, name, place, _ in cuts]
        job.accept_screen("ann", screen.screen, {})
    date = "17012026"
    assert sorted(shown) == sorted([*(("date", i, date[i]) for i in range(8)), ("cases_1_1", 0, "7")] * 12)
    assert job.progress().attention.screens == 5  # of 0, 1, 2, 6 and 7
    rows = list(job.history())
    assert len(rows) == len(shown)
    assert {(each["reviewer"], each["how"].rpartition(" ")[0], each["undone"]) for each in rows} == {
        ("ann", "accepted in group", 0)
    }
    assert job.progress().decisions == 0  # a glance is no keying


def test_screens_are_given_to_one_reviewer_and_go_to_another_when_they_are_left(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, yours = job.screens("ann", 1), job.screens("ben", 1)
    assert mine[0].screen != yours[0].screen
    assert job.screens("ann", 1) == mine
    assert mine[0] in job.screens("ann", 2)
    with pytest.raises(FormError, match="not open for ben"):
        job.accept_screen("ben", mine[0].screen, {})
    now = groups.time.time()
    monkeypatch.setattr("time.time", lambda: now + groups.LEASE_S + 1)
    assert mine[0] in job.screens("ben", 5)
    with pytest.raises(FormError, match="not open for ann"):
        job.accept_screen("ann", mine[0].screen, {})


def test_what_is_marked_is_keyed_again(job: Job) -> None:
    (screen,) = job.screens("ann", 1)
    position, _, place, _ = next(cut for cut in cuts_of(job, screen.screen) if cut[1] == "date")
    assert job.accept_screen("ann", screen.screen, {position: "8"}) == 1
    (task,) = job.tasks("ben", 9)
    assert (task.name, task.problem) == ("date", "keyed otherwise than read")
    *_, last = sorted(job.history(), key=lambda each: each["how"])
    assert last["how"] == f"marked in group {screen.screen}"
    assert last["text"] == f"{'17012026'[:place]}8{'17012026'[place + 1 :]}"
    assert job.key(task.field, "17012026", "ben").accepted  # as read: the glance was wrong
    assert job.tasks("ben", 9) == []
    assert len([each for each in job.history() if each["how"] == "keyed"]) == 1


def test_controls_measure_attention(job: Job) -> None:
    """A date that was read 17012026 is known to be 11012026, and the total of a form to be 22."""
    job.add(with_digits(page_of(job.form, "z.png", {"date": ("17012026", 0.5), "cases_1_1": ("3", 0.5)}), job.form))
    while tasks := job.tasks("ann", 1):
        job.key(tasks[0].field, "11012026" if tasks[0].name == "date" else "3", "ann")
    while (screen := job.screens("ann", 1)[0]).digit != "7":
        assert job.accept_screen("ann", screen.screen, {}) == 0
    before = job.progress().attention
    assert before.controls == 2 * before.screens > 0
    assert before.found == 0
    known = [(position, place, control) for position, _, place, control in cuts_of(job, screen.screen) if control]
    assert len(known) == groups.CONTROLS
    assert (1, "1") in [(place, control) for _, place, control in known]  # what the reader took for a 7 comes first
    assert job.accept_screen("ann", screen.screen, {known[0][0]: known[0][2]}) == 0
    after = job.progress().attention
    assert (after.controls, after.found) == (before.controls + 2, 1)
    assert str(after) == f"{after.screens} group screens accepted, found 1 of {after.controls} controls"
    assert not any(each["how"].startswith("marked") for each in job.history())


def test_a_picture_holds_the_cut_outs(job: Job) -> None:
    (screen,) = job.screens("ann", 1)
    sheet = read_image(job.screen_picture(screen.screen))
    assert sheet.shape == (5 * TILE[1], 8 * TILE[0])
    tiles = sheet.reshape(5, TILE[1], 8, TILE[0]).swapaxes(1, 2).reshape(40, -1)
    dark = (tiles < 128).mean(axis=1)
    assert (dark[: screen.n] > 0.02).all()
    assert (dark[screen.n :] == 0).all()
    with pytest.raises(FormError, match="no screen 99"):
        job.screen_picture(99)


def test_places_are_known_in_full_combs_and_of_single_digits() -> None:
    comb = FormField.model_validate({"name": "a", "box": (10, 20, 60, 30), "layout": "comb", "cells": 3})
    line = FormField.model_validate({"name": "b", "box": (10, 20, 60, 30)})
    assert places_of(comb, "123") == [(0, (10, 20, 20, 30)), (1, (30, 20, 20, 30)), (2, (50, 20, 20, 30))]
    assert places_of(comb, "12") == places_of(line, "12") == places_of(line, "") == places_of(line, "-") == []
    assert places_of(line, "7") == [(0, (10, 20, 60, 30))]


def test_a_tile_shows_all_of_a_wide_box_that_is_written_on() -> None:
    page = np.full((200, 600), 255, np.uint8)
    page[70:130, 400:404] = 0
    narrow = tile(page, (50, 50, 500, 100))
    assert narrow.shape == (TILE[1], TILE[0])
    assert (narrow < 128).any(axis=0).sum() >= 2
    page[70:130, 100:104] = 0
    assert (tile(page, (50, 50, 500, 100)) < 200).any(axis=0).sum() >= 2
    assert (tile(np.full((200, 600), 255, np.uint8), (50, 50, 500, 100)) == 255).all()


def test_fields_under_audit_are_not_shown(job: Job) -> None:
    job.draw_audit(job.promise(0.5).available, 0.5)
    assert job.screens("ann") == []
    assert json.loads(json.dumps(list(job.history()))) == []
