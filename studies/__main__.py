"""`python -m studies radar`: train what is missing, resume what was cut off, write the page."""

import argparse
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from . import modelnet40, radar
from .job import ROOT, Job, Place
from .page import write_page

SHARED = Path(os.environ.get("POINTSTILL_SHARED", ROOT.parent / "shared"))
RADAR = os.environ.get("RADAR", str(ROOT / "examples/radar_gestures/mtranssee.yaml"))
MODELNET40 = os.environ.get("MODELNET40", str(SHARED / "data/modelnet40_ply_hdf5_1024"))
STUDIES = {
    "radar": (Place(RADAR, splits=("test", "shift")), radar.jobs),
    "modelnet40": (Place(MODELNET40), modelnet40.jobs),
}
WORK = Path(os.environ.get("STUDIES", ROOT / "runs/studies"))
"""Where runs and records are; some gigabytes in the end."""


def main() -> int:
    """Do what the command line says."""
    asked = argparse.ArgumentParser(prog="python -m studies", description=__doc__)
    asked.add_argument("studies", nargs="*", help=f"of {', '.join(STUDIES)}; all if none is named")
    asked.add_argument("--list", action="store_true", help="say what is done, and do nothing")
    asked.add_argument("--only", default="", help="jobs whose names begin so, and what they need")
    asked.add_argument("--page", action="store_true", help="write the page alone")
    asked.add_argument("--minutes", type=float, default=1e9, help="begin no job after so many")
    options = asked.parse_args()
    if unknown := {*options.studies} - {*STUDIES}:
        asked.error(f"there is no study {min(unknown)}, but {', '.join(STUDIES)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    ends, failed = time.monotonic() + 60 * options.minutes, 0
    for name in () if options.page else options.studies or STUDIES:
        place, jobs = STUDIES[name]
        results, work = ROOT / "results" / name, WORK / name
        plan = wanted(jobs(), options.only)
        if options.list:
            for job in plan:
                print(f"{'done' if job.done(results, work) else 'open':5}{name} {job.name}")
            continue
        for job in plan:
            if time.monotonic() < ends:
                failed += not attempt(job, place, results, work)
    if not options.list:
        print(f"wrote {write_page(ROOT)}")
    return int(failed > 0)


def wanted(jobs: list[Job], only: str) -> list[Job]:
    """Jobs whose names begin so, in order, behind those that they need."""
    by_name = {job.name: job for job in jobs}
    chosen: dict[str, None] = {}

    def choose(job: Job) -> None:
        for each in job.needs:
            choose(by_name[each])
        chosen[job.name] = None

    for job in jobs:
        if job.name.startswith(only):
            choose(job)
    return [by_name[name] for name in chosen]


def attempt(job: Job, place: Place, results: Path, work: Path) -> bool:
    """Do a job, unless it is done, or another process is at it; whether all is well."""
    work.mkdir(parents=True, exist_ok=True)
    lock = work / f"{job.name.replace('/', '-')}.lock"
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        if job.done(results, work):
            return True
        print(f"== {job.name}", flush=True)
        try:
            job.do(place, results, work)
        except subprocess.CalledProcessError as error:
            print(f"failed: {job.name} ({error})", file=sys.stderr, flush=True)
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
