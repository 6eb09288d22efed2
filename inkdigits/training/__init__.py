"""The training half: knows Keras and TensorFlow; the reading half never imports it."""

import os

# TensorFlow tells of its start-up in a dozen lines on stderr, unless asked not to before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
