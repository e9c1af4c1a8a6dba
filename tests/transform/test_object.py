"""`RICSCrop` as an object: pickled, copied, printed, without state."""

import copy
import io
import pickle
import warnings
from typing import Any

import pytest
import torch

import rics_transforms
from rics_transforms import Lattice, RICSCrop, get_score

from ..conftest import SCORES, SHIFTS, random_image
from .inputs import K, N


@pytest.mark.parametrize("score", [*SCORES, Lattice(order=2, patch="hash")], ids=str)
@pytest.mark.parametrize("shifts", SHIFTS)
def test_pickle_and_deepcopy(score: Any, shifts: str) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    images = random_image(2, 3, *N)
    expected = transform(images)
    buffer = io.BytesIO()
    torch.save(transform, buffer)
    buffer.seek(0)
    twins = [pickle.loads(pickle.dumps(transform, protocol)) for protocol in (2, 5)]
    twins += [copy.deepcopy(transform), copy.copy(transform)]
    twins += [torch.load(buffer, weights_only=False)]
    for twin in twins:
        assert repr(twin) == repr(transform)
        assert twin.score == get_score(score) and twin.k == K and twin.shifts == shifts
        assert torch.equal(twin(images), expected)
    assert pickle.dumps(twins[0]) == pickle.dumps(RICSCrop(K, score=score, shifts=shifts))


def test_module_without_state() -> None:
    transform = RICSCrop(K)
    image = random_image(3, *N)
    before = dict(vars(transform))
    expected = transform(image)
    assert dict(vars(transform)) == before
    assert not transform.state_dict() and not list(transform.parameters())
    assert not list(transform.buffers()) and not list(transform.modules())[1:]
    transform.load_state_dict({})
    for same in (transform.eval(), transform.train(), transform.to("cpu"), transform.double()):
        assert torch.equal(same(image), expected)


def test_repr_names_every_argument() -> None:
    assert repr(RICSCrop(24)) == (
        "RICSCrop(k=(24, 24), score=Lattice(order=None, patch='mexican_hat', sigma=None), "
        "shifts='realistic')"
    )
    for score in SCORES:
        transform = RICSCrop((3, 4), score=score, shifts="cyclic")
        rebuilt = eval(repr(transform), vars(rics_transforms))
        assert isinstance(rebuilt, RICSCrop) and repr(rebuilt) == repr(transform)


def test_scripting_says_that_it_cannot() -> None:
    assert RICSCrop._v1_transform_cls is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="cannot be JIT scripted"):
            torch.jit.script(RICSCrop(K))
