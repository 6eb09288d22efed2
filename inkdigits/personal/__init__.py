"""A reader that learns one hand: from corrections, reviewed forms or labelled pictures."""
