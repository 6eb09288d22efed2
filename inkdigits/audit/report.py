"""A diagnosis -> one HTML page in the report's style: pictures of the labels that are doubted, duplicates, balance."""

from collections.abc import Sequence
from html import escape

import numpy as np

from inkdigits.audit.label_issues import Diagnosis, LabelIssues, Twins, in_words
from inkdigits.evaluation.figures import draw_balance, png_of
from inkdigits.evaluation.html import Section, digit_picture, document, picture, table, tiles
from inkdigits.evaluation.text import percent

MOST_TWINS = 60

DOUBTED_REMARK = (
    "Each picture stands with the label it was given and the one that nets which never saw it find likelier. The most "
    "doubtful come first. A doubt is no proof: the nets err, too, and some digits can be read either way. A coloured "
    "frame marks those that cleanlab takes to be wrong, given how often these nets err."
)


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return the page."""
    train, test = diagnosis.train, diagnosis.test
    sections = [
        Section(f"Doubtful labels: {doubts.split.name}", doubts_body(doubts, diagnosis.top)) for doubts in (test, train)
    ]
    sections += [
        Section("Duplicates", twins_body(diagnosis.twins)),
        Section("Class balance", balance_body(diagnosis)),
        Section("How this was found", method_body(diagnosis)),
    ]
    lead = f"{len(train.split):,} training and {len(test.split):,} test images of {train.split.source}."
    return document("What the doctor found", lead, sections, headline_tiles(diagnosis))


def headline_tiles(diagnosis: Diagnosis) -> str:
    """Return the chief findings as cards."""
    twins = diagnosis.twins
    across, exact = sum(each.across for each in twins), sum(each.exact for each in twins)
    cards = [
        (
            f"doubtful {doubts.split.name} labels",
            f"{doubts.disagrees.sum():,}",
            f"in {len(doubts.split):,}; {doubts.is_issue.sum():,} most likely wrong",
        )
        for doubts in (diagnosis.test, diagnosis.train)
    ]
    cards.append(("duplicates", f"{len(twins):,}", f"{exact:,} exact; {across:,} across train and test"))
    counts = [(n, name) for name, n, _ in diagnosis.balance]
    (least, rare), (most, common) = min(counts), max(counts)
    ratio = f"{most / least:.2f} : 1" if least else "-"
    return tiles([*cards, ("balance", ratio, f"commonest class {common}, rarest {rare}")])


def doubts_body(doubts: LabelIssues, top: int) -> str:
    """Return the most doubtful labels of a split as pictures."""
    worst = doubts.worst(top)
    if not len(worst):
        return "<p>There is none: the nets would have given every image the label it has.</p>"
    pairs = "".join(
        f"<li>labelled {escape(given)}, likely {escape(likely)}: {n:,} time{'s' if n > 1 else ''}</li>"
        for given, likely, n in doubts.pairs[:5]
    )
    share = percent(doubts.disagrees.sum() / len(doubts.split))
    return (
        f"<p>Of {len(doubts.split):,} labels {doubts.disagrees.sum():,} ({share}) are doubted; below are the "
        f"{len(worst)} most doubtful. {DOUBTED_REMARK}</p>"
        f'<ul class="digits">{"".join(_doubt(doubts, i, rank) for rank, i in enumerate(worst, 1))}</ul>'
        f"<h3>The commonest doubts</h3><ol>{pairs}</ol>"
    )


def _doubt(doubts: LabelIssues, i: np.intp, rank: int) -> str:
    split, names = doubts.split, doubts.split.class_names
    given, likely = names[split.labels[i]], names[doubts.suggested[i]]
    image = digit_picture(split.images[i], f"{split.name} image {i}: labelled {given}, likely {likely}")
    return (
        f'<li class="{"marked" if doubts.is_issue[i] else ""}">{image}<br>labelled <b>{escape(given)}</b>'
        f'<br><span class="wrong">likely {escape(likely)}</span>'
        f'<br><span class="soft">quality {in_words(doubts.quality[i])}<br>{rank}. {split.name} {i}</span></li>'
    )


def twins_body(twins: Sequence[Twins]) -> str:
    """Return the pictures that occur twice, side by side."""
    if not twins:
        return "<p>There is none: no picture occurs twice, not even shifted, brighter or darker.</p>"
    across, contradict = sum(each.across for each in twins), sum(each.contradict for each in twins)
    return (
        f"<p>{len(twins):,} pictures stand in the data already: {across:,} pairs across train and test, which flatter "
        f"whatever is judged by them, and {contradict:,} with different labels, of which one must be wrong. "
        f"{'The' if len(twins) <= MOST_TWINS else f'The first {MOST_TWINS} of these'}, different labels first:</p>"
        f'<ul class="digits wide">{"".join(map(_pair, twins[:MOST_TWINS]))}</ul>'
    )


def _pair(twins: Twins) -> str:
    places = [
        (split.images[i], f"{split.name} {i}", label)
        for split, i, label in zip(twins.splits, twins.indices, twins.labels, strict=True)
    ]
    images = "".join(digit_picture(image, f"{place}: labelled {label}") for image, place, label in places)
    labels = " and ".join(f"<b>{escape(label)}</b>" for _, _, label in places)
    words = (
        f'<span class="wrong">labelled {labels}</span>'
        if twins.contradict
        else f"labelled <b>{escape(twins.labels[0])}</b>"
    )
    kind = "equal to the byte" if twins.exact else f"similarity {twins.similarity:.4f}"
    where = " = ".join(place for _, place, _ in places)
    return f'<li><div class="pair">{images}</div>{words}<br><span class="soft">{kind}<br>{where}</span></li>'


def balance_body(diagnosis: Diagnosis) -> str:
    """Return how many images each class has."""
    (n_train, n_test) = (len(doubts.split) for doubts in (diagnosis.train, diagnosis.test))
    rows = [
        [name, f"{n:,}", percent(n / n_train, 1), f"{m:,}", percent(m / n_test, 1)] for name, n, m in diagnosis.balance
    ]
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in diagnosis.remarks)
    caption = "The share of each class. A class that is rare in training is read worse; nets guess it less often."
    return (
        (f"<ul>{remarks}</ul>" if remarks else "<p>Nothing to remark.</p>")
        + picture(png_of(draw_balance(diagnosis.balance)), "Bars: the share of each class in both sets", caption)
        + table(["class", "train", "share", "test", "share"], rows)
    )


def method_body(diagnosis: Diagnosis) -> str:
    """Return how the doubts and duplicates were found, in words."""
    n, recipe = diagnosis.folds, escape(diagnosis.recipe.name)
    return (
        f"<p><b>Labels.</b> The training set was parted into {n} folds. {n} nets of the recipe <code>{recipe}</code> "
        f"({diagnosis.recipe.epochs} epochs) each learned from {n - 1} of them and answered for the one left out; for "
        f"the test set all {n} answered, and their probabilities were averaged. So no net judged an image that it had "
        "learned from. An image's label quality is the probability of the label it was given (cleanlab's "
        "self-confidence); <i>doubted</i> means that another label is likelier; <i>most likely wrong</i> are those "
        "which cleanlab's confident learning picks (Northcutt, Jiang, Chuang 2021).</p>"
        "<p><b>Duplicates.</b> Exact: equal to the byte. Near: a cosine similarity of at least 0.995 at the best shift "
        "by whole pixels, so that a copy that was moved, made brighter or darker, or saved as a good JPEG is found; "
        "one that was turned or scaled is not. Different images of MNIST reach 0.991.</p>"
    )
