"""Paper removed, ink made light: one digit as MNIST has it, one line as the line network takes it."""
