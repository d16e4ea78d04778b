"""Write the samples of this folder, each by the library whose log it is.

    python -m tests.records.samples.make_samples [NAME ...]

All hold one run: heavy ball on ½(uv − 1)² from a flip at the minimum, with one catapult. Those that are written again
differ in times and in the libraries' versions.
"""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

import selfstab as ss

FOLDER = Path(__file__).parent
LR, MOMENTUM, STEPS = 0.95, 0.5, 80


def reference():
    """Return the run that all samples hold."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 3e-2)
    return ss.simulate(loss, ss.HeavyBall(LR, MOMENTUM), start, STEPS, previous=previous)


def rows(run):
    """Return a step's numbers as a training loop has them."""
    return [
        {"step": int(step), "sharpness": float(sharpness), "loss": float(loss)}
        for step, sharpness, loss in zip(run.step.values, run.sharpness.values, run.loss.values, strict=True)
    ]


def lightning(run, path):
    """Lightning's CSVLogger, with hyperparameters beside the metrics."""
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(path, name="", version="")
    logger.log_hyperparams(
        {"learning_rate": LR, "momentum": MOMENTUM, "optimizer": "SGD", "weight_decay": 0.0}
    )
    for row in rows(run):
        logger.log_metrics({"lr-SGD": LR, "lr-SGD-momentum": MOMENTUM}, row["step"])
        metrics = {"train_loss": row["loss"], "hessian/lambda_max": row["sharpness"], "epoch": row["step"]}
        logger.log_metrics(metrics, row["step"])
    logger.save()


def tensorboard(run, path):
    """PyTorch's SummaryWriter: several tags, and hyperparameters in a folder inside."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(path) as writer:
        for row in rows(run):
            writer.add_scalar("hessian/lambda_max", row["sharpness"], row["step"])
            writer.add_scalar("train/loss", row["loss"], row["step"])
        writer.add_hparams({"lr": LR, "momentum": MOMENTUM}, {"hparam/final": 0.0}, run_name="hparams")


def mlflow(run, path):
    """MLflow's folder of a run."""
    import os

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(tracking_uri=path.absolute().as_uri())
    made = client.create_run(client.create_experiment("sample"), run_name="first")
    for name, value in (("lr", LR), ("momentum", MOMENTUM), ("optimizer", "sgd")):
        client.log_param(made.info.run_id, name, value)
    metrics = [
        Metric(name, row[key], 1000 + row["step"], row["step"])
        for row in rows(run)
        for name, key in (("train/loss", "loss"), ("sharpness", "sharpness"))
    ]
    client.log_batch(made.info.run_id, metrics=metrics)
    client.set_terminated(made.info.run_id)
    for name in ("artifacts", ".trash"):
        for folder in path.rglob(name):
            shutil.rmtree(folder)
    for file in path.rglob("meta.yaml"):  # the place where they were written is nobody's business
        file.write_text(file.read_text().replace(path.absolute().as_uri(), "file:///mlruns"))


def keras(run, path):
    """Keras's CSVLogger, given what it would get from fit."""
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    from keras.callbacks import CSVLogger

    logger = CSVLogger(str(path))
    logger.set_model(Namespace(stop_training=False))
    logger.on_train_begin()
    for row in rows(run):
        logs = {"learning_rate": LR, "loss": row["loss"], "sharpness": row["sharpness"], "val_loss": 1.0}
        logger.on_epoch_end(row["step"], logs)
    logger.on_train_end()


def trainer_state(run, path):
    """Hugging Face's TrainerState, as Trainer saves it."""
    from transformers import TrainerState

    state = TrainerState(global_step=STEPS, max_steps=STEPS, logging_steps=1, num_train_epochs=STEPS)
    for row in rows(run)[1:]:
        state.log_history.append(
            {
                "loss": row["loss"],
                "grad_norm": 1.0,
                "learning_rate": LR,
                "epoch": row["step"],
                "step": row["step"],
            }
        )
        state.log_history.append({"sharpness": row["sharpness"], "epoch": row["step"], "step": row["step"]})
    state.log_history.append({"train_runtime": 1.0, "train_loss": 0.5, "epoch": STEPS, "step": STEPS})
    state.save_to_json(str(path))


def wandb_frame(run):
    """Return what wandb's run.history() returns: a frame with W&B's own columns, of every third step."""
    import pandas as pd

    kept = rows(run)[::3]
    return pd.DataFrame(
        {
            "_step": [row["step"] for row in kept],
            "train/sharpness": [row["sharpness"] for row in kept],
            "train/loss": [row["loss"] for row in kept],
            "train/lr": LR,
            "_timestamp": [1.7e9 + row["step"] for row in kept],
            "_runtime": [float(row["step"]) for row in kept],
        }
    )


def wandb_history(run, path):
    """Pandas, of a frame with the columns of wandb's run.history()."""
    wandb_frame(run).to_csv(path)


def wandb_parquet(run, path):
    """Pandas and pyarrow, of a frame with the columns of wandb's run.history()."""
    wandb_frame(run).to_parquet(path)


def feather(run, path):
    """Pandas and pyarrow."""
    frame = wandb_frame(run)
    frame.to_feather(path)


