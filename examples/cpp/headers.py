"""Get ONNX Runtime's C++ headers by npm, for where no release of it can be downloaded.

    python examples/cpp/headers.py    # build/onnxruntime: include/ of npm, lib/ of the Python wheel

`com.github.asus4.onnxruntime`, ONNX Runtime (MIT) for Unity, is the package of a registry that has
the headers. They speak the C interface of version 29, which every later library has too.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "web"))

from fetch import Package, fetched  # noqa: E402

OUT = ROOT / "build" / "onnxruntime"
HEADERS = "Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers"
NAMES = (
    "onnxruntime_c_api.h",
    "onnxruntime_cxx_api.h",
    "onnxruntime_cxx_inline.h",
    "onnxruntime_ep_c_api.h",
    "onnxruntime_error_code.h",
    "onnxruntime_float16.h",
)
PACKAGE = Package(
    "com.github.asus4.onnxruntime@0.4.9",
    "064cf176e499f4891e0cfe90f25cf64c553689eee1492bd2ed921fccca28131a"
    "2ad02373267bae19a509ec8b288c182a3b8a2e0f58d76a1f0e63225b08ddbd16",
    {"LICENSE": "LICENSE", **{f"include/{name}": f"{HEADERS}/{name}" for name in NAMES}},
)


def main() -> None:
    """Write them anew, beside links to the library of the Python package."""
    spec = find_spec("onnxruntime")
    assert spec, "install onnxruntime first"
    assert spec.origin
    (library,) = (Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*")
    files = fetched(PACKAGE)
    shutil.rmtree(OUT, ignore_errors=True)
    for place, content in files.items():
        (OUT / place).parent.mkdir(parents=True, exist_ok=True)
        (OUT / place).write_bytes(content)
    (OUT / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (OUT / "lib" / name).symlink_to(library)
    print(f"headers and library in {OUT}")


if __name__ == "__main__":
    main()
