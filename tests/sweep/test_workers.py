from dataclasses import replace

import keras
import numpy as np
import pytest

from inkdigits.data.splits import Split
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


def order(number: int, seed: int = 0, recipe: str = "hidden", **changes: object) -> WorkItem:
    return WorkItem(Job(number, {}, seed), networks.check(resolve(recipe, **{**SMALL, **changes})))


def never(number: int, epoch: int, accuracy: float) -> None:
    """Let every job go on."""


def weights(model: object) -> np.ndarray:
    return np.concatenate([w.ravel() for w in model.get_weights()])  # type: ignore[attr-defined]


def alone(recipe: Recipe, seed: int, part: Split) -> np.ndarray:
    model = networks.build(recipe, seed)
    loop.fit(model, recipe, part, seed=seed, progress=False)
    return weights(model)


@pytest.mark.parametrize(
    "orders",
    [
        [order(0, epochs=1), order(1, seed=1), order(2, learning_rate=0.01)],
        [order(0, epochs=1), order(1, epochs=3)],
        [order(0, epochs=1, ema=0.5, schedule="cosine", seed=3), order(1, epochs=1, ema=0.5, schedule="cosine")],
        [order(i, recipe="cnn", convolutions=("3x4", "pool"), hidden=(), batch_norm=True, seed=i) for i in range(2)],
    ],
    ids=["seeds and rates", "more epochs", "schedule and average", "convolutions"],
)
def test_a_swept_training_ends_as_one_alone(orders: list[WorkItem], toy: Splits) -> None:
    part, validation = toy[0].take(100), toy[1]
    bench = Trainer(part, validation)
    for each in orders:
        outcome = bench.train(each, never)
        assert [row["epoch"] for row in outcome.history] == list(range(1, each.recipe.epochs + 1))
    assert len(bench._nets) == 1
    net = bench._nets[compiled_as(each.recipe)]
    assert (weights(net.model) == alone(each.recipe, each.job.seed, part)).all()
    scores = net.model.predict(validation.images, verbose=0)
    assert (outcome.right == (scores.argmax(axis=1) == validation.labels)).all()
    assert outcome.accuracy == outcome.history[-1]["val_accuracy"] == outcome.right.mean()


def test_what_goes_on_and_what_does_not(toy: Splits) -> None:
    recipe = order(0, learning_rate=0.1).recipe
    net = CompiledNetwork(keras.Sequential(), lambda *_: lambda *_: None, recipe, 0, [{"epoch": 1}])
    assert goes_on(net, recipe, 0)
    assert not goes_on(net, replace(recipe, epochs=1), 0)
    assert not goes_on(net, recipe, 1)
    assert not goes_on(net, replace(recipe, learning_rate=0.2), 0)
    assert not goes_on(net, replace(recipe, ema=0.9), 0)
    # Broken off: nobody knows where it stands.
    assert not goes_on(replace(net, history=None), recipe, 0)


def test_a_broken_off_training_is_not_gone_on_from(toy: Splits) -> None:
    bench = Trainer(toy[0].take(96), toy[1])

    def stop(number: int, epoch: int, accuracy: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        bench.train(order(0), stop)
    assert [net.history for net in bench._nets.values()] == [None]


def test_a_hopeless_training_is_an_outcome(toy: Splits) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1e3, "output": "logits", "loss": "mean_squared_error"}
    outcome = Trainer(toy[0].take(96), toy[1]).train(order(0, epochs=20, **settings), never)  # 60 steps
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
    orders = [order(0, dropout=0.0), order(1, seed=1, dropout=0.0), order(2, epochs=1000, dropout=0.0)]
    try:
        for each in orders[:2]:
            place = threads.free()
            assert place is not None
            threads.start(place, each)
        assert threads.free() is None
        events = all_events(threads, 2)
        for each in orders[:2]:
            assert [event.epoch for event in events if event.order is each] == [1, 2, 0]
        threads.start(0, orders[2])
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
    threads.start(0, order(0))
    (event,) = all_events(threads, 1)
    threads.close()
    assert isinstance(event.error, MemoryError)


def test_orders_that_share_follow_each_other() -> None:
    mixed = [order(i, seed=i % 2, activation=("relu", "tanh")[i % 2], epochs=(4, 2)[i // 2 % 2]) for i in range(8)]
    ordered = by_share(mixed)
    assert [each.recipe.activation for each in ordered] == ["relu"] * 4 + ["tanh"] * 4
    assert [each.recipe.epochs for each in ordered] == [2, 2, 4, 4] * 2


def test_a_place_likes_what_it_has_compiled(toy: Splits) -> None:
    threads = ThreadWorkers(2, *toy)
    threads._last = {0: order(0, epochs=1), 1: order(1, activation="tanh")}
    waiting = [order(2, activation="tanh"), order(3, activation="gelu"), order(4, seed=1), order(5, epochs=2)]
    for place, liked in ((0, [5, 4, 3, 2]), (1, [2, 3, 4, 5])):
        assert [each.job.number for each in sorted(waiting, key=threads.liking(place))] == liked
    threads.close()
