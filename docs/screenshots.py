"""Take the screenshots of docs/images anew: python docs/screenshots.py (needs chromium)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow import MlflowClient

HERE = Path(__file__).parent / "images"
WIDTHS = {1280: "", 500: "-narrow"}
SWEEP = ("method=semantic,no_gradient", "seed=0,1")
PORT = 5799


def main() -> None:
    """Run the quickstart and a sweep, and look at them."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if not browser:
        sys.exit("No chromium was found on PATH.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sgdflow(folder, "optimize", "experiments=quickstart", "hydra.run.dir=first")
        sgdflow(folder, "optimize", "-m", "experiments=quickstart", *SWEEP, "hydra.sweep.dir=sweep")
        sgdflow(folder, "compare", "out=compared")
        traces = slow_run(folder)
        pages = {"report": (folder / "first" / "report.html").as_uri()}
        pages["compare"] = next((folder / "compared").glob("*.html")).as_uri()
        with subprocess.Popen(
            [sys.executable, "-m", "sgdflow", "ui", "--port", str(PORT)],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        ) as ui:
            assert ui.stdout is not None
            found = re.search(r"(http\S+)/runs(\S*)", ui.stdout.readline())
            assert found is not None
            pages["mlflow-runs"] = f"{found[1]}/runs{found[2]}"
            place, longest = traces
            listed = f"{found[1].rpartition('/')[0]}/{place}/traces"
            for name, trace in longest.items():
                pages[name] = f"{listed}?selectedEvaluationId={trace}"
            for name, address in pages.items():
                for width, suffix in WIDTHS.items():
                    take(browser, address, HERE / f"{name}{suffix}.png", width)
            ui.terminate()


def slow_run(folder: Path) -> tuple[str, dict[str, str]]:
    """Run with models that take their time; return the experiment and its longest traces."""
    with subprocess.Popen(
        [sys.executable, "-m", "sgdflow", "simulate", "--port", "0", "--latency", "0.3"],
        stdout=subprocess.PIPE,
        text=True,
    ) as models:
        assert models.stdout is not None
        found = re.search(r"http://\S+", models.stdout.readline())
        assert found is not None
        words = ("llm=vllm", f"llm.api_base={found[0]}", "tracking.experiment=traces")
        sgdflow(folder, "optimize", "experiments=quickstart", *words, "hydra.run.dir=slow")
        models.terminate()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("traces")
    by_length = sorted(
        client.search_traces(locations=[experiment.experiment_id]),
        key=lambda one: one.info.execution_duration or 0,
    )
    # The last of each kind is the longest.
    right = {one.info.tags["sgdflow.score"] == "1.0": one.info.trace_id for one in by_length}
    longest = {"mlflow-trace": right[False], "mlflow-trace-right": right[True]}
    return experiment.experiment_id, longest


def sgdflow(folder: Path, *words: str) -> None:
    """Run a command there."""
    subprocess.run([sys.executable, "-m", "sgdflow", *words], cwd=folder, check=True)


def take(browser: str, address: str, file: Path, width: int) -> None:
    """Write what a window of that width shows."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000"]
    options += [f"--window-size={width},{900 if width > 600 else 1100}", f"--screenshot={file}"]
    subprocess.run([browser, *options, address], check=True, capture_output=True)
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
