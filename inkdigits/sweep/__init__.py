"""Many trainings: a grid or a search, what is significant and what is noise, the winner as a run."""
