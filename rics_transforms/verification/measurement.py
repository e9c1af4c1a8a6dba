"""Measure one scene under every shift: what the transform and the model answer, as a record.

    scene -> views (shifts) -> inputs (transform) -> distinct inputs -> answers (model) -> record

A measurement depends on its scene alone, never on other scenes or on how they are batched, so
records can be made in any order, on any number of machines. Nearest neighbours need an earlier pass
over the images, which embeds the unshifted view of each: see `GalleryPass`.
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
from rics_transforms.shifts.base import Move, Shift, cut, size_of
from rics_transforms.verification.equivariance import feature_difference, nonshiftability
from rics_transforms.verification.records import Record
from rics_transforms.verification.transforms import Transform, locates, resamples

# --- nearest neighbours --------------------------------------------------------------------------


class GalleryEntry(NamedTuple):
    """One image of a gallery.

    Attributes:
        id: its name.
        label: its class.
        answer: the model's answer about the unshifted view, with an embedding.
        scene: a digest of its pixels.
        places: where every view has its crop in the scene, int32 ``[V, 2]``, if the first pass
            found it; a measurement of the same image need not compute it again.
    """

    id: str
    label: int | None
    answer: Output
    scene: str
    places: Tensor | None = None


@dataclass(frozen=True)
class Gallery:
    """Embedded images among which the nearest neighbour is sought, by cosine.

    Attributes:
        ids: their names.
        labels: their classes.
        scenes: digests of their pixels.
        embeddings: float64 ``[N, d]``, each of length 1.
        same_class: whether an image is compared only with those of its own class.
        measured: the entries of images that are measured as well, by id, whose answers and places
            are reused.
    """

    ids: tuple[str, ...]
    labels: tuple[int | None, ...]
    scenes: tuple[str, ...]
    embeddings: Tensor
    same_class: bool = False
    measured: Mapping[str, GalleryEntry] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[GalleryEntry], *, same_class: bool, measured: bool) -> Gallery:
        """A gallery of entries in any order.

        Args:
            entries: with embeddings.
            same_class: see above.
            measured: whether the same images are measured, so that their entries are kept.

        Raises:
            ValueError: for no images.
        """
        ordered = sorted(entries, key=lambda entry: entry.id)
        if not ordered:
            raise ValueError("Expected the gallery to hold at least one image, but got none.")
        rows = [entry.answer.embeddings for entry in ordered]
        return cls(
            tuple(entry.id for entry in ordered),
            tuple(entry.label for entry in ordered),
            tuple(entry.scene for entry in ordered),
            unit(torch.cat([row for row in rows if row is not None])),
            same_class,
            {entry.id: entry for entry in ordered} if measured else {},
        )

    def __str__(self) -> str:
        """Number and fingerprint of its images, since another gallery has other neighbours."""
        content = ascii((self.ids, self.labels, self.scenes)).encode()
        return f"{len(self.ids)} images, {crc32(content):08x}"

    def nearest(self, embeddings: Tensor, name: str, label: int | None) -> list[str]:
        """The id of the image nearest to each row of ``[I, d]``, other than `name` itself.

        Raises:
            ValueError: if there is no other image to compare with.
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
    """Embeddings ``[..., d]`` scaled to length 1, float64."""
    return torch.nn.functional.normalize(x.double(), dim=-1)


