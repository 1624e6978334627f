"""Chiral methanes: a carbon bound to four different groups, both mirror images of each molecule.

The groups are four of Br, Cl, SH, F, OH, NH2, CHO, CN, CH3 and H: 210 molecules in random order, of which every 7th
is kept for testing. RDKit embeds each of the two enantiomers on its own (ETKDGv3), GFN2-xTB relaxes it; then
every coordinate gets noise ~ N(0, 0.03 angstrom), the centre of mass goes to the origin and the molecule is turned at
random. So R and S of a molecule are opposite at the centre, but their noise and often their torsions are not.
Energy and dipole by GFN2-xTB, of the noisy geometry. Structures 2k and 2k + 1 are R and S of molecule k. 420
structures take 2 to 3 minutes.
"""

from importlib.metadata import version
from itertools import combinations

import numpy as np
from collect import arguments, collect, finish
from gfn2 import LEVEL, centred, label, relax
from rdkit import Chem
from rdkit.Chem import AllChem, rdCIPLabeler

from se3ref.so3.rotations import random_rotation

# By falling rank in the rules of Cahn, Ingold and Prelog: first the atomic number of the atom bound to the centre,
# then, among the carbons, those of its own neighbours: O O H before N N N before H H H.
GROUPS = ["Br", "Cl", "S", "F", "O", "N", "C=O", "C#N", "C", "[H]"]
TEST_EVERY = 7                      # molecules 0, 7, 14, ... of the shuffled list
NOISE = 0.03                        # angstrom
ROOM = 13                           # atoms of the largest, padded with zeros up to here


def molecules(seed):
    """All choices of four groups, each in falling rank, shuffled."""
    choices = list(combinations(GROUPS, 4))
    return [choices[k] for k in np.random.default_rng(seed).permutation(len(choices))]


def methane(groups, hand):
    """The RDKit molecule with hydrogens: the centre is atom 0, the groups follow in their order; 1 is R, -1 is S.

    In SMILES, @ says: seen from the first neighbour the others turn anticlockwise. Rank falls along the list, so
    seen with the last group away the first three turn anticlockwise too (two swaps lead there): @ is S, and @@ is R.
    """
    turn = {1: "@@", -1: "@"}[hand]
    first, second, third, fourth = groups
    molecule = Chem.AddHs(Chem.MolFromSmiles(f"[C{turn}]({first})({second})({third}){fourth}"))
    rdCIPLabeler.AssignCIPLabels(molecule)
    found = molecule.GetAtomWithIdx(0).GetProp("_CIPCode")
    if found != {1: "R", -1: "S"}[hand]:
        raise RuntimeError(f"RDKit calls {groups} {found}, this script thinks otherwise")
    return molecule


def embedded(molecule, seed):
    """Positions (n,3), angstrom, of one conformer."""
    settings = AllChem.ETKDGv3()
    settings.randomSeed = seed
    if AllChem.EmbedMolecule(molecule, settings) != 0:
        raise RuntimeError(f"RDKit found no geometry for {Chem.MolToSmiles(molecule)}")
    return molecule.GetConformer().GetPositions()


def triple_product(r, centre, neighbors):
    """Of the unit vectors from the centre to the first three neighbours: negative in R, positive in S."""
    v = r[neighbors[:3]] - r[centre]
    return np.linalg.det(v / np.linalg.norm(v, axis=1, keepdims=True))


def padded(values):
    return np.concatenate([values, np.zeros((ROOM - len(values), *values.shape[1:]), values.dtype)])


def main():
    args = arguments("chiral_methanes", __doc__, frames=420, seed=1)
    groups_of = molecules(args.seed)

    def structure(k, last):
        rng = np.random.default_rng([args.seed, k])
        mol_id, hand = k // 2, 1 - 2 * (k % 2)
        molecule = methane(groups_of[mol_id], hand)
        numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
        neighbors = np.array(sorted(atom.GetIdx() for atom in molecule.GetAtomWithIdx(0).GetNeighbors()))
        r = relax(numbers, embedded(molecule, int(rng.integers(2**31))))
        r = centred(numbers, r + NOISE * rng.standard_normal(r.shape)) @ random_rotation(rng).T
        r = r.astype(np.float32)                        # first rounded as stored, then labelled
        chi = triple_product(r.astype(float), 0, neighbors)
        if np.sign(chi) != -hand:
            raise RuntimeError(f"{groups_of[mol_id]} left its handedness while it was relaxed")
        labels = label(numbers, r.astype(float))
        return {"numbers": padded(numbers.astype(np.uint8)), "positions": padded(r),
                "energies": labels["energies"], "dipoles": labels["dipoles"].astype(np.float32),
                "label": hand, "mol_id": mol_id, "test": mol_id % TEST_EVERY == 0,
                "centre": 0, "substituents": neighbors, "chi": chi,
                "smiles": Chem.MolToSmiles(Chem.RemoveHs(molecule))}

    about = {
        "what": "chiral methanes, a carbon with four different groups, both enantiomers",
        "level": LEVEL, "units": "angstrom, eV, e*angstrom",
        "extra": "label: 1 is R, -1 is S; mol_id: the same for both enantiomers; test: molecules to keep for testing; "
                 "centre: index of the stereocentre; substituents: indices of its neighbours by falling CIP rank; "
                 "chi: triple product of the first three, as unit vectors from the centre",
        "script": "data/make_chiral_methanes.py", "seed": args.seed,
        "sampling": f"RDKit {version('rdkit')} ETKDGv3, relaxed by GFN2-xTB, noise N(0, {NOISE}) on every coordinate, "
                    "rotation uniform on SO(3)",
        "groups": GROUPS,
    }
    finish(args.out, collect(args.out, args.frames, structure, about), about)


if __name__ == "__main__":
    main()
