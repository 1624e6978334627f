"""The weights of SevenNet-0 in `se3ref/data/sevennet`, from the wheel of the package that published them.

    pip download --no-deps sevenn==0.13.0
    python data/make_sevennet.py sevenn-0.13.0-py3-none-any.whl

Takes the checkpoint out of the wheel, checks its SHA-256, and keeps the arrays that the network needs as they are,
in single precision, with the licence that they come under.  Nothing of the package is run.
"""

import argparse
import tempfile
from pathlib import Path

from se3ref.models import published, sevennet

NAME = "SevenNet-0"
CHECKPOINT = published.CHECKPOINTS[NAME]
HERE = Path(__file__).parents[1] / "se3ref" / "data" / "sevennet"
CARD = {"name": "SevenNet-0 (11 July 2024)", "source": f"{CHECKPOINT.path} of sevenn 0.13.0",
        "sha256": CHECKPOINT.sha256,
        "data": "MPtrj: relaxations of inorganic crystals by PBE and PBE+U, 89 elements",
        "limits": "trained on crystals; mirror images may differ in energy, since its symmetry is SO(3)"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel
    content = published.unpacked(wheel, NAME)
    HERE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint_sevennet_0.pth"
        path.write_bytes(content)
        sevennet.compact(path, HERE / "sevennet_0.npz", CARD)
    (HERE / "LICENSE").write_bytes(published.licence(wheel))


if __name__ == "__main__":
    main()
