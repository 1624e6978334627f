"""This library and its peers, side by side in one run: `python -m benchmarks`."""

import os

# One thread each: on a busy machine a second thread slows PyTorch by factors, which would flatter us.
# Set here, before NumPy and PyTorch are first imported, for afterwards it has no effect.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
