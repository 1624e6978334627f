"""The cases of so3: harmonics, gradients, Wigner matrices, couplings; beside e3nn, sphericart and spherical.

Peers are imported inside the functions that measure them, so that a missing one costs only its own rows.
Every peer is given its input in its own form beforehand (torch tensors, its axes), and is called in its
ordinary public way; nothing but its own work is in its time.
"""

import functools
import warnings

import numpy as np

from benchmarks.harness import Case, Work
from se3ref.so3 import coupling, harmonics, rotations, wigner

LMAX_HARMONICS = 10
LMAX_WIGNER = 20
LMAX_COUPLING = 6
ROTATIONS = 1000
DEGREES = list(range(LMAX_HARMONICS + 1))

# e3nn runs its harmonics in three ways.  Eager is the default with torch >= 2.10, TorchScript was before.
EAGER, SCRIPT, COMPILED = "eager", "script", "inductor"
LABELS = {EAGER: "e3nn", SCRIPT: "e3nn, TorchScript", COMPILED: "e3nn, torch.compile"}


def cases(compiled=False):
    """All cases; with `compiled` also e3nn by torch.compile (C++ compiler, two more minutes)."""
    modes = (EAGER, SCRIPT, COMPILED) if compiled else (EAGER, SCRIPT)
    every = []
    for kernel, beside_e3nn, beside_sphericart, target in (
            ("harmonics", harmonics_e3nn, harmonics_sphericart, 1.5),
            ("harmonics + gradient", gradient_e3nn, gradient_sphericart, None)):
        for n in (10_000, 100_000):
            size = f"l <= {LMAX_HARMONICS}, {n // 1000}k points"
            for mode in modes:
                setup = functools.partial(beside_e3nn, n, mode)
                every.append(Case(kernel, size, LABELS[mode], setup, 0.15 if mode == EAGER else None))
            every.append(Case(kernel, size, "sphericart", functools.partial(beside_sphericart, n), target))
    size = f"l <= {LMAX_WIGNER}, {ROTATIONS // 1000}k rotations"
    every.append(Case("Wigner D", size, "e3nn", wigner_e3nn, 0.015))
    every.append(Case("Wigner D", size, "spherical", wigner_spherical, 0.3))
    every.append(Case("couplings", f"all to l = {LMAX_COUPLING}, cold", "e3nn", couplings_e3nn, 0.03))
    return every


def points(n):
    """Gaussian points (n,3): every direction, many lengths."""
    return np.random.default_rng(1).normal(size=(n, 3))


def cotangents(n):
    """Something to carry back: (n, (lmax+1)^2)."""
    return np.random.default_rng(2).normal(size=(n, (LMAX_HARMONICS + 1) ** 2))


def largest(a, b):
    """The largest absolute difference of two arrays."""
    return np.abs(a - b).max()


# --- harmonics ----------------------------------------------------------------------------------------------

def harmonics_e3nn(n, mode):
    """Values.  In eager mode the plain function; the others compile a module once, which is then called."""
    torch = import_torch()
    xyz = points(n)
    x, peer = torch.from_numpy(xyz), e3nn_harmonics(mode)

    def theirs():
        with torch.no_grad():
            return peer(x)
    return Work(lambda: harmonics.spherical_harmonics(LMAX_HARMONICS, xyz), theirs,
                lambda a, b: largest(a, b.numpy()), tolerance=1e-13)


def gradient_e3nn(n, mode):
    """Values, and the gradient of sum(Y * dY): our pullback, their autograd."""
    torch = import_torch()
    xyz, dY = points(n), cotangents(n)
    x, t, peer = torch.from_numpy(xyz).requires_grad_(), torch.from_numpy(dY), e3nn_harmonics(mode)

    def theirs():
        Y = peer(x)
        return Y, torch.autograd.grad(Y, x, t)[0]

    def difference(ours, theirs):
        Y, g = (tensor.detach().numpy() for tensor in theirs)
        return max(largest(ours[0], Y), relative_difference(ours[1], g, xyz))
    return Work(functools.partial(value_and_gradient, xyz, dY), theirs, difference, tolerance=1e-13)


def harmonics_sphericart(n):
    """Values.  Its axes are z-polar, (X, Y, Z) = (z, x, y) of ours; its norm is `integral`."""
    import sphericart
    xyz = points(n)
    theirs_xyz, peer = z_polar(xyz), sphericart.SphericalHarmonics(LMAX_HARMONICS)
    return Work(lambda: harmonics.spherical_harmonics(LMAX_HARMONICS, xyz), lambda: peer.compute(theirs_xyz),
                lambda a, b: largest(a, b * np.sqrt(4 * np.pi)), tolerance=1e-12)


def gradient_sphericart(n):
    """Values and the gradient of sum(Y * dY): its derivatives (n,3,dim), then their product with dY."""
    import sphericart
    xyz, dY = points(n), cotangents(n)
    theirs_xyz, peer = z_polar(xyz), sphericart.SphericalHarmonics(LMAX_HARMONICS)

    def theirs():
        Y, J = peer.compute_with_gradients(theirs_xyz)
        return Y, np.matmul(J, dY[:, :, None])[:, :, 0]

    def difference(ours, theirs):
        Y, g = (np.sqrt(4 * np.pi) * a for a in theirs)
        return max(largest(ours[0], Y), relative_difference(ours[1], g[:, [1, 2, 0]], xyz))
    return Work(functools.partial(value_and_gradient, xyz, dY), theirs, difference, tolerance=1e-12)


