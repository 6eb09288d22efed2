"""The training half: knows Keras and TensorFlow; the reading half never imports it."""

import os

from inkdigits.training.tensorflow_logs import filter_import

# TensorFlow logs a dozen lines about its start to stderr, unless told not to before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
filter_import()
