"""A Dataset keeps structures and targets together, from arrays, frames or a file, and refuses what does not fit."""

import numpy as np
import pytest

from se3ref.systems import Structure, datasets
from se3ref.training import Dataset

FRAMES = datasets.load("ethanol")[:6]
NAMES = ("energy", "forces", "dipole")


def test_batches_hold_what_was_given():
    data = Dataset.from_frames(FRAMES, NAMES)
    graph, targets = data.batch([4, 1], 5.0)
    assert np.array_equal(graph.positions, np.concatenate([FRAMES.positions[4], FRAMES.positions[1]]))
    assert np.array_equal(targets["energy"], FRAMES.energies[[4, 1]])
    assert np.array_equal(targets["forces"], FRAMES.forces[[4, 1]].reshape(-1, 3))
    assert np.array_equal(targets["dipole"], FRAMES.dipoles[[4, 1]])


@pytest.mark.parametrize("chosen", [slice(1, 4), [3, 0], np.arange(6) % 2 == 0], ids=["slice", "indices", "mask"])
def test_a_part_is_a_dataset(chosen):
    part = Dataset.from_frames(FRAMES, NAMES)[chosen]
    assert np.array_equal(np.stack([s.positions for s in part.structures]), FRAMES.positions[chosen])
    assert np.array_equal(np.array(part.targets["energy"]), FRAMES.energies[chosen])


def test_arrays_and_frames_agree():
    a = Dataset.from_frames(FRAMES)
    b = Dataset.from_arrays(FRAMES.numbers, FRAMES.positions, energy=FRAMES.energies, forces=FRAMES.forces)
    (_, ta), (_, tb) = a.batch(range(6), 5.0), b.batch(range(6), 5.0)
    assert all(np.array_equal(ta[name], tb[name]) for name in ta)


def test_frames_with_more_than_energies():
    """Hydrogen peroxide has polarisabilities and, as pseudoscalars, optical rotations; ethanol has not."""
    frames = datasets.load("h2o2")[:3]
    _, targets = Dataset.from_frames(frames, ("polarizability", "pseudoscalar")).batch(range(3), 4.0)
    assert targets["polarizability"].shape == (3, 3, 3)
    assert np.array_equal(targets["pseudoscalar"], frames.extra["rotations"])
    with pytest.raises(ValueError, match="this set has no .'pseudoscalar'.; it has .'energy'"):
        Dataset.from_frames(FRAMES, ("pseudoscalar",))


def test_a_file_through_ase(tmp_path):
    """Extended XYZ: written by ASE with energies, forces and stress, and read back to its printed digits."""
    ase_io = pytest.importorskip("ase.io")
    from ase.calculators.singlepoint import SinglePointCalculator
    rng, images = np.random.default_rng(0), []
    stress = rng.random((3, 3))
    for k in range(3):
        atoms = Structure([6, 8], [[0, 0, 0], [0, 0, 1.1 + k / 10]], 5 * np.eye(3), True).to_ase()
        atoms.calc = SinglePointCalculator(atoms, energy=-1.5 * k, forces=rng.random((2, 3)),
                                           stress=(stress + stress.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
        images.append(atoms)
    ase_io.write(tmp_path / "train.extxyz", images)
    data = Dataset.from_file(tmp_path / "train.extxyz")
    graph, targets = data.batch(range(3), 4.0)
    assert set(targets) == {"energy", "forces", "stress"} and graph.n_structures == 3 and graph.pbc.all()
    assert np.allclose(targets["energy"], [0, -1.5, -3.0])
    assert np.allclose(targets["forces"], np.concatenate([atoms.get_forces() for atoms in images]), atol=1e-7)
    assert np.allclose(targets["stress"][2], stress + stress.T, atol=1e-7)


def test_a_file_without_labels_is_refused(tmp_path):
    ase_io = pytest.importorskip("ase.io")
    ase_io.write(tmp_path / "bare.xyz", Structure([6], [[0, 0, 0]]).to_ase())
    with pytest.raises(ValueError, match="no energy, forces, stress or dipole"):
        Dataset.from_file(tmp_path / "bare.xyz")


S = Structure([8, 1], [[0, 0, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("structures, targets, message", [
    ([], {"energy": []}, "at least one Structure"),
    ([S], {}, "needs targets"),
    ([S], {"enrgy": [1.0]}, "got 'enrgy'"),
    ([S], {"energy": [1.0, 2.0]}, "2 entries for 1 structures"),
    ([S], {"forces": [np.zeros((3, 3))]}, r"must have the shape \(2, 3\); got \(3, 3\)"),
    ([S], {"pseudoscalar": [[1.0]]}, r"must have the shape \(\); got \(1,\)"),
    ([S], {"vector": [1.0]}, r"must have the shape \(3,\); got \(\)"),
    ([S], {"pseudovector": [np.zeros(2)]}, r"must have the shape \(3,\); got \(2,\)"),
    ([S], {"energy": [np.nan]}, "NaN or infinity"),
    (["S"], {"energy": [1.0]}, "list of at least one Structure"),
])
def test_bad_data_are_named(structures, targets, message):
    with pytest.raises(ValueError, match=message):
        Dataset(structures, **targets)


def test_molecules_of_different_composition_are_data_too():
    molecules = datasets.load("chiral_methanes")[:6]
    data = Dataset.from_frames(molecules, ("energy", "dipole"))
    assert len(data) == 6 and data.targets["energy"][5] == molecules.energies[5]
    with pytest.raises(ValueError, match=r"no \['forces'\]"):
        Dataset.from_frames(molecules)
