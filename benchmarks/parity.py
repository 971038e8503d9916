"""python benchmarks/parity.py RUN [--clouds 400] [--json FILE]

Whether a student gives the same answers wherever it runs: torch, OpenVINO and ONNX Runtime Web (in
Chromium) beside ONNX Runtime, on whole clouds of the built-in data. Needs what CONTRIBUTING.md says
of OpenVINO and a browser."""

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from conditions import conditions
from local_site import served
from pointstill.data import open_dataset
from pointstill.deployment.exporting import Deployed, export
from pointstill.deployment.runtime import near_origin
from pointstill.run import Run

Cloud = NDArray[np.float32]
Logits = NDArray[np.float32]
IN_THE_BROWSER = """
async ([count, sizes]) => {
  const ort = await import("/onnxruntime/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("/onnxruntime/", location.href).href;
  ort.env.wasm.numThreads = 1;
  const bytes = async (name) => (await fetch(name)).arrayBuffer();
  const wasm = { executionProviders: ["wasm"] };
  const session = await ort.InferenceSession.create(await bytes("/student.onnx"), wasm);
  const all = new Float32Array(await bytes("/clouds.bin"));
  const found = [];
  for (let i = 0, from = 0; i < count; from += 3 * sizes[i++]) {
    const values = all.slice(from, from + 3 * sizes[i]);
    const points = new ort.Tensor("float32", values, [1, sizes[i], 3]);
    found.push(Array.from((await session.run({ points })).logits.data));
  }
  return found;
}
"""


def by_onnxruntime(student: Path, clouds: Sequence[Cloud]) -> Logits:
    session = onnxruntime.InferenceSession(student, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"points": each[None]})[0] for each in clouds])


@torch.inference_mode()
def by_torch(run: Run, clouds: Sequence[Cloud]) -> Logits:
    model = Deployed.of(run)
    return np.concatenate([model(torch.from_numpy(each[None])).numpy() for each in clouds])


def by_openvino(student: Path, clouds: Sequence[Cloud], precision: str) -> Logits:
    import openvino

    core = openvino.Core()
    hint = {"INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(core.read_model(student), "CPU", hint)
    return np.concatenate([compiled([each[None]])[0].copy() for each in clouds])


def by_the_browser(student: Path, clouds: Sequence[Cloud]) -> Logits:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(web(), folder / "onnxruntime")
        shutil.copy(student, folder / "student.onnx")
        (folder / "clouds.bin").write_bytes(b"".join(each.tobytes() for each in clouds))
        (folder / "index.html").write_text("<!doctype html><title>parity</title>")
        with served(folder) as address, sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(address)
            found = page.evaluate(IN_THE_BROWSER, [len(clouds), [len(each) for each in clouds]])
            browser.close()
    return np.array(found, np.float32)


def web() -> Path:
    """The folder of ONNX Runtime Web."""
    import pointstill_web

    return Path(pointstill_web.__file__).with_name("vendor") / "onnxruntime"


def web_version() -> str:
    """Of ONNX Runtime Web, by the head of its file."""
    head = (web() / "ort.wasm.min.mjs").read_text("utf-8")[:400]
    return re.search(r"v(\d+\.\d+\.\d+)", head)[1]


def compared(found: Logits, reference: Logits) -> dict[str, float]:
    """How logits (clouds, classes) differ from those of ONNX Runtime."""
    apart = np.abs(found.astype(np.float64) - reference)
    return {
        "largest": float(apart.max()),
        "clouds_beyond_1e-4": int((apart.max(axis=1) > 1e-4).sum()),
        "answers_that_differ": int((found.argmax(axis=1) != reference.argmax(axis=1)).sum()),
    }


def text(found: dict[str, Any]) -> str:
    """The figures as a page shows them."""
    lines = [
        "| beside ONNX Runtime | version | clouds | largest difference of a logit "
        "| clouds with more than 1e-4 | answers that differ |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in found["runtimes"].items():
        lines.append(
            f"| {name} | {each['version']} | {found['clouds']} | {each['largest']:.1e} "
            f"| {each['clouds_beyond_1e-4']} | {each['answers_that_differ']} |"
        )
    lines += [
        "",
        f"Measured {found['date']} on {found['processor']}, ONNX Runtime {found['onnxruntime']}: "
        f"`{found['model']}` at {found['points']} points, {found['clouds']} whole clouds of the "
        f"built-in training data ({found['sizes'][0]} to {found['sizes'][1]} points), whose logits "
        f"reach {found['largest_logit']:.1f}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run on coordinates alone")
    parser.add_argument("--clouds", type=int, default=400)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    run, split = Run(options.run), open_dataset("primitives").train
    chosen = np.linspace(0, len(split) - 1, options.clouds).astype(int)
    clouds = [near_origin(split.cloud(each), drop_missing=False) for each in chosen]
    with tempfile.TemporaryDirectory() as folder:
        student = export(run, Path(folder) / "student.onnx")
        reference = by_onnxruntime(student, clouds)
        ways: dict[str, tuple[str, Callable[[], Logits]]] = {
            "torch": (torch.__version__, lambda: by_torch(run, clouds)),
            "OpenVINO, float32": (
                version("openvino"),
                lambda: by_openvino(student, clouds, "f32"),
            ),
            "OpenVINO, bfloat16": (
                version("openvino"),
                lambda: by_openvino(student, clouds, "bf16"),
            ),
            "ONNX Runtime Web, Chromium": (
                web_version(),
                lambda: by_the_browser(student, clouds),
            ),
        }
        runtimes = {
            name: {"version": number} | compared(compute(), reference)
            for name, (number, compute) in ways.items()
        }
    sizes = [len(each) for each in clouds]
    found = conditions(torch.get_num_threads()) | {
        "model": run.model_name,
        "points": run.recipe["points"],
        "clouds": len(clouds),
        "sizes": [min(sizes), max(sizes)],
        "largest_logit": float(np.abs(reference).max()),
        "runtimes": runtimes,
    }
    print(text(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
