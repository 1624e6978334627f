"""How the tests run: Hypothesis draws the same examples every time, and a lost imaginary part is an error."""

import os

import hypothesis

COMMON = dict(deadline=None, print_blob=True, database=None)   # no absolute times, and nothing left on the disk
hypothesis.settings.register_profile("ci", max_examples=50, derandomize=True, **COMMON)
hypothesis.settings.register_profile("explore", max_examples=2000, **COMMON)     # fresh examples in every run
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    # The complex step lives in the imaginary part: code that drops it computes a wrong gradient in silence.
    config.addinivalue_line("filterwarnings", "error::numpy.exceptions.ComplexWarning")
    config.addinivalue_line("filterwarnings", "error::RuntimeWarning")
    # OpenBLAS may set the flag for "invalid" in products of finite numbers (NumPy issue 24067, OpenBLAS issue 1924);
    # seen here once in six runs.  A NaN that were real fails whatever it is compared to.
    config.addinivalue_line("filterwarnings", "ignore:invalid value encountered in matmul:RuntimeWarning")
