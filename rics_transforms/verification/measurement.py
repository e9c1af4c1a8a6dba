"""Look at one scene through every shift; record what the transform and the model make of it.

    scene -> views (shifts) -> inputs (transform) -> distinct inputs -> answers (model) -> record

A measurement depends on the scene alone, never on other scenes or on how they are batched, so that
records can be made in any order, on any number of machines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.models.model import Model, Output
from rics_transforms.shifts.base import Move, Shift
from rics_transforms.verification.equivariance import feature_difference, nonshiftability
from rics_transforms.verification.records import Record
from rics_transforms.verification.transforms import Transform, locates

# --- nearest neighbours --------------------------------------------------------------------------


class First(NamedTuple):
    """What the model says of the unshifted view of one image."""

    id: str
    label: int | None
    answer: Output


@dataclass(frozen=True)
class Gallery:
    """Embedded images to find the nearest neighbour in, by cosine.

    Attributes:
        ids: their names.
        labels: their classes.
        embeddings: float64 ``[N, d]``, each of length 1.
        same_class: whether an image is compared with those of its own class alone.
        answers: what the model said of the unshifted view of images that are measured, too, so
            that it need not be asked again.
    """

    ids: tuple[str, ...]
    labels: tuple[int | None, ...]
    embeddings: Tensor
    same_class: bool = False
    answers: Mapping[str, Output] = field(default_factory=dict)

    @classmethod
    def of(cls, firsts: Iterable[First], *, same_class: bool, measured: bool) -> Gallery:
        """From what the model said of its images, in any order.

        Args:
            firsts: with embeddings.
            same_class: see above.
            measured: whether the same images are measured, so that the answers are kept.

        Raises:
            ValueError: for no images.
        """
        ordered = sorted(firsts, key=lambda first: first.id)
        if not ordered:
            raise ValueError("Expected the gallery to hold at least one image, but got none.")
        rows = [first.answer.embeddings for first in ordered]
        return cls(
            tuple(first.id for first in ordered),
            tuple(first.label for first in ordered),
            unit(torch.cat([row for row in rows if row is not None])),
            same_class,
            {first.id: first.answer for first in ordered} if measured else {},
        )

    def __str__(self) -> str:
        """Which images these are: another gallery finds other neighbours."""
        return f"{len(self.ids)} images, {crc32(repr(self.ids).encode()):08x}"

    def nearest(self, embeddings: Tensor, name: str, label: int | None) -> list[str]:
        """The id of the nearest image to each row of ``[I, d]``, other than `name` itself.

        Raises:
            ValueError: if nothing is left to compare with.
        """
        open_to = [
            other != name and (not self.same_class or kind == label)
            for other, kind in zip(self.ids, self.labels, strict=True)
        ]
        if not any(open_to):
            kind = f" of class {label}" if self.same_class else ""
            raise ValueError(
                f"Expected the gallery to hold an image{kind} other than {name!r}, but got none."
            )
        cosine = unit(embeddings) @ self.embeddings.T
        best = cosine.masked_fill(~torch.tensor(open_to), -2.0).argmax(1)
        return [self.ids[i] for i in best.tolist()]


def unit(x: Tensor) -> Tensor:
    """Embeddings ``[..., d]`` at length 1, float64."""
    return torch.nn.functional.normalize(x.double(), dim=-1)


# --- views and inputs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """One view after the transform.

    Attributes:
        key: the same for the same input.
        input: what the model sees, ``[C, h, w]``.
        place: (top, left) of the crop in the scene; None where that means nothing.
        roll: by how much the input is the first one rolled; None if it is another picture.
    """

    key: object
    input: Tensor
    place: Size | None = None
    roll: Move | None = None


@dataclass(frozen=True)
class Measurement:
    """How every image is measured; call it with a name, a scene and perhaps a label.

    Attributes:
        transform: what makes the model's input ``[C, h, w]`` of a view ``[C, n_h, n_w]``.
        shifts: the views.
        n: their size.
        model: what answers, or None: then only the crops are compared.
        gallery: where to look for nearest neighbours, or None.
        seed: of the noise and the places that some shifts draw, together with the image's name.
    """

    transform: Transform
    shifts: Shift
    n: Size
    model: Model | None = None
    gallery: Gallery | None = None
    seed: int = 0

    def __call__(self, name: str, scene: Tensor, label: int | None = None) -> Record:
        """The record of one scene ``[C, H, W]``."""
        self._check_room(name, scene)
        known = None if self.gallery is None else self.gallery.answers.get(name)
        answers = _Answers(self.model, self.gallery, name, label, known)
        places: dict[Size, int] = {}
        place, inputs = [], []
        for view in self._seen(name, scene):
            inputs.append(answers.index(view))
            if view.place is not None:
                place.append(places.setdefault(view.place, len(places)))
        answers.flush()
        size = (scene.shape[-2], scene.shape[-1])
        window = self.shifts.corner(size, self.n) if self.shifts.tracks else None
        return Record(
            name, label, window, tuple(places), tuple(place), tuple(inputs), **answers.said()
        )

    def to(self, device: str) -> Measurement:
        """The same measurement with its model on another device."""
        model = self.model and replace(self.model, device=device)
        return replace(self, model=model)

    def first(self, name: str, scene: Tensor, label: int | None = None) -> First:
        """What the model says of the unshifted view: a batch of one.

        Raises:
            ValueError: if that is no embedding.
        """
        self._check_room(name, scene)
        if self.model is None:
            raise ValueError("Expected a `model` for nearest neighbours, but got none.")
        answer = self.model(next(self._seen(name, scene)).input[None])
        if answer.embeddings is None:
            raise ValueError(
                "Expected `model` to return embeddings for nearest neighbours, but "
                f"{self.model.name} returns class scores alone; return (logits, embeddings)."
            )
        return First(name, label, answer)

    def _check_room(self, name: str, scene: Tensor) -> None:
        room, size = self.shifts.room(self.n), tuple(scene.shape[-2:])
        if size[0] < room[0] or size[1] < room[1]:
            raise ValueError(
                f"Expected scenes of at least {room} pixels, for windows of {self.n} under "
                f"{self.shifts}, but got {size} for {name!r}."
            )

    def _seen(self, name: str, scene: Tensor) -> Iterator[View]:
        if self.shifts.tracks and locates(self.transform):
            if self.shifts.disturbance is None:
                return self._windows(scene)
            return self._located(name, scene)
        return self._transformed(name, scene)

    def _windows(self, scene: Tensor) -> Iterator[View]:
        """Every window of a scene from one score map: the same place is the same input."""
        size = (scene.shape[-2], scene.shape[-1])
        corner, moves = self.shifts.corner(size, self.n), self.shifts.moves(self.n)
        most = int(max(max(map(abs, move)) for move in moves))
        top, left = corner[0] - most, corner[1] - most
        seen = scene[:, top : top + self.n[0] + 2 * most, left : left + self.n[1] + 2 * most]
        origins = self.transform.locate_windows(seen, self.n).tolist()  # type: ignore[attr-defined]
        for move in moves:
            y, x = origins[int(move[0]) + most][int(move[1]) + most]
            place = top + y, left + x
            yield View(place, self._cut(scene, place), place)

    def _located(self, name: str, scene: Tensor) -> Iterator[View]:
        """Disturbed windows: where each crop lies in the scene, though its pixels differ."""
        corner = self.shifts.corner((scene.shape[-2], scene.shape[-1]), self.n)
        for move, view in self._views(name, scene):
            y, x = self.transform.locate(view).tolist()  # type: ignore[attr-defined]
            place = corner[0] + int(move[0]) + y, corner[1] + int(move[1]) + x
            pixels = self._cut(view, (y, x))
            yield View(_digest(pixels), pixels, place)

    def _transformed(self, name: str, scene: Tensor) -> Iterator[View]:
        """Any transform of any views: the same pixels are the same input."""
        for move, view in self._views(name, scene):
            pixels = self.transform(view)
            if not isinstance(pixels, Tensor) or pixels.ndim != 3:
                raise TypeError(
                    "Expected `transform` to make a tensor [C, h, w] of a tensor [C, H, W], but "
                    f"got {_shape(pixels)}."
                )
            rolled = not self.shifts.tracks and pixels.shape[-2:] == self.n
            yield View(_digest(pixels), pixels, roll=move if rolled else None)

    def _views(self, name: str, scene: Tensor) -> Iterator[tuple[Move, Tensor]]:
        rng = np.random.default_rng([self.seed, crc32(name.encode())])
        return zip(self.shifts.moves(self.n), self.shifts.views(scene, self.n, rng), strict=True)

    def _cut(self, image: Tensor, origin: Size) -> Tensor:
        (top, left), (height, width) = origin, self.transform.k  # type: ignore[attr-defined]
        return image[..., top : top + height, left : left + width]


def _digest(pixels: Tensor) -> object:
    data = pixels.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return pixels.shape, pixels.dtype, blake2b(data, digest_size=16).digest()


def _shape(x: Any) -> str:
    return f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__


@dataclass(frozen=True)
class Glance:
    """The first step of a measurement as a function of its own, see `Measurement.first`."""

    measure: Measurement

    def __call__(self, name: str, scene: Tensor, label: int | None = None) -> First:
        """What the model says of the unshifted view."""
        return self.measure.first(name, scene, label)

    def to(self, device: str) -> Glance:
        """The same with its model on another device."""
        return Glance(self.measure.to(device))


# --- answers -------------------------------------------------------------------------------------


class _Answers:
    """What the model says of the distinct inputs of one image, asked in batches of these alone."""

    def __init__(
        self,
        model: Model | None,
        gallery: Gallery | None,
        name: str,
        label: int | None,
        known: Output | None,
    ) -> None:
        self._model, self._gallery, self._name, self._label = model, gallery, name, label
        self._known = known
        self._numbers: dict[object, int] = {}
        self._waiting: list[View] = []
        self._first: Output | None = None
        self._said: dict[str, list[Any]] = defaultdict(list)

    def index(self, view: View) -> int:
        """Which distinct input this view has; a new one is asked about in due course."""
        if view.key not in self._numbers:
            self._numbers[view.key] = len(self._numbers)
            if self._known is not None and len(self._numbers) == 1:
                self._take(self._known, [view])
            elif self._model is not None:
                self._waiting.append(view)
                if len(self._waiting) == self._model.batch_size:
                    self.flush()
        return self._numbers[view.key]

    def flush(self) -> None:
        """Ask about the inputs that wait."""
        if self._model is not None and self._waiting:
            inputs = torch.stack([view.input for view in self._waiting])
            self._take(self._model(inputs), self._waiting)
            self._waiting = []

    def _take(self, answer: Output, views: Sequence[View]) -> None:
        """Write down what was said about these views."""
        if self._first is None:
            self._first = Output(*(None if x is None else x[0].clone() for x in answer))
        if answer.logits is not None and self._first.logits is not None:
            self._classify(answer.logits, int(self._first.logits.argmax()))
        if answer.embeddings is not None and self._gallery is not None:
            near = self._gallery.nearest(answer.embeddings, self._name, self._label)
            self._said["neighbours"] += near
        if answer.features is not None and self._first.features is not None:
            self._compare(answer.features, self._first.features, views)

    def said(self) -> dict[str, tuple[Any, ...]]:
        """Everything, by the names that `Record` has for it."""
        return {name: tuple(values) for name, values in self._said.items()}

    def _classify(self, logits: Tensor, first: int) -> None:
        probability = logits.double().softmax(1)
        self._said["predictions"] += logits.argmax(1).tolist()
        self._said["confidence"] += probability[:, first].tolist()
        if self._label is None:
            return
        if not 0 <= self._label < logits.shape[1]:
            raise ValueError(
                f"Expected labels below {logits.shape[1]}, the number of classes of the model, "
                f"but got {self._label} for {self._name!r}."
            )
        best = logits.topk(min(5, logits.shape[1])).indices
        self._said["top5"] += (best == self._label).any(1).tolist()
        self._said["truth"] += probability[:, self._label].tolist()

    def _compare(self, features: Tensor, first: Tensor, views: Sequence[View]) -> None:
        for shifted, view in zip(features, views, strict=True):
            self._said["nonshiftability"].append(nonshiftability(first, shifted))
            if view.roll is not None:
                move = _scaled(view.roll, first.shape[-2:], view.input.shape[-2:])
                self._said["feature_difference"].append(feature_difference(first, shifted, move))


def _scaled(move: Move, features: Sequence[int], image: Sequence[int]) -> Move:
    """A move in pixels of the feature map."""
    return move[0] * features[0] / image[0], move[1] * features[1] / image[1]
