from dataclasses import replace

import keras
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.sweep.space import Combination
from inkdigits.sweep.study import Job
from inkdigits.sweep.workers import (
    CompiledNetwork,
    Event,
    Stopped,
    ThreadWorkers,
    Trainer,
    WorkItem,
    by_share,
    compiled_as,
    goes_on,
)
from inkdigits.training import loop, networks
from inkdigits.training.recipes import Recipe, resolve

Splits = tuple[Split, Split]
SMALL = {"hidden": 20, "dropout": 0.3, "epochs": 2}


def item(number: int, seed: int = 0, recipe: str = "hidden", **changes: object) -> WorkItem:
    return WorkItem(Job(number, {}, seed), networks.check(resolve(recipe, **{**SMALL, **changes})))


def never(number: int, epoch: int, accuracy: float) -> None:
    """Let every job go on."""


def weights(model: object) -> np.ndarray:
    return np.concatenate([w.ravel() for w in model.get_weights()])  # type: ignore[attr-defined]


def alone(recipe: Recipe, seed: int, part: Split) -> np.ndarray:
    model = networks.build(recipe, seed)
    loop.fit(model, recipe, part, seed=seed, progress=False)
    return weights(model)


def stop(number: int, epoch: int, accuracy: float) -> None:
    raise Stopped


@pytest.mark.parametrize(
    "items",
    [
        # Reset for another seed and rate, then continued.
        [item(0, epochs=1), item(1, seed=1), item(2, learning_rate=0.01), item(3, learning_rate=0.01, epochs=3)],
        [item(0, epochs=1, ema=0.5, schedule="cosine", seed=3), item(1, epochs=1, ema=0.5, schedule="cosine")],
        [item(i, recipe="cnn", convolutions=("3x4", "pool"), hidden=(), batch_norm=True, seed=i) for i in range(2)],
    ],
    ids=["seeds, rates and more epochs", "schedule and average", "convolutions"],
)
def test_a_swept_training_ends_as_one_alone(items: list[WorkItem], toy: Splits) -> None:
    part, validation = toy[0].take(100), toy[1]
    trainer = Trainer(part, validation)
    for each in items:
        outcome = trainer.train(each, never)
        assert [row["epoch"] for row in outcome.history] == list(range(1, each.recipe.epochs + 1))
    assert len(trainer._networks) == 1
    network = trainer._networks[compiled_as(each.recipe)]
    assert (weights(network.model) == alone(each.recipe, each.job.seed, part)).all()
    scores = network.model.predict(validation.images, verbose=0)
    assert (outcome.right == (scores.argmax(axis=1) == validation.labels)).all()
    assert outcome.accuracy == outcome.history[-1]["val_accuracy"] == outcome.right.mean()
    # An interrupted training is not continued from.
    with pytest.raises(Stopped):
        trainer.train(replace(each, job=Job(9, {}, seed=5)), stop)
    assert [network.history for network in trainer._networks.values()] == [None]


def test_what_goes_on_and_what_does_not(toy: Splits) -> None:
    recipe = item(0, learning_rate=0.1).recipe
    network = CompiledNetwork(keras.Sequential(), lambda *_: lambda *_: None, recipe, 0, [{"epoch": 1}])
    assert goes_on(network, recipe, 0)
    assert not goes_on(network, replace(recipe, epochs=1), 0)
    assert not goes_on(network, recipe, 1)
    assert not goes_on(network, replace(recipe, learning_rate=0.2), 0)
    assert not goes_on(network, replace(recipe, ema=0.9), 0)
    # Interrupted: nobody knows how far it is.
    assert not goes_on(replace(network, history=None), recipe, 0)


def test_a_hopeless_training_is_an_outcome(toy: Splits) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1e3, "output": "logits", "loss": "mean_squared_error"}
    outcome = Trainer(toy[0].take(96), toy[1]).train(item(0, epochs=20, **settings), never)  # 60 steps
    assert outcome.accuracy is None
    assert "learning rate" in str(outcome.error)


def all_events(threads: ThreadWorkers, n: int) -> list[Event]:
    events: list[Event] = []
    while sum(bool(event.outcome or event.error) for event in events) < n:
        events += threads.wait(1)
    return events


def test_threads_train_tell_and_stop(toy: Splits) -> None:
    part = toy[0].take(96)
    threads = ThreadWorkers(2, part, toy[1])
    items = [item(0, dropout=0.0), item(1, seed=1, dropout=0.0), item(2, epochs=1000, dropout=0.0)]
    try:
        for each in items[:2]:
            place = threads.free()
            assert place is not None
            threads.start(place, each)
        assert threads.free() is None
        events = all_events(threads, 2)
        for each in items[:2]:
            assert [event.epoch for event in events if event.item is each] == [1, 2, 0]
        threads.start(0, items[2])
        threads.stop(2)
        (end,) = [event for event in all_events(threads, 1) if event.outcome]
        assert end.outcome
        assert (end.outcome.accuracy, end.outcome.pruned) == (None, True)
        assert threads.running == []
    finally:
        threads.close()


def test_an_unforeseen_error_is_told(toy: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Trainer, "train", broken)
    threads = ThreadWorkers(1, toy[0], toy[1])
    threads.start(0, item(0))
    (event,) = all_events(threads, 1)
    threads.close()
    assert isinstance(event.error, MemoryError)


def test_trainings_that_share_follow_each_other() -> None:
    mixed = [item(i, seed=i % 2, activation=("relu", "tanh")[i % 2], epochs=(4, 2)[i // 2 % 2]) for i in range(8)]
    ordered = by_share([(Combination({}, each.recipe), each.job.seed) for each in mixed])
    assert [each.recipe.activation for each, _ in ordered] == ["relu"] * 4 + ["tanh"] * 4
    assert [each.recipe.epochs for each, _ in ordered] == [2, 2, 4, 4] * 2


def test_a_worker_prefers_what_it_has_compiled(toy: Splits) -> None:
    threads = ThreadWorkers(2, *toy)
    threads._last = {0: item(0, epochs=1), 1: item(1, activation="tanh")}
    waiting = [item(2, activation="tanh"), item(3, activation="gelu"), item(4, seed=1), item(5, epochs=2)]
    for worker, preferred in ((0, [5, 4, 3, 2]), (1, [2, 3, 4, 5])):
        key = threads.preference(worker)
        found = sorted(waiting, key=lambda each: key(each.recipe, each.job.seed))
        assert [each.job.number for each in found] == preferred
    threads.close()
