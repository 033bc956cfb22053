"""Laws of the alignment, for any face."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from celebahq_tools.align.face import align_face
from celebahq_tools.align.quad import compute_quad, measure_photo_fraction
from celebahq_tools.align.warp import warp_crop
from celebahq_tools.errors import RejectionError

FACE = np.array([[-22.0, -18], [22, -17], [0, 6], [-19, 22], [19, 23]])


def place(angle, scale, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * FACE @ turn.T + shift, turn


angles = st.floats(-np.pi, np.pi)
shifts = st.tuples(st.floats(-50, 350), st.floats(-50, 350)).map(np.array)


@given(angles, st.floats(0.2, 20), shifts)
def test_the_quad_turns_scales_and_moves_with_the_landmarks(angle, scale, shift):
    points, turn = place(angle, scale, shift)
    # The half pixel that the original adds moves with no landmark: take it off on both sides.
    expected = scale * (compute_quad(FACE).corners - 0.5) @ turn.T + shift + 0.5
    np.testing.assert_allclose(compute_quad(points).corners, expected, atol=1e-6 * scale)


@given(angles, st.floats(0.2, 4), shifts)
def test_the_photo_fraction_equals_that_of_a_fine_grid_of_points(angle, scale, shift):
    crop = compute_quad(place(angle, scale, shift)[0])
    steps = (np.arange(400) + 0.5) / 400
    along, down = crop.steps(1)
    points = crop.corners[0] + steps[:, None, None] * along + steps[None, :, None] * down
    inside = ((points >= -0.5) & (points <= np.array([299.5, 199.5]))).all(axis=-1).mean()
    # A line across a grid of n x n cells cuts at most 2n of them, half of each on average; there are four lines.
    assert abs(measure_photo_fraction(crop, 300, 200) - inside) < 4 / 400


@given(angles, st.floats(0.3, 1.0), st.sampled_from(["box", "lanczos"]))
@settings(max_examples=20, deadline=None)
def test_a_linear_gradient_comes_out_as_the_same_linear_gradient(angle, scale, resample):
    crop = compute_quad(place(angle, scale, np.array([250.0, 250.0]))[0])
    y, x = np.mgrid[:500, :500]
    gradient = np.stack([x / 2, y / 2, (x + y) / 4], axis=-1)
    out = warp_crop(np.rint(gradient).astype(np.uint8), crop, 128, resample)
    along, down = crop.steps(128)
    # Samples 0 to 3 of each output pixel lie at 0, 1/4, 2/4, 3/4 of its side: their mean is at 3/8.
    index = np.arange(128) + 0.375
    positions = crop.corners[0] + index[None, :, None] * along + index[:, None, None] * down
    px, py = positions[..., 0], positions[..., 1]
    expected = np.stack([px / 2, py / 2, (px + py) / 4], axis=-1)
    apart = (out - expected)[4:-4, 4:-4]
    # Half a level from the image's own rounding, half from the result's.
    low, high = -1.01, 1.01
    if resample == "lanczos":
        # Pillow's bilinear truncates each sample: up to a level lower, half a level on average at most; and Lanczos
        # rings a little at the steps of the rounded gradient.
        low, high = -2.0, 1.2
    assert low <= apart.min()
    assert apart.max() <= high
    assert (-0.62 if resample == "lanczos" else -0.12) < apart.mean() < 0.12


@given(
    angles, st.floats(0.05, 30), shifts, st.integers(1, 300), st.integers(1, 300), st.sampled_from(["box", "lanczos"])
)
@settings(max_examples=60, deadline=None)
def test_any_landmarks_give_a_face_of_the_right_shape_or_a_rejection(angle, scale, shift, height, width, resample):
    photo = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    try:
        face = align_face(photo, place(angle, scale, shift)[0], out_size=64, resample=resample)
    except RejectionError as rejection:
        assert rejection.stage == "align"
    else:
        assert face.pixels.shape == (64, 64, 3)
        assert face.pixels.dtype == np.uint8
        assert 0.1 <= face.photo_fraction <= 1
