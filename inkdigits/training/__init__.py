"""The training half: knows Keras and TensorFlow; the reading half never imports it."""

import logging
import os

from inkdigits.training.tensorflow_logs import filter_import

# TensorFlow logs a dozen lines about its start to stderr, unless told not to before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
filter_import()
# From the fifth network on it warns that compiling again is slow: each is another network, so it has to.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
