"""What a digit network's file holds beyond its weights: scores relative to "not a digit", temperature, threshold."""

from typing import Any

import keras
import numpy as np

from inkdigits.data.splits import Split
from inkdigits.evaluation import metrics
from inkdigits.reading.calibration import logits_of, probabilities_of

# The threshold accepts so many of the held-out digits.
ACCEPTED_SHARE = 0.99
# Training images, or some more, on which a network finds its temperature where none are held out.
N_CALIBRATION = 10_000
NO_THRESHOLD = "no images were held out to fit one on (--validation N holds N out)"


def relative(model: keras.Model) -> keras.Model:
    """Return a model of the ten scores relative to the eleventh, "not a digit", whose score then is 0."""
    scores = model.outputs[0]
    return keras.Model(model.inputs[0], scores[:, :-1] - scores[:, -1:], name=model.name)


def calibrate(
    model: keras.Model, output: str, validation: Split | None, train: Split, modest: bool = False
) -> dict[str, Any]:
    """Return what the card says of calibration: "temperature", and "threshold" or, in words, why there is none.

    The temperature makes the labels likeliest, where that is asked for; the threshold accepts 99 % of the held-out
    digits. Composed digits have no say: many of them nobody could read, and they made the network too modest on real
    ones.

    Args:
        model: in float32.
        output: what its scores are, as the card says.
        validation: digits it has not learned from, if any were held out.
        train: digits it has learned from. By those, undistorted, a temperature comes out somewhat too sure: for
            `champion` 0.47 where held-out ones say 0.58, an error of calibration of 0.3 % of either and of 4.3 % of
            neither.
        modest: was it trained never to be sure, by label smoothing or a teacher? Without a temperature it would say
            95 % where it is right 99 times in 100.
    """
    split = validation or train.take(slice(None, None, max(1, len(train) // N_CALIBRATION)))
    fits_temperature = modest or (output == "logits_none" and validation is not None)
    scores = model.predict(split.images, batch_size=1000, verbose=0) if fits_temperature or validation else np.empty(0)
    temperature = 1.0
    if fits_temperature:
        logits = logits_of(scores, output)
        if output == "logits_none":
            logits = np.concatenate([logits, np.zeros((len(logits), 1))], axis=1)
        temperature = metrics.fit_temperature(logits, split.labels)
    if validation is None:
        return {"temperature": temperature, "no_threshold": NO_THRESHOLD}
    confidence = probabilities_of(scores, output, temperature).max(axis=1)
    return {"temperature": temperature, "threshold": float(np.quantile(confidence, 1 - ACCEPTED_SHARE))}
