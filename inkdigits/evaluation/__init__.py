"""Arrays in, numbers out; figures; one HTML file."""