def wandb_chart(run, path):
    """Pandas, of a frame with the columns of a chart's export in W&B's pages, of two runs."""
    import pandas as pd

    columns = {"Step": run.step.values}
    for name, shift in (("calm - run", 0.0), ("other", 1.0)):
        values = run.sharpness.values + shift
        for end in ("", "__MIN", "__MAX"):
            columns[f"{name} - train/sharpness{end}"] = values
    pd.DataFrame(columns).to_csv(path, index=False)


def torch_file(run, path):
    """torch.save of a dictionary of tensors and settings."""
    import torch

    columns = {
        name: torch.tensor([row[name] for row in rows(run)], dtype=torch.float64)
        for name in ("sharpness", "loss")
    }
    torch.save({"config": {"lr": LR, "momentum": MOMENTUM}, "history": columns}, path)


def edge_of_stability(run, path):
    """torch.save of a tensor for each quantity, as src/gd.py of locuslab/edge-of-stability does."""
    import torch

    folder = path / f"cifar10-5k/fc-tanh/seed_0/mse/polyak/lr_{LR}_beta_{MOMENTUM}"
    folder.mkdir(parents=True)
    losses = torch.tensor(run.loss.values, dtype=torch.float32)
    eigs = torch.tensor(
        np.stack([run.sharpness.values, 0.1 * run.sharpness.values], axis=1), dtype=torch.float32
    )
    every, steps = 5, losses.shape[0]
    torch.save(losses, folder / "train_loss_final")
    torch.save(eigs[::every][: steps // every], folder / "eigs_final")
    torch.save(torch.zeros(steps // every, 0), folder / "iterates_final")


def central_flows(run, path):
    """h5py and json, as src/saving.py and main.py of locuslab/central_flows do, of gradient descent."""
    import h5py

    path.mkdir()
    config = {"opt": {"lr": LR, "class": "GradientDescent"}, "eig_config": {"frequency": 1}, "seed": 0}
    (path / "config.json").write_text(json.dumps(config, indent=4))
    with h5py.File(path / "data.hdf5", "a", libver="latest") as file:
        file.swmr_mode = True
        file.create_dataset("step", data=np.arange(STEPS + 5))
        for process, factor in (("discrete", 1.0), ("central", 0.5), ("stable", 0.25)):
            for name, values in (("train_loss", run.loss.values), ("hessian_eigs", run.sharpness.values)):
                shape = (STEPS + 5,) if name == "train_loss" else (STEPS + 5, 2)
                data = file.create_dataset(f"{process}/{name}", shape, dtype=np.float32)
                data[:] = np.nan
                data[: STEPS + 1] = factor * (
                    values if name == "train_loss" else np.stack([values, values / 9], axis=1)
                )
            lr = file.create_dataset(f"{process}/opt.lr", (STEPS + 5,), dtype=np.float64)
            lr[: STEPS + 1] = LR
        file.flush()


def stochastic_stability(run, path):
    """Format strings of edge-of-stochastic-stability's training.py, of full batches."""
    arguments = Namespace(
        batch=64, lr=LR, num_data=64, momentum=MOMENTUM, adam=False, steps=STEPS, model="mlp"
    )
    lines = [
        "# Edge of Stochastic Stability.",
        f"# Dataset: cifar10, model mlp, lr {LR}, batch size 64, gd_noise None",
        f"# Arguments: {arguments}",
        "# (0) epoch, (1) step, (2) batch loss, (3) full loss, (4) lambda max, (5) step sharpness, "
        "(6) batch sharpness, (7) Gradient-Noise Interaction, (8) total accuracy",
    ]
    for row in rows(run):
        full = row["loss"] if row["step"] % 32 == 0 else float("nan")
        lines.append(
            f"{row['step']:03d}, {row['step']:05d}, {row['loss']:7.6f}, {full:7.6f}, {row['sharpness']:6.2f}, "
            f"{1.0:6.1f}, {float('nan'):6.1f}, {float('nan'):6.2f}, {float('nan'):6.2f}"
        )
    path.write_text("\n".join(lines) + "\n")


def numpy_text(run, path):
    """numpy.savetxt with a header."""
    columns = [run.step.values, run.sharpness.values, run.loss.values]
    np.savetxt(path, np.stack(columns, axis=1), header="heavy ball\nstep sharpness loss")


SAMPLES = {
    "lightning": lightning,
    "tensorboard": tensorboard,
    "mlruns": mlflow,
    "keras.csv": keras,
    "trainer_state.json": trainer_state,
    "wandb.csv": wandb_history,
    "wandb.parquet": wandb_parquet,
    "wandb.feather": feather,
    "chart.csv": wandb_chart,
    "run.pt": torch_file,
    "edge_of_stability": edge_of_stability,
    "central_flows": central_flows,
    "results.txt": stochastic_stability,
    "numpy.txt": numpy_text,
}


def make(names=()):
    """Write some samples anew, or all of them."""
    run = reference()
    for name in names or SAMPLES:
        path = FOLDER / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        SAMPLES[name](run, path)


if __name__ == "__main__":
    make(sys.argv[1:])
