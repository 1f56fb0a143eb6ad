"""Latent codes: drawn from a seed, truncated, and checked if a caller gives them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime.network.card import Card
from img2img.runtime.tasks import latents

CARD = Card(name="faces", task="translate", scale=1, latent={"length": 3, "distribution": "normal"})


@given(length=st.integers(1, 40), seed=st.integers(0, 2**70), number=st.integers(1, 1000))
def test_a_code_depends_on_seed_and_number_alone(length, seed, number):
    code = latents.draw(length, seed=seed, number=number)
    assert code.shape == (1, length) and code.dtype == np.float32
    assert np.array_equal(code, latents.draw(length, seed=seed, number=number))
    for other in ({"seed": seed + 1, "number": number}, {"seed": seed, "number": number + 1}):
        assert not np.array_equal(code, latents.draw(length, **other))


@given(
    seed=st.integers(0, 1000),
    truncation=st.one_of(st.sampled_from([0.5, 1.0, 2.0, 50.0]), st.floats(1e-12, 100, allow_nan=False)),
)
def test_truncation_draws_only_values_beyond_the_limit_again(seed, truncation):
    free = latents.draw(200, seed=seed, number=1)
    cut = latents.draw(200, seed=seed, number=1, truncation=truncation)
    within = np.abs(free) <= truncation
    assert np.array_equal(cut[within], free[within])
    assert np.abs(cut).max() <= truncation * (1 + 1e-6)


def test_codes_have_the_distribution_of_a_normal_and_of_a_truncated_normal():
    free = latents.draw(100_000, seed=1, number=1)
    assert abs(free.mean()) < 0.02 and abs(free.std() - 1) < 0.02
    cut = latents.draw(100_000, seed=1, number=1, truncation=1)
    assert abs(cut.mean()) < 0.02 and cut.std() == pytest.approx(0.5396, abs=0.01), "that of a normal within -1..1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0, 0, None), "--samples 0: use a number from 1 to 1000"),
        ((1001, 0, None), "--samples 1001"),
        ((2, -1, None), "--seed -1"),
        ((2, 0, 0.0), "--truncation 0: use a number above 0"),
        ((2, 0, float("nan")), "--truncation nan"),
        ((2, 0, float("inf")), "--truncation inf"),
        ((None, 3, None), "--seed requires --samples"),
        ((None, 0, 2.0), "--truncation requires --samples"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        latents.check(*options)


def test_values_of_a_caller_may_be_a_row_or_a_list():
    for values in ([1, 2, 3], (1.0, 2.0, 3.0), np.array([[1, 2, 3]])):
        assert latents.of_values(values, CARD).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "faces takes a latent code of 3 values, not an array of shape \\(2,\\)"),
        ([[1, 2, 3], [4, 5, 6]], "of shape \\(2, 3\\)"),
        (1.0, "of shape \\(\\)"),
        (["a", "b", "c"], "must be a list of numbers"),
        ([[1, 2], [3]], "must be a list of numbers"),
        ([1, 2, float("nan")], "not finite"),
    ],
)
def test_values_that_do_not_fit_the_model_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        latents.of_values(values, CARD)


def test_a_model_without_a_code_takes_none():
    with pytest.raises(UsageError, match="plain takes no latent code"):
        latents.of_values([1], Card(name="plain", task="translate", scale=1))
