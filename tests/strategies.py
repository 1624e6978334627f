"""What Hypothesis draws: rotations with the special ones among them, points on and beside the axes.

A failing example shrinks towards the identity and the axes; `note` prints it in full.
"""

import numpy as np
from hypothesis import note
from hypothesis import strategies as st

from se3ref import so3

SPECIAL_ANGLES = [0.0, np.pi, np.pi / 2, -np.pi / 2, 2 * np.pi / 3, np.pi - 1e-15, np.pi + 1e-15, 1e-15, 1e-300]
SPECIAL_AXES = [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1], [1, -1, 0], [1e-15, 1, 0]]
TILTS = [0.0, 1e-300, 1e-16, 1e-15, 1e-12, 1e-8, np.pi - 1e-8, np.pi - 1e-15, np.pi]       # from the polar axis
LENGTHS = [1.0, 2.5, 1e-3, 40.0]
EXTREME_LENGTHS = {np.float64: [1e-150, 1e150], np.float32: [1e-15, 1e15]}                # their squares are numbers
BESIDE_AXES = [[1e-9, 1, -1e-9], [1e-16, -1, 1e-16], [1e-160, 1, 1e-170], [1, 1e-12, 0]]

angles = st.sampled_from(SPECIAL_ANGLES) | st.floats(-7, 7)
components = st.floats(-1, 1)


def _vectors(size):
    """Vectors of components in [-1, 1], long enough to have a direction."""
    return st.lists(components, min_size=size, max_size=size).filter(lambda v: np.dot(v, v) > 0.01)


axes = st.sampled_from(SPECIAL_AXES) | _vectors(3)
quaternions = _vectors(4)
poles = st.tuples(angles, st.sampled_from(TILTS), angles)      # Euler angles within rounding of a pole


proper = (st.builds(so3.rotation_from_axis_angle, axes, angles)
          | st.builds(so3.rotation_from_euler, st.sampled_from(["YXY", "ZYZ", "XYX"]), poles)
          | st.builds(so3.rotation_from_quaternion, quaternions))


@st.composite
def rotations(draw, improper=False, dtype=np.float64):
    """Rotations (3,3): generic, by 0 and by pi, beside the poles; `improper`: half of them with determinant -1."""
    R = draw(proper)
    if improper and draw(st.booleans()):
        R = -R
    note(f"R = np.array({R.tolist()})")                        # every digit, in the report of a failure
    return R.astype(dtype)


# Strategies are made here, once: to make one costs more than to draw from it.
directions = st.sampled_from(np.vstack([np.eye(3), -np.eye(3), BESIDE_AXES]).tolist()) | _vectors(3)
moderate = st.sampled_from(LENGTHS)
extremes = {dtype: st.sampled_from(LENGTHS + lengths) for dtype, lengths in EXTREME_LENGTHS.items()}


@st.composite
def points(draw, n=4, dtype=np.float64, extreme=True):
    """Points (n,3), none at the origin: generic, on the axes and beside them, of many lengths."""
    lengths = extremes[dtype] if extreme else moderate
    xyz = np.array([np.multiply(draw(directions), draw(lengths)) for _ in range(n)], dtype)
    note(f"xyz = np.array({xyz.tolist()})")
    return xyz


def paths(lmax):
    """Every (l1, l2, l3) with |l1-l2| <= l3 <= l1+l2 and no degree above lmax."""
    degrees = range(lmax + 1)
    return [(a, b, c) for a in degrees for b in degrees for c in range(abs(a - b), min(a + b, lmax) + 1)]
