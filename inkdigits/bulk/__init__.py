"""Very many pictures: named, read by many processes, written as a table."""
