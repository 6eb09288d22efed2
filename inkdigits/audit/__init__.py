"""A data set examined: wrong labels, duplicates, class balance."""
