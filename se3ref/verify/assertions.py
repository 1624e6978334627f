"""The laws as assertions, one for each, for the tests of anybody's model.

    from se3ref.verify.assertions import assert_rotation
    def test_my_model_does_not_know_where_up_is():
        assert_rotation(MyCalculator())

Each takes what `audit` takes, and raises AssertionError with the table where its law is broken, where it cannot be
measured on these structures, and where the target does not respond to positions, since then every law holds in vain.
"""

from se3ref.verify.auditor import LAWS, audit


def _assertion(law):
    def check(target, structures=None, **options):
        report = audit(target, structures, dict.fromkeys(["response", law]), **options)
        if not report.passed or report[law].verdict == "not measured":
            raise AssertionError(str(report))

    check.__name__ = check.__qualname__ = f"assert_{law}"
    check.__doc__ = f"{LAWS[law].measure.__doc__.splitlines()[0]}  Arguments: those of `audit`."
    return check


assert_response = _assertion("response")
assert_precision = _assertion("precision")
assert_rotation = _assertion("rotation")
assert_reflection = _assertion("reflection")
assert_translation = _assertion("translation")
assert_permutation = _assertion("permutation")
assert_images = _assertion("images")
assert_cell_choice = _assertion("cell_choice")
assert_supercell = _assertion("supercell")
assert_gradient = _assertion("gradient")
assert_curl = _assertion("curl")
assert_net_force = _assertion("net_force")
assert_torque = _assertion("torque")
assert_stress = _assertion("stress")
assert_nve = _assertion("nve")
assert_smoothness = _assertion("smoothness")
assert_extensivity = _assertion("extensivity")
assert_locality = _assertion("locality")
