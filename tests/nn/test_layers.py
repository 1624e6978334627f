"""Every layer but the convolutions, whose arguments are graphs: its pullback, its precision, its run on a device."""

import pytest

from tests.nn import test_contraction, test_gate, test_linear, test_ops, test_radial
from tests.nn.checks import check_on_stand_in, check_precision, check_pullback

FILES = (test_ops, test_radial, test_linear, test_gate, test_contraction)
LAYERS = {name: layer for file in FILES for name, layer in file.LAYERS.items()}
ON_ROWS = {"linear_map_by_species", *test_contraction.LAYERS}  # their own files take the rows to the device too
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def test_no_layer_hides_behind_the_name_of_another():
    assert len(LAYERS) == sum(len(file.LAYERS) for file in FILES)


@every_layer
def test_P40_P41_pullbacks(layer):
    check_pullback(*layer)


@every_layer
def test_precision_stays(layer):
    check_precision(*layer)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - ON_ROWS))
def test_runs_on_the_stand_in(monkeypatch, name):
    check_on_stand_in(monkeypatch, *LAYERS[name])
