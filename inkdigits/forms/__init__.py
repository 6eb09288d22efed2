"""Forms: a template and stacks of filled copies -> a spreadsheet."""
