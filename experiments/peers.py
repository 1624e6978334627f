"""Other people's models as they are made for an audit: each function imports its own package and returns a target.

Networks without published weights get random ones, from a fixed seed.  PyTorch is held to one thread.
"""

import warnings

import numpy as np

SPECIES = (1, 6, 8)
BOX = 20.0                                                     # angstrom around what CHGNet gets a cell for
PACKAGES = {                                                   # of each: what must be installed
    "sevenn": ("sevenn", "torch", "e3nn", "ase"), "chgnet": ("chgnet", "pymatgen", "torch", "ase"),
    "mace": ("mace-torch", "torch", "e3nn", "ase"), "e3nn": ("e3nn", "torch"), "xtb": ("tblite", "ase"),
    "emt": ("ase",), "lennard_jones": ("ase",),
}


def sevenn(double=False):
    """SevenNet-0 by the package of its authors; double: weights and inputs cast to float64, couplings as they are."""
    _quiet_torch("float32")
    from sevenn.calculator import SevenNetCalculator
    if not double:
        return SevenNetCalculator("7net-0", device="cpu")
    import sevenn._keys as KEY
    from ase.calculators.calculator import Calculator, all_changes
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph

    class Cast(SevenNetCalculator):
        """The same with graphs in float64, which the package would round to float32."""
        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            import torch
            Calculator.calculate(self, atoms, properties, system_changes)
            graph = unlabeled_atoms_to_graph(atoms, self.cutoff, with_shift=False)
            data = AtomGraphData(**{key: torch.as_tensor(x) for key, x in graph.items() if key != KEY.INFO})
            self.results = self.output_to_results(self.model(data))

    def widen(module, args):
        args[0][KEY.NODE_FEATURE] = args[0][KEY.NODE_FEATURE].double()
    calculator = Cast("7net-0", device="cpu")
    calculator.model.double()
    calculator.model.onehot_to_feature_x.register_forward_pre_hook(widen)
    return calculator


def chgnet():
    """CHGNet with the weights that its package carries; it asks for a cell, so what has none gets a wide one."""
    _quiet_torch("float32")
    from ase import Atoms
    from chgnet.model.dynamics import CHGNetCalculator
    calculator = CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")

    def in_a_cell(species, positions, cell, pbc):
        if not pbc.all():
            cell = np.diag(np.ptp(positions, axis=0) + BOX)
        calculator.calculate(Atoms(species, positions, cell=cell, pbc=True))
        found = calculator.results
        return float(found["energy"]), found["forces"], found["stress"]
    return in_a_cell


def mace(dtype="float64"):
    """MACE by mace-torch, 16 channels of 0e + 1o, correlation 3, random weights."""
    torch = _quiet_torch(dtype)
    from e3nn import o3
    from mace import modules
    from mace.calculators import MACECalculator
    torch.manual_seed(0)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    network = modules.ScaleShiftMACE(
        r_max=4.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=2, interaction_cls=block, interaction_cls_first=block,
        num_interactions=2, num_elements=len(SPECIES), hidden_irreps=o3.Irreps("16x0e + 16x1o"),
        MLP_irreps=o3.Irreps("16x0e"), atomic_energies=np.zeros(len(SPECIES)), avg_num_neighbors=8.0,
        atomic_numbers=list(SPECIES), correlation=3, gate=torch.nn.functional.silu, radial_MLP=[32, 32],
        atomic_inter_scale=1.0, atomic_inter_shift=0.0)
    return MACECalculator(models=[network], device="cpu", default_dtype=dtype)


def e3nn(dtype="float64"):
    """The message passing of `e3nn.nn.models.v2106`, lmax 2, random weights; forces by autograd."""
    torch = _quiet_torch(dtype)
    from e3nn import o3
    from e3nn.math import soft_one_hot_linspace
    from e3nn.nn.models.v2106.gate_points_message_passing import MessagePassing

    from se3ref.systems import Structure, neighbor_graph
    torch.manual_seed(0)
    cutoff, functions, hidden = 4.0, 10, "8x0e + 8x0o + 8x1e + 8x1o + 8x2e + 8x2o"
    network = MessagePassing(["3x0e", hidden, hidden, "1x0e"], "0e", o3.Irreps.spherical_harmonics(2), [functions, 32],
                             num_neighbors=8.0)
    for layer in network.layers:                               # e3nn starts these at zero: no atom would see another
        torch.nn.init.normal_(getattr(layer, "first", layer).alpha.weight)

    def e3nn_network(species, positions, cell, pbc):
        if not np.isin(species, SPECIES).all():
            raise ValueError(f"this network knows {SPECIES}; got {sorted(set(species.tolist()))}")
        graph = neighbor_graph(Structure(species, positions, cell if pbc.any() else None, pbc), cutoff)
        i, j = (torch.as_tensor(k) for k in (graph.receivers, graph.senders))
        r = torch.tensor(positions, dtype=torch.get_default_dtype(), requires_grad=True)
        vec = r[j] - r[i] + torch.as_tensor(graph.shifts @ cell).to(r.dtype)
        x = torch.as_tensor(species[:, None] == np.array(SPECIES)).to(r.dtype)
        Y = o3.spherical_harmonics([0, 1, 2], vec, True, normalization="component")
        B = soft_one_hot_linspace(vec.norm(dim=1), 0.0, cutoff, functions, basis="smooth_finite", cutoff=True)
        energy = network(x, x.new_ones(len(x), 1), j, i, Y, B * functions**0.5).sum()
        return energy.item(), -torch.autograd.grad(energy, r)[0].numpy()
    return e3nn_network


def xtb(accuracy=1.0):
    """GFN2-xTB by tblite; accuracy: what its iterations stop at, smaller is tighter."""
    from tblite.ase import TBLite
    return TBLite(method="GFN2-xTB", accuracy=accuracy, verbosity=0)


def emt():
    """Effective medium theory as ASE has it."""
    from ase.calculators.emt import EMT
    return EMT()


def lennard_jones(smooth=False):
    """Lennard-Jones for argon as ASE has it, cut at three sigma, or smoothly."""
    from ase.calculators.lj import LennardJones
    return LennardJones(sigma=3.4, epsilon=0.0104, smooth=smooth)


def _quiet_torch(dtype):
    import torch
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, dtype))
    return torch
