"""Compute a set frame by frame, so that it can be stopped and taken up again, and write it whole or not."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

SAVE_EVERY = 50                     # frames between two checkpoints: a few seconds


def arguments(name, doc, frames, seed=None):
    """The command line that every script here shares: --frames, --seed (where chance plays a part), --out."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=frames, help=f"how many (default: {frames})")
    if seed is not None:
        parser.add_argument("--seed", type=int, default=seed, help=f"random seed (default: {seed})")
    parser.add_argument("--out", type=Path, default=Path(f"{name}.npz"), help="file to write")
    return parser.parse_args()


def collect(out, count, make, recipe):
    """rows[k] = make(k, rows[k-1]), a dict of arrays; -> dict of arrays (count, ...).

    The rows so far are kept in OUT.part: run the same command again after a stop and it goes on from there.
    A row must depend on k and the row before alone, so that a stop changes nothing in the result.
    """
    part = out.with_name(out.name + ".part")
    rows = resume(part, recipe)
    try:
        for k in tqdm(range(len(rows), count), desc=out.stem, initial=len(rows), total=count):
            rows.append(make(k, rows[-1] if rows else None))
            if len(rows) % SAVE_EVERY == 0:
                save(part, stack(rows), recipe)
    except KeyboardInterrupt:
        if rows:
            save(part, stack(rows), recipe)
        raise SystemExit(f"stopped after {len(rows)} frames; run the same command to go on") from None
    return stack(rows[:count])


def resume(part, recipe):
    """The rows of a stopped run, or none; a run by another recipe is refused."""
    if not part.exists():
        return []
    with np.load(part) as file:
        columns = {key: file[key] for key in file.files}
    if json.loads(str(columns.pop("about"))) != recipe:
        raise SystemExit(f"{part} was begun with other settings: give another --out, or delete it")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def stack(rows):
    """A list of dicts as one dict of arrays with one axis more."""
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def save(out, arrays, about):
    """Write arrays, and `about` as JSON, under a temporary name, then rename: a stop spoils no file."""
    temporary = out.with_name(out.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, about=json.dumps(about), **arrays)
    os.replace(temporary, out)


def finish(out, arrays, about):
    """Write the finished set and drop the checkpoint."""
    save(out, arrays, about)
    out.with_name(out.name + ".part").unlink(missing_ok=True)
    print(f"wrote {out}: {len(arrays['positions'])} frames, {out.stat().st_size / 1e6:.2f} MB")
