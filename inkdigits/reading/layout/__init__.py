"""Any picture -> the sheet of paper in it -> its lines of ink in reading order."""
