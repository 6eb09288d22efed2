"""A diagnosis -> one HTML page: images of suspected label errors, duplicates, class balance."""

from inkdigits.audit.label_issues import Diagnosis, in_words
from inkdigits.evaluation.figures import draw_balance, png_of
from inkdigits.evaluation.html import render

# More pairs of duplicates than these are counted, but not shown.
MOST_DUPLICATES = 60


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return the report on a data set as a page."""
    train, test = diagnosis.train.split, diagnosis.test.split
    by_count = sorted(diagnosis.balance, key=lambda row: row[1])
    return render(
        "audit.html",
        __package__,
        title="Data set check",
        lead=f"{len(train):,} training and {len(test):,} test images of {train.source}.",
        diagnosis=diagnosis,
        in_words=in_words,
        n_shown=MOST_DUPLICATES,
        least=by_count[0],
        most=by_count[-1],
        balance=png_of(draw_balance(diagnosis.balance)),
    )
