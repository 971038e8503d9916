"""Get three.js and ONNX Runtime Web by npm, as they are pinned, for the wheel pointstill-web.

    python web/fetch.py

Each package is compared with its SHA-512 before anything of it is used; no script of it runs.
"""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

VENDOR = Path(__file__).with_name("pointstill_web") / "vendor"


@dataclass(frozen=True)
class Package:
    """One package of npm, and which of its files are kept, by their new places."""

    spec: str
    sha512: str
    files: dict[str, str]


ADDONS = (
    "controls/OrbitControls.js",
    *(f"loaders/{name}Loader.js" for name in ("GLTF", "OBJ", "PCD", "PLY", "STL")),
    *("utils/BufferGeometryUtils.js", "utils/SkeletonUtils.js"),
)
THREE = Package(
    "three@0.187.0",
    "422bbb47e0a687c0acb59b18d6e24e4969d595fa3b66d34b57b985f0996d9372"
    "c1dc0b43bbd71166572744a90093c638cfa28ac37e73ed8ed4addee3598f1eb4",
    {
        "three/LICENSE.txt": "LICENSE",
        "three/three.module.js": "build/three.module.js",
        "three/three.core.js": "build/three.core.js",
        **{f"three/addons/{name}": f"examples/jsm/{name}" for name in ADDONS},
    },
)
RUNTIME = Package(
    "onnxruntime-web@1.30.0",
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
    {
        f"onnxruntime/{name}": f"dist/{name}"
        for name in (
            "ort.wasm.min.mjs",
            "ort-wasm-simd-threaded.mjs",
            "ort-wasm-simd-threaded.wasm",
        )
    },
)


def fetched(package: Package) -> dict[str, bytes]:
    """The files of a package that are kept."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--ignore-scripts", package.spec]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).iterdir()
        content = archive.read_bytes()
    if hashlib.sha512(content).hexdigest() != package.sha512:
        sys.exit(f"{package.spec} is not what was pinned: nothing was written")
    with tarfile.open(fileobj=io.BytesIO(content)) as members:
        found = {}
        for place, name in package.files.items():
            member = members.extractfile(f"package/{name}")
            assert member, name
            found[place] = member.read()
    return found


def by_path(place: str, content: bytes) -> bytes:
    """An add-on that names three.js by a path, so that a page needs no import map."""
    if "/addons/" not in place:
        return content
    return re.sub(rb"(from\s+)'three'", rb"\1'../../three.module.js'", content)


def licences() -> dict[str, bytes]:
    """Of ONNX Runtime, whose package for the web has none: those of its package for Python."""
    spec = find_spec("onnxruntime")
    assert spec, "install onnxruntime first"
    assert spec.origin
    folder = Path(spec.origin).parent
    names = {"LICENSE.txt": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
    return {f"onnxruntime/{new}": (folder / old).read_bytes() for new, old in names.items()}


def main() -> None:
    """Write them all anew."""
    files = {place: by_path(place, content) for place, content in fetched(THREE).items()}
    files |= fetched(RUNTIME) | licences()
    shutil.rmtree(VENDOR, ignore_errors=True)
    for place, content in files.items():
        (VENDOR / place).parent.mkdir(parents=True, exist_ok=True)
        (VENDOR / place).write_bytes(content)
    print(f"{len(files)} files in {VENDOR}")


if __name__ == "__main__":
    main()
