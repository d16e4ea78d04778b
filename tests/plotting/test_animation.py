"""Films of catapults: their frames, what moves, and what is refused."""

import subprocess
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from PIL import Image

import selfstab as ss
from selfstab.plotting import animate_catapult, animation
from selfstab.plotting.style import new_figure


@pytest.fixture(scope="module")
def catapult():
    loss, keep = ss.Product(), ("loss", "sharpness", "weights")
    minimum = loss.minimum(sharpness=4.0)
    start, previous = ss.flip_start(loss, minimum, size=1e-2)
    run = ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 300, previous=previous, keep=keep)
    return ss.observables.swing(run, loss, minimum)


def test_a_film_has_its_frames_and_leaves_the_settings_alone(catapult, tmp_path):
    before = dict(matplotlib.rcParams)
    film = animate_catapult(
        {"one": catapult, "two": catapult}, tmp_path / "film.gif", frames=4, frames_per_second=5
    )
    assert dict(matplotlib.rcParams) == before
    with Image.open(film) as picture:
        assert picture.n_frames == 4
        assert picture.info["duration"] == 200
        frames = []
        for k in range(4):
            picture.seek(k)
            frames.append(np.asarray(picture.convert("RGB")).astype(int))
    # Protects against a film that stands still, and one whose axes jump: what moves is a small part of the picture.
    for first, second in pairwise(frames):
        changed = (np.abs(first - second).max(axis=2) > 40).mean()
        assert 0.0 < changed < 0.05


def test_a_gif_keeps_the_colours(catapult, tmp_path):
    """Protects the one palette of all frames: the page stays white and the marks have their method's colour."""
    film = animate_catapult(catapult, tmp_path / "film.gif", frames=9)
    with Image.open(film) as picture:
        for k in range(picture.n_frames):
            picture.seek(k)
            frame = np.asarray(picture.convert("RGB")).astype(int)
            assert frame[0, 0].min() >= 250
            mark = np.array([0xEE, 0x77, 0x33])  # the heavy ball's
            assert np.abs(frame - mark).max(axis=2).min() <= 16


def test_the_same_call_writes_the_same_bytes(catapult, tmp_path):
    first, second = (animate_catapult(catapult, tmp_path / f"{k}.gif", frames=3) for k in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_panel_shows_the_run_up_to_the_step(catapult):
    panel = animation._Panel(new_figure().add_subplot(), "", catapult, trail=40)
    panel.show(0.5)
    k = 150
    assert panel._now.get_xdata()[0] == catapult["displacement"].values[k]
    assert len(panel._recent.get_xdata()) == 40
    assert len(panel._past.get_xdata()) == k + 1 - 40
    assert panel.ax.get_title("left").endswith("step 150")


def test_a_falling_threshold_is_followed():
    loss, keep = ss.Product(), ("loss", "sharpness", "weights")
    optimizer = ss.HeavyBall(ss.LinearWarmup(0.0, 0.4, 100))
    run = ss.simulate(loss, optimizer, [1.0, 1.1], 100, keep=keep)
    run["displacement"] = run["weights"][:, 0].drop_vars("weight")
    panel = animation._Panel(new_figure().add_subplot(), "", run.drop_vars("weights"), trail=5)
    for share, limit in ((0.0, np.nan), (0.5, 10.0), (1.0, 5.0)):
        panel.show(share)
        assert np.array_equal(panel._threshold.get_ydata()[0], limit, equal_nan=True)


def test_an_mp4_is_a_film_that_ffmpeg_reads(catapult, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    film = animate_catapult(catapult, tmp_path / "film.mp4", frames=5)
    read = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(film), "-f", "framemd5", "-"]
    lines = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len([line for line in lines if not line.startswith("#")]) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "film.avi"}, "path's suffix must be"),
        ({"path": "nowhere/film.gif"}, "path must lie in a folder that exists"),
        ({"frames": 1}, "frames must be"),
        ({"trail": 0}, "trail must be"),
        ({"frames_per_second": 0.0}, "frames_per_second must be"),
        ({"runs": {}}, "runs must hold"),
        ({"runs": 3}, "run must be a dataset"),
    ],
)
def test_bad_arguments_are_named(catapult, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        animate_catapult(**({"runs": catapult, "path": "film.gif"} | change))
    assert not list(tmp_path.iterdir())


def test_a_run_without_its_displacement_is_refused(catapult, tmp_path):
    with pytest.raises(ValueError, match="displacement"):
        animate_catapult(catapult.drop_vars("displacement"), tmp_path / "film.gif")
