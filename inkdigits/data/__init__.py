"""MNIST and everything in its format; what people corrected."""
