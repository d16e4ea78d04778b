"""How the files beside this one were made, by selfstab 0.1.0; run again, it would write those of today."""

import pickle
import shutil
from pathlib import Path

import numpy as np

import selfstab as ss
from selfstab.kernels.measures import MEASURES

HERE = Path(__file__).parent
QUIET = {"progress": False}


def pack(name: str) -> None:
    """Put a folder into an archive beside it."""
    shutil.make_archive(str(HERE / name), "zip", HERE / name)
    shutil.rmtree(HERE / name)


def main() -> None:
    """Write the stores, the datasets and the pickles."""
    product = ss.Product()
    start, previous = ss.flip_start(product, product.minimum(sharpness=4.0), size=1e-3)
    axes = {"momentum": [0.0, 0.5, 0.9], "excess": [-0.1, 0.01, 0.05, 0.6]}
    data = ss.sweep(
        product, ss.HeavyBall(1.0), axes, start=start, previous=previous, steps=600, measure=[*MEASURES],
        store=HERE / "product.zarr", **QUIET,
    )  # fmt: skip
    data.load().to_netcdf(HERE / "product.nc")
    pack("product.zarr")

    axes = {"lookahead": [0.0, 0.35, 0.7], "lr.steps": [100, 300], "start.x": [0.01, 0.02]}
    data = ss.sweep(
        ss.CubicTaylor(4.0, 1e-4), ss.HeavyBall(ss.LinearWarmup(0.0, 1.0, 300), 0.7, 0.7), axes, start=[0.0, 0.0],
        steps=400, noise=1e-4, seed=3, repeats=2, measure=["final_sharpness", "phase", "diverged_at"],
        store=HERE / "warmup.zarr", **QUIET,
    )  # fmt: skip
    data.load().to_netcdf(HERE / "warmup.nc")
    # As a kill leaves it: the second repeat is missing.
    (HERE / "warmup.zarr/selfstab-sweep/done/c.1.0").unlink()
    for name in ("final_sharpness", "phase", "diverged_at"):
        (HERE / f"warmup.zarr/{name}/c.0.0.0.1").unlink(missing_ok=True)
    pack("warmup.zarr")

    network = ss.DiagonalNetwork(*ss.datasets.sparse_regression(4, 3, 1, 0))
    data = ss.sweep(
        network, ss.HeavyBall(0.1, 0.5), {"lr": [0.05, 0.1]}, start=ss.Initialization(0, 0.5), steps=50,
        measure=["final_loss", "final_sharpness", "phase"], store=HERE / "network.zarr", **QUIET,
    )  # fmt: skip
    data.load().to_netcdf(HERE / "network.nc")
    pack("network.zarr")

    keep = ["loss", "sharpness", "weights", "velocity", "gradient_norm", "top_eigenvector"]
    run = ss.simulate(product, ss.HeavyBall(0.97, 0.9), start, 300, previous=previous, keep=keep)
    run.to_netcdf(HERE / "run.nc")
    run.to_zarr(HERE / "run.zarr", consolidated=False)
    pack("run.zarr")
    np.savez(HERE / "run.npz", lambda_max=run.sharpness, loss=run.loss, lr=run.lr)

    objects = {
        "heavy_ball": ss.HeavyBall(ss.LinearWarmup(0.1, 0.2, 5), 0.9, 0.1),
        "constant": ss.HeavyBall(ss.Constant(0.1)),
        "product": product,
        "cubic": ss.CubicTaylor(4.0),
        "quadratic": ss.Quadratic([2.0, 1.0]),
        "formula": ss.SymbolicLoss("(u*v-c)**2/2", ["u", "v"], {"c": 1.0}),
        "mlp": ss.MLP((4, 3, 1), np.arange(8.0).reshape(2, 4) / 8, np.array([[1.0], [-1.0]])),
        "diagonal": network,
        "initialization": ss.Initialization(1, 0.5),
    }
    for name, value in objects.items():
        (HERE / f"{name}.pickle").write_bytes(pickle.dumps(value))


if __name__ == "__main__":
    main()
