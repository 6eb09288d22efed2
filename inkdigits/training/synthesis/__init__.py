"""MNIST's digits become other hands, lines and pages, as a scanner or camera would see them."""
