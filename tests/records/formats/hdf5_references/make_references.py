"""How the files beside this one were made, by h5py 3.16: runs in HDF5 that lead to other files, or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def begun(name: str, **settings: object) -> Any:
    """Return a new file with a learning rate."""
    import h5py  # no requirement of the tests

    file = h5py.File(HERE / name, "w", **settings)
    file.attrs["lr"] = 0.5
    file.attrs["momentum"] = 0.0
    return file


def main() -> None:
    """Write a file of each kind, by the oldest and the latest form of HDF5."""
    import h5py

    for form in ("earliest", "latest"):
        with begun(f"link_{form}.nc", libver=form) as file:
            file["sharpness"] = h5py.ExternalLink("other.h5", "/d")
        with begun(f"many_links_{form}.nc", libver=form, track_order=True) as file:
            for k in range(40):
                file[f"a{k}"] = h5py.SoftLink("/nothing")
            file["sharpness"] = h5py.ExternalLink("/etc/other.h5", "/d")
        with begun(f"inner_link_{form}.nc", libver=form) as file:
            file.create_group("one/two")["sharpness"] = h5py.ExternalLink("other.h5", "/d")
        with begun(f"external_{form}.nc", libver=form) as file:
            file.create_dataset("sharpness", (5,), "f8", external=[("secret.bin", 0, 40)])
        with begun(f"virtual_{form}.nc", libver=form) as file:
            form_of_data = h5py.VirtualLayout((5,), "f8")
            form_of_data[:] = h5py.VirtualSource("other.h5", "d", shape=(5,))
            file.create_virtual_dataset("sharpness", form_of_data)
        with begun(f"plain_{form}.nc", libver=form) as file:
            file["values"] = np.arange(1.0, 6.0)
            file["sharpness"] = h5py.SoftLink("/values")
    with begun("chunk.nc") as file:
        data = file.create_dataset(
            "sharpness", (5,), "f8", chunks=(2**24,), maxshape=(None,), compression="gzip"
        )
        data[:] = np.arange(1.0, 6.0)
    with begun("unused.nc") as file:
        file["sharpness"] = np.arange(1.0, 6.0)
        file.create_dataset("other", (2**33,), "f8", chunks=(2**20,), compression="gzip")


if __name__ == "__main__":
    main()
