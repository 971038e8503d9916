"""ModelNet40, the ground of the papers: what a student gains from an ensemble that it never meets.

Everything here was decided before the test split was opened: teachers, epochs, seeds, shares.
"""

from itertools import product

from .job import Job

SEEDS = (0, 1, 2)
VIEWS = 33
"""A third of the epochs: each view is seen three times."""
FIT = ("--batch-size", "64", "--val", "0", "--threads", "1")
SHARES = (10, 25)
SMOOTHING = ("--smoothing", "0.2")
"""Of the students by labels; what is best for these on a validation part."""
KD = ("--loss", "kd", "--smoothing", "0.2")
METHODS: dict[str, tuple[str, ...]] = {
    "kd": KD,
    "nwsd": ("--loss", "nwsd", "--form", "contrast", "--past", "records", "--labels", "0"),
    "control": ("--loss", "nwsd", "--form", "contrast", "--past", "none", "--labels", "0"),
}


def trained(name: str, model: str, seed: int, *options: str, epochs: int = 100) -> Job:
    """A model from labels, on fresh views."""
    said = ("--model", model, *FIT, "--epochs", str(epochs), "--seed", str(seed))
    return Job(name, "train", (*said, *options))


def taught(
    name: str, model: str, seed: int, *options: str, epochs: int = 100, past: str | None = None
) -> Job:
    """A student from the records of the ensemble."""
    said = ("--student", model, *FIT, "--epochs", str(epochs), "--seed", str(seed))
    return Job(name, "distill", (*said, *options), records="teacher", past=past)


def recorded(name: str, *teachers: str) -> Job:
    """Records of one network, or of several as an ensemble."""
    return Job(name, "record", ("--views", str(VIEWS), "--threads", "1"), teachers=teachers)


def jobs() -> list[Job]:
    """All, in the order in which they are wanted."""
    teachers = [trained(f"teacher-m-{s}", "stillnet-m", s, "--smoothing", "0") for s in SEEDS]
    first = [*teachers, recorded("teacher", *(job.name for job in teachers))]
    for seed in SEEDS:
        weak = f"weak-{seed}"
        first += [trained(weak, "stillnet-n", seed, epochs=6), recorded(f"{weak}-records", weak)]
        first.append(trained(f"ce-n-{seed}", "stillnet-n", seed, *SMOOTHING))
        for name, options in METHODS.items():
            past = f"{weak}-records" if "records" in options else None
            first.append(taught(f"{name}-n-{seed}", "stillnet-n", seed, *options, past=past))
    shares = []
    for seed, share in product(SEEDS, SHARES):
        part = ("--label-share", str(share / 100), "--label-seed", str(seed))
        by_labels = min(100 * 100 // share, 400)
        shares += [
            trained(
                f"ce-n-{share}-{seed}", "stillnet-n", seed, *SMOOTHING, *part, epochs=by_labels
            ),
            taught(f"kd-n-{share}-{seed}", "stillnet-n", seed, *KD, *part),
        ]
    larger = []
    for seed in SEEDS:
        larger.append(trained(f"ce-s-{seed}", "stillnet-s", seed, *SMOOTHING))
        larger.append(taught(f"kd-s-{seed}", "stillnet-s", seed, *KD))
    longest = [
        trained("ce-m-0", "stillnet-m", 0, *SMOOTHING, epochs=300),
        taught("kd-m-0", "stillnet-m", 0, *KD, epochs=300),
    ]
    return [*first, *shares, *larger, *longest]
