"""A picture becomes an answer, without TensorFlow."""