# --- views and inputs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """One view after the transform.

    Attributes:
        key: the same for the same input.
        input: what the model sees, ``[C, h, w]``.
        place: (top, left) of the crop in the scene, see `Record.places`; None if places cannot be
            compared.
        roll: how far the first input has to be rolled to get this one; None if no roll does.
    """

    key: object
    input: Tensor
    place: Move | None = None
    roll: Move | None = None


@dataclass(frozen=True)
class Measurement:
    """How every image is measured; call it with a name, a scene and perhaps a label.

    Attributes:
        transform: makes the model's input ``[C, h, w]`` from a view ``[C, n_h, n_w]``.
        shifts: makes the views.
        n: height and width of a view.
        model: answers about inputs; None: only the crops are compared.
        gallery: where nearest neighbours are sought, or None.
        seed: with the image's name, seeds the noise and the places that some shifts draw.
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
        known = None if self.gallery is None else self.gallery.measured.get(name)
        answers = _Answers(self.model, self.gallery, name, label, known and known.answer)
        places: dict[Move, int] = {}
        place, inputs = [], []
        for view in self._seen(name, scene, known and known.places):
            inputs.append(answers.index(view))
            if view.place is not None:
                place.append(places.setdefault(view.place, len(places)))
        answers.flush()
        window = self._window(scene) if self.shifts.tracks else None
        return Record(
            name, label, window, tuple(places), tuple(place), tuple(inputs), **answers.said(),
            scene=digest(scene),
        )  # fmt: skip

    def to(self, device: str) -> Measurement:
        """The same measurement with its model on another device."""
        model = self.model and replace(self.model, device=device)
        return replace(self, model=model)

    def entry(
        self, name: str, scene: Tensor, label: int | None = None, *, measured: bool
    ) -> GalleryEntry:
        """The entry of one scene in a gallery: the model runs on the unshifted view alone.

        Args:
            name: of the scene.
            scene: ``[C, H, W]``.
            label: its class.
            measured: whether the scene is measured as well. Then the places of all its crops are
                found here, since they come from one score map, and kept.

        Raises:
            ValueError: without a model, or if the model returns no embedding.
        """
        self._check_room(name, scene)
        if self.model is None:
            raise ValueError("Expected a `model` for nearest neighbours, but got none.")
        places = self._places(scene) if measured and self._cuts_windows() else None
        answer = self.model(self._reference(name, scene, places)[None])
        if answer.embeddings is None:
            raise ValueError(
                "Expected `model` to return embeddings for nearest neighbours, but "
                f"{self.model.name} returns class scores alone; return (logits, embeddings)."
            )
        return GalleryEntry(name, label, answer, digest(scene), places)

    def _check_room(self, name: str, scene: Tensor) -> None:
        room, size = self.shifts.room(self.n), size_of(scene)
        if size[0] < room[0] or size[1] < room[1]:
            raise ValueError(
                f"Expected scenes of at least {room} pixels, for windows of {self.n} under "
                f"{self.shifts}, but got {size} for {name!r}."
            )

    def _reference(self, name: str, scene: Tensor, places: Tensor | None) -> Tensor:
        """The input that the unshifted view leads to."""
        if self._cuts_windows() and places is None:
            window = cut(scene, self.shifts.corner(size_of(scene), self.n), self.n)
            y, x = self.transform.locate(window).tolist()  # type: ignore[attr-defined]
            return self._cut(window, (y, x))
        return next(self._seen(name, scene, places)).input

    def _seen(self, name: str, scene: Tensor, places: Tensor | None = None) -> Iterator[View]:
        """Every view; places, if known, are those of its crops."""
        if self._cuts_windows():
            return self._windows(scene, self._places(scene) if places is None else places)
        if self.shifts.tracks and locates(self.transform):
            return self._located(name, scene)
        return self._transformed(name, scene)

    def _cuts_windows(self) -> bool:
        """Whether all crops are cut from the scene itself, so that one score map finds them."""
        exact = self.shifts.tracks and self.shifts.factor == 1 and self.shifts.disturbance is None
        return exact and locates(self.transform) and not resamples(self.transform)

    def _places(self, scene: Tensor) -> Tensor:
        """Where in the scene the crop of every view lies, from one score map: int32 ``[V, 2]``."""
        moves = torch.tensor(self.shifts.moves(self.n)).long()
        most = int(moves.abs().max())
        top, left = (side - most for side in self.shifts.corner(size_of(scene), self.n))
        seen = cut(scene, (top, left), (self.n[0] + 2 * most, self.n[1] + 2 * most))
        origins: Tensor = self.transform.locate_windows(seen, self.n)  # type: ignore[attr-defined]
        y, x = (moves + most).T
        return (origins.cpu()[y, x] + torch.tensor((top, left))).int()

    def _windows(self, scene: Tensor, places: Tensor) -> Iterator[View]:
        """The crops at these places: the same place is the same input."""
        for top, left in places.tolist():
            yield View((top, left), self._cut(scene, (top, left)), (top, left))

    def _located(self, name: str, scene: Tensor) -> Iterator[View]:
        """Views of the scene, not cut from it: where each crop lies, though its pixels differ."""
        top, left = self._window(scene)
        for (down, right), view in self._views(name, scene):
            y, x = self.transform.locate(view).tolist()  # type: ignore[attr-defined]
            place = _whole(top + down + y), _whole(left + right + x)
            pixels = self.transform(view) if resamples(self.transform) else self._cut(view, (y, x))
            yield View(digest(pixels), pixels, place)

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
            yield View(digest(pixels), pixels, roll=move if rolled else None)

    def _views(self, name: str, scene: Tensor) -> Iterator[tuple[Move, Tensor]]:
        rng = np.random.default_rng([self.seed, crc32(name.encode("utf-8", "surrogateescape"))])
        return zip(self.shifts.moves(self.n), self.shifts.views(scene, self.n, rng), strict=True)

    def _window(self, scene: Tensor) -> Move:
        """(top, left) of the unmoved window, see `Record.window`."""
        top, left = self.shifts.corner(size_of(scene), self.n)
        return _whole(top / self.shifts.factor), _whole(left / self.shifts.factor)

    def _cut(self, image: Tensor, origin: Size) -> Tensor:
        return cut(image, origin, self.transform.k)  # type: ignore[attr-defined]