def value_and_gradient(xyz, dY):
    """Ours: harmonics and their pullback."""
    Y, pull = harmonics.spherical_harmonics_and_pull(LMAX_HARMONICS, xyz)
    return Y, pull(dY)


def relative_difference(ours, theirs, xyz):
    """Largest difference of two gradients, relative to the largest gradient, both times |x|.

    The gradient of a function of the direction alone falls as 1/|x|; the factor makes all points count alike.
    """
    r = np.sqrt((xyz * xyz).sum(1, keepdims=True))
    return largest(ours * r, theirs * r) / np.abs(ours * r).max()


def z_polar(xyz):
    """The same points in the axes (X, Y, Z) = (z, x, y)."""
    return np.ascontiguousarray(xyz[:, [2, 0, 1]])


def e3nn_harmonics(mode):
    """e3nn's harmonics of l = 0..10, `component`, as a function of x, in one of its three modes."""
    import e3nn
    from e3nn import o3
    if mode == EAGER:
        return lambda x: o3.spherical_harmonics(DEGREES, x, normalize=True, normalization="component")
    kept = e3nn.get_optimization_defaults()["jit_mode"]
    e3nn.set_optimization_defaults(jit_mode=mode)
    with warnings.catch_warnings():                            # torch >= 2.10 deprecates TorchScript
        warnings.simplefilter("ignore", DeprecationWarning)
        module = o3.SphericalHarmonics(DEGREES, normalize=True, normalization="component")
    e3nn.set_optimization_defaults(jit_mode=kept)
    return module


def import_torch():
    """torch on one thread; float64 as default, since e3nn builds its tables in the default type."""
    import torch
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    return torch


# --- Wigner matrices ----------------------------------------------------------------------------------------

def wigner_e3nn():
    """All D^l to l = 20 of 1000 matrices.  Theirs from Euler angles, found once for all degrees."""
    torch = import_torch()
    from e3nn import o3
    R = rotations.random_rotation(np.random.default_rng(3), ROTATIONS)
    matrices = torch.from_numpy(R)

    def theirs():
        angles = o3.matrix_to_angles(matrices)
        return [o3.wigner_D(l, *angles) for l in range(LMAX_WIGNER + 1)]

    def difference(ours, theirs):
        return max(largest(a, b.numpy()) for a, b in zip(ours, theirs, strict=True))
    return Work(functools.partial(all_wigner_D, R), theirs, difference, tolerance=1e-11)


def wigner_spherical():
    """The same beside spherical, which takes quaternions in z-polar axes and gives complex matrices."""
    import quaternionic
    import spherical
    R = rotations.random_rotation(np.random.default_rng(3), ROTATIONS)
    w, x, y, z = rotations.quaternion_from_rotation(R).T
    quaternions = quaternionic.array(np.stack([w, z, x, y], -1))
    peer = spherical.Wigner(LMAX_WIGNER)

    def difference(ours, theirs):
        return max(largest(D, real_D(l, theirs[:, peer.Dindex(l, -l, -l):peer.Dindex(l, l, l) + 1]))
                   for l, D in enumerate(ours))
    return Work(functools.partial(all_wigner_D, R), lambda: peer.D(quaternions), difference, tolerance=1e-12)


def all_wigner_D(R):
    """Ours: a list of (n, 2l+1, 2l+1)."""
    return [wigner.wigner_D(l, R) for l in range(LMAX_WIGNER + 1)]


def real_D(l, D):
    """spherical's D (n, (2l+1)^2), complex with Condon-Shortley signs, in the basis of real harmonics."""
    V = coupling.complex_from_real(l)                          # Y_complex = V Y_real
    return (V.conj().T @ D.reshape(-1, 2 * l + 1, 2 * l + 1) @ V).real


# --- couplings ----------------------------------------------------------------------------------------------

def couplings_e3nn():
    """Every real coupling tensor to l = 6 with empty caches on both sides."""
    import_torch()
    from e3nn import o3
    from e3nn.o3 import _wigner as peer
    paths = [(l1, l2, l3) for l1 in range(LMAX_COUPLING + 1) for l2 in range(LMAX_COUPLING + 1)
             for l3 in range(abs(l1 - l2), min(l1 + l2, LMAX_COUPLING) + 1)]
    ours_cached, theirs_cached = cached_functions(coupling), cached_functions(peer)

    def before():
        for function in ours_cached + theirs_cached:
            function.cache_clear()

    def difference(ours, theirs):
        return max(largest(a, b.numpy()) for a, b in zip(ours, theirs, strict=True))
    return Work(lambda: [coupling.wigner_3j(*path) for path in paths],
                lambda: [o3.wigner_3j(*path) for path in paths], difference, tolerance=1e-14, before=before)


def cached_functions(module):
    """The functions of a module that keep their results (functools.cache and lru_cache)."""
    return [f for f in vars(module).values() if hasattr(f, "cache_clear")]
