"""Reports in words: names for them, and sentences about their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from rics_transforms.report.figures import Reports
from rics_transforms.verification.metrics import ROBUSTNESS, TOLERANCE, Subject, Views
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.rows import Row, find, is_fractional
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.table import count, unpromised

# --- names ---------------------------------------------------------------------------------------


def names(reports: Sequence[ShiftReport]) -> list[str]:
    """The shortest names that tell reports apart.

    Example:
        >>> from rics_transforms.verification.run import verify
        >>> from torchvision.transforms.v2 import CenterCrop
        >>> import torch
        >>> from rics_transforms import RICSCrop
        >>> images = [torch.eye(12).byte().expand(1, 12, 12)]
        >>> names([verify(images, rule, deltas=[1]) for rule in (RICSCrop(6), CenterCrop(6))])
        ['RICSCrop', 'CenterCrop']
    """
    for called in zip(*(_candidates(report.settings) for report in reports), strict=True):
        if len(set(called)) == len(called):
            return list(called)
    return [f"{report.settings.transform_name} {i}" for i, report in enumerate(reports, 1)]


def _candidates(settings: Settings) -> tuple[str, ...]:
    rule, model = settings.transform_name, str(settings.model)
    score = f"{rule} {settings.score_name}" if settings.score_name else rule
    whole = " ".join(settings.transform.split())
    return rule, score, model, f"{rule}, {model}", f"{score}, {model}", whole


# --- numbers -------------------------------------------------------------------------------------


def percent(value: float) -> str:
    """A fraction in percent."""
    return f"{100 * value:.1f}"


def chance(p: float) -> str:
    """A p-value, rounded to two digits."""
    return "below 0.0001" if p < 0.0001 else f"{p:.2g}"


# --- the result ----------------------------------------------------------------------------------


def conclusion(reports: Reports) -> str:
    """For how many images the smallest shifts change something, by each rule, the first one last.

    Example:
        >>> from rics_transforms.verification.run import verify
        >>> from torchvision.transforms.v2 import CenterCrop
        >>> import torch
        >>> from rics_transforms import RICSCrop
        >>> images = [torch.eye(12).byte().expand(1, 12, 12)]
        >>> rules = {"ours": RICSCrop(6), "theirs": CenterCrop(6)}
        >>> reports = {name: verify(images, rule, deltas=[1]) for name, rule in rules.items()}
        >>> conclusion(reports)
        'With the centre crop, the crop changes for 1 of 1 image when the window is shifted by up \
to 1 pixel; with RICS, for 1.'
    """
    (first, worst), *rest = compared(reports).items()
    changed = f"{change(reports)} for {_changed(worst)} of {count(worst.count, 'image')}"
    others = (f"; with {name}, for {_changed(row)}" for name, row in rest)
    return f"With {first}, {changed} {_when(worst, reports)}{''.join(others)}."


def compared(reports: Reports) -> dict[str, Row]:
    """The rows of the conclusion by rule, in its words: robustness under the smallest shifts."""
    key = _robust(next(iter(reports.values())))[0].key
    found = {name: find(report.rows, key) for name, report in reports.items()}
    return {
        _RULES.get(reports[name].settings.transform_name, name): row
        for name, row in reversed(found.items())
        if row is not None
    }


_RULES = {"CenterCrop": "the centre crop", "RICSCrop": "RICS"}


def change(reports: Reports) -> str:
    """What the conclusion says happens to an image."""
    what = {"class": "the answer", "neighbour": "the nearest neighbour"}
    return f"{what.get(_robust(next(iter(reports.values())))[0].subject, 'the crop')} changes"


def _changed(row: Row) -> int:
    return row.count - round(row.count * row.value)


def _when(row: Row, reports: Reports) -> str:
    under = _under(row, next(iter(reports.values())))
    return under.replace("whichever way", "when").replace("each of", "some of")


def _robust(report: ShiftReport) -> list[Row]:
    """The rows on robustness: of the class, or of what there is."""
    robust = [row for row in report.rows if row.metric == ROBUSTNESS]
    found = ([row for row in robust if row.subject == subject] for subject in _KEEPS)
    return next(rows for rows in found if rows)


def headline(reports: Reports) -> list[str]:
    """The result in sentences: robustness at the smallest and the largest shift, and the rest."""
    report = next(iter(reports.values()))
    rows = _robust(report)
    ends = dict.fromkeys((rows[0], rows[-1]))
    said = [*(_sentence(row, reports) for row in ends), *_right(reports), *_tally(report.rows)]
    return [*said, note] if (note := unpromised(report.settings)) else said


def kept(report: ShiftReport) -> str:
    """What makes a crop count as kept."""
    if not report.records[0].places:
        return "has exactly the same pixels"
    if is_fractional(report.records, report.settings):
        return (
            f"lies at the same place of the scene to {TOLERANCE} px along either axis; its pixels, "
            "which are resampled, may differ"
        )
    return "is cut from exactly the same place of the scene"


_KEEPS: dict[Subject, str] = {
    "class": "the class that the model gives them",
    "neighbour": "their nearest neighbour",
    "crop": "exactly the same crop",
}


def _sentence(row: Row, reports: Reports) -> str:
    low, high = percent(row.ci_low), percent(row.ci_high)
    under = _under(row, next(iter(reports.values())))
    images = count(row.count, "image")
    text = (
        f"{percent(row.value)}\u00a0% of {images} keep {_what(row, reports)} {under} "
        f"(95\u00a0% interval {low} to {high}\u00a0%)"
    )
    if row.bound is not None:
        text += f"; theory promises at least {percent(row.bound)}\u00a0%"
    return f"{text}{_with_others(row, reports)}."


def _what(row: Row, reports: Reports) -> str:
    report = next(iter(reports.values()))
    placed = row.subject == "crop" and report.records[0].places
    if placed and is_fractional(report.records, report.settings):
        return f"the place of their crop, to {TOLERANCE} px,"
    return _KEEPS[row.subject]


def _with_others(row: Row, reports: Reports) -> str:
    others = [(name, find(report.rows, row.key)) for name, report in reports.items()][1:]
    found = [f"{percent(same.value)}\u00a0% with {name}" for name, same in others if same]
    return "; " + ", ".join(found) if found else ""


def _under(row: Row, report: ShiftReport) -> str:
    """The shifts of a row, in words."""
    views = len(Views.within(report.moves, row.delta).index)
    if row.delta is None:
        each = f"each of {views - 1} shifts, " if views > 2 else ""
        return f"under {each}{report.settings.shifts}"
    within = f"by up to {count(row.delta, 'pixel')}"
    if report.settings.disturbance is not None:
        moved = f" and each of {views - 1} shifts {within}" if row.delta else ""
        return f"after {report.settings.disturbance}{moved}"
    factor = report.settings.factor
    if factor > 1 and views == (2 * row.delta * factor + 1) ** 2:
        return f"whichever way a camera moves {within}, in steps of 1/{factor} pixel"
    if views == (2 * row.delta + 1) ** 2:
        return f"whichever way the window is shifted {within}"
    return f"under each of {views - 1} random shifts {within}"


def _right(reports: Reports) -> list[str]:
    rows = [row for row in next(iter(reports.values())).rows if row.metric == "accuracy"]
    return [
        f"{percent(row.value)}\u00a0% are classified correctly before any shift"
        f"{_with_others(row, reports)}."
        for row in rows
    ]


def _tally(rows: Sequence[Row]) -> list[str]:
    verdicts = [row.verdict for row in rows if row.verdict]
    held, unsure, broken = (verdicts.count(v) for v in ("holds", "undecided", "violated"))
    text = f"Bounds that hold: {held} of {len(verdicts)}; undecided: {unsure}; violated: {broken}."
    return [text] if verdicts else []