def _whole(x: float) -> float:
    """An int where it is one."""
    return int(x) if float(x).is_integer() else x


def digest(pixels: Tensor) -> str:
    """A text that differs for tensors that differ in shape, type or values."""
    plain = pixels.detach().cpu()
    rows = plain if plain.stride(-1) == 1 else plain.contiguous()
    data = rows.view(torch.uint8).numpy().tobytes()  # PyTorch's copy would share it among threads
    kind = f"{tuple(pixels.shape)} {pixels.dtype}".encode()
    return blake2b(data, digest_size=16, salt=blake2b(kind, digest_size=16).digest()).hexdigest()


def _shape(x: Any) -> str:
    return f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__


@dataclass(frozen=True)
class Continued:
    """A measurement of images without a record, as a function for a `Mapper`.

    Attributes:
        measure: of the images.
        known: what the existing records were made of, see `records.made_of`, by name.
    """

    measure: Measurement
    known: Mapping[str, tuple[str, int | None]]

    def __call__(self, name: str, scene: Tensor, label: int | None = None) -> Record | str:
        """The record of one scene; only its name if it has an up-to-date record."""
        if name in self.known and self.known[name] == (digest(scene), label):
            return name
        return self.measure(name, scene, label)

    def to(self, device: str) -> Continued:
        """The same with its model on another device."""
        return replace(self, measure=self.measure.to(device))


@dataclass(frozen=True)
class GalleryPass:
    """The pass over all images that a gallery needs, as a function for a `Mapper`.

    Attributes:
        measure: of the images.
        measured: whether the images of the gallery are measured as well.
    """

    measure: Measurement
    measured: bool

    def __call__(self, name: str, scene: Tensor, label: int | None = None) -> GalleryEntry:
        """The entry of one scene, see `Measurement.entry`."""
        return self.measure.entry(name, scene, label, measured=self.measured)

    def to(self, device: str) -> GalleryPass:
        """The same with its model on another device."""
        return replace(self, measure=self.measure.to(device))


# --- answers -------------------------------------------------------------------------------------


class _Answers:
    """The model's answers to the distinct inputs of one image, run in batches."""

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
        """The number of this view's distinct input; a new one waits until a batch is full."""
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
        """Run the model on the inputs that wait."""
        if self._model is not None and self._waiting:
            inputs = torch.stack([view.input for view in self._waiting])
            self._take(self._model(inputs), self._waiting)
            self._waiting = []

    def _take(self, answer: Output, views: Sequence[View]) -> None:
        """Keep what a record needs of an answer for these views."""
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
        """All answers, by their names in `Record`."""
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
