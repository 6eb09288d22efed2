"""The training half: knows Keras and TensorFlow; the reading half never imports it."""

import logging
import os

# TensorFlow tells of its start-up in a dozen lines on stderr, unless asked not to before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Of every net after the fifth it says that compiling one anew is slow: each is another net, and we know.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
