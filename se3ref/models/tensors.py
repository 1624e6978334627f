"""What networks with features of many degrees share: the irreps that their layers reach and hand on."""

import dataclasses

from se3ref.models.heads import SCALAR
from se3ref.models.model import Model
from se3ref.nn.convolution import paths
from se3ref.so3 import Irreps
from se3ref.so3.irreps import harmonic_irrep


@dataclasses.dataclass(frozen=True)
class TensorModel(Model):
    """A model whose features are irreps, and whose layers couple them with the harmonics of edges.

    lmax: the highest degree of harmonics and features; channels: of each irrep; layers: how many.
    group: "O(3)", where harmonics of degree l have parity (-1)^l, or "SO(3)", where everything is labelled even
    and mirror images may differ.  irreps: the features, by default `channels` of each degree with its natural
    parity; "16x0e+16x0o+16x1o+16x1e" has pseudoscalars and pseudovectors too.
    basis, hidden: Bessel functions, and hidden sizes of the radial perceptrons.  neighbors: their typical number, N.
    A subclass gives `_init_layer(rng, come, go, terms)`, for each entry of `_plan`.
    """
    _: dataclasses.KW_ONLY
    lmax: int = 2
    channels: int = 16
    layers: int = 3
    group: str = "O(3)"
    irreps: str | None = None
    basis: int = 8
    hidden: tuple = (32, 32)
    neighbors: float = 12.0

    @property
    def coupling(self):
        """Along edges, where there are directions to couple."""
        return "walks" if self.lmax and any(irrep.l for irrep in self.features) else "distances"

    @property
    def features(self):
        """{Irrep: channels} between the layers."""
        if self.irreps is None:
            return {harmonic_irrep(l, self.group): self.channels for l in range(self.lmax + 1)}
        given = Irreps(self.irreps)
        return {irrep: given.count(irrep) for _, irrep in given}

    @property
    def irreps_available(self):
        """What heads may read: the irreps that these layers reach."""
        reached = {SCALAR}
        for _ in range(self.layers):
            reached |= self._made(self._paths(tuple(sorted(reached)), tuple(self.features)))
        return reached & set(self.features)

    def _paths(self, come, wanted):
        """The paths of the convolution in a layer that is given `come` and asked for `wanted`."""
        return paths(come, self.lmax, wanted, self.group)

    def _made(self, terms):
        """The irreps that a layer makes of what these paths gather."""
        return {path.y for path in terms}

    def _check_irreps(self):
        """Irreps that nothing can reach are a mistake: their labels, or what limits the layers."""
        if SCALAR not in self.features or min(self.features.values()) < 1:
            raise ValueError(f"features start from scalars and have channels: irreps is a sum such as '8x0e+8x1o' with "
                             f"some 0e and no 0x; got {self.irreps!r}")
        if lost := sorted(set(self.features) - self.irreps_available):
            limits = [name for name in ("lmax", "layers", "correlation") if hasattr(self, name)]
            raise ValueError(f"harmonics to lmax={self.lmax} in {self.group} reach no {lost} from 0e in {self.layers} "
                             f"layers: leave them out of irreps={self.irreps!r}, name others that lead there, or raise "
                             f"{' or '.join(limits)}")

    def _reaches_handedness(self):
        """The least thing that a mirror turns over is a triple product a . (b x c).  A layer couples what it has with
        one more direction, so it takes three layers to make one from scalars, and features that have a direction."""
        return self.layers >= 3 and any(irrep.l for irrep in self.features)

    @property
    def channels_out(self):
        """{Irrep: channels} of the last layer: only what the heads read."""
        read = self.irreps_read
        return {irrep: c for irrep, c in self.features.items() if irrep in read}

    def _plan(self):
        """For each layer, {Irrep: channels} that come in, that go out, and the paths.

        Irreps appear as paths reach them: from scalars, harmonics make tensors of natural parity; a pseudovector
        takes a second layer.
        """
        plan, come = [], {SCALAR: self.features[SCALAR]}
        for k in range(self.layers):
            wanted = self.features if k < self.layers - 1 else self.channels_out
            terms = self._paths(tuple(come), tuple(wanted))
            made = self._made(terms) | set(come)
            go = {irrep: c for irrep, c in wanted.items() if irrep in made}
            plan.append((come, go, terms))
            come = go
        return plan

    def init_trunk(self, rng):
        """Parameters of the embedding and of the layers."""
        params = {"embedding": rng.standard_normal((len(self.species), self.features[SCALAR]))}
        for k, layer in enumerate(self._plan()):
            params[f"layer{k}"] = self._init_layer(rng, *layer)
        return params
