"""Radar gestures of people never seen: what a teacher is worth when labels are few (mTransSee).

Everything here was decided before any test split was opened: teachers, epochs, seeds, shares.
"""

from itertools import product

from .job import Job

SEEDS = (0, 1, 2)
ALL = "xyz,doppler,time,strength"
"""What the radar gives; the teacher sees all of it."""
SEEN = "xyz,time"
"""What the student sees."""
SEEN_BEFORE = ("81", "88", "89", "91")
"""People of `test` of whom 252 samples are in `train`, point by point, under other numbers."""
SHARES = (1, 5, 10, 25, 100)
"""Percent of the training samples whose labels are used."""
WHOLE = 5
"""The least share that is of whole people: 1 % is less than a person."""
VIEWS = 10
FIT = ("--points", "256", "--batch-size", "64", "--val", "0", "--threads", "1")
EPOCHS = 20


def epochs_of_labels(share: int) -> int:
    """Epochs over the labelled samples alone: as many steps as all samples take, 400 at most."""
    return min(EPOCHS * 100 // share, 400)


def shared(share: int, seed: int) -> tuple[str, ...]:
    """Flags of a share of the labels: another part in each seed."""
    if share == 100:
        return ()
    said = ("--label-share", str(share / 100), "--label-seed", str(seed))
    return (*said, "--group", "user") if share >= WHOLE else said


def taught(
    name: str,
    seed: int,
    share: int,
    *options: str,
    records: str = "teacher",
    student: str = "stillnet-n",
    features: str = SEEN,
    past: str | None = None,
) -> Job:
    """A student from records."""
    said = ("--student", student, *FIT, "--epochs", str(EPOCHS), "--seed", str(seed))
    return Job(
        name,
        "distill",
        (*said, *shared(share, seed), *options),
        features,
        records=records,
        past=past,
    )


def labelled(
    name: str,
    seed: int,
    share: int,
    *options: str,
    student: str = "stillnet-n",
    features: str = SEEN,
    epochs: int | None = None,
) -> Job:
    """A student from labels alone, on fresh views."""
    said = ("--model", student, *FIT, "--epochs", str(epochs or epochs_of_labels(share)))
    return Job(
        name, "train", (*said, "--seed", str(seed), *shared(share, seed), *options), features
    )


def recorded(name: str, *teachers: str, features: str = ALL, views: int = VIEWS) -> Job:
    """The records of one network, or of several as an ensemble."""
    options = ("--views", str(views), "--points", "256", "--batch-size", "64", "--threads", "1")
    return Job(name, "record", options, features, teachers=teachers)


KD = ("--loss", "kd")
METHODS: dict[str, tuple[str, ...]] = {
    "kd-1": (*KD, "--temperature", "1"),
    "kd-alone": (*KD, "--labels", "0"),
    "mse": ("--loss", "mse"),
    "dkd": ("--loss", "dkd"),
    "dist": ("--loss", "dist"),
    "nkd": ("--loss", "nkd"),
    "nwsd-floor": ("--loss", "nwsd", "--form", "floor", "--beta", "0.1"),
    "kd-0.9": (*KD, "--alpha", "0.9"),
    "nwsd-towards": ("--loss", "nwsd", "--form", "floor", "--beta", "-0.1"),
    "contrast": ("--loss", "nwsd", "--form", "contrast", "--past", "records", "--labels", "0"),
    "contrast-none": ("--loss", "nwsd", "--form", "contrast", "--past", "none", "--labels", "0"),
    "contrast-late": (
        *("--loss", "nwsd", "--form", "contrast", "--past", "snapshot", "--labels", "0"),
    ),
    "contrast-towards": (
        *("--loss", "nwsd", "--form", "contrast", "--past", "records", "--push", "-0.25"),
        *("--labels", "0"),
    ),
}
"""What a student is taught by, beside KD; after `nkd` the negative weight and its controls."""
SMOOTHINGS = (0.0, 0.1, 0.2, 0.3)
BETAS = (-0.2, 0.0, 0.2)


def teachers() -> list[Job]:
    """A `stillnet-m` that sees everything, itself two networks, and its records."""
    said = ("--model", "stillnet-m", *FIT, "--epochs", str(EPOCHS), "--smoothing", "0")
    network = Job("teachers/m-0", "train", (*said, "--seed", "0"), ALL)
    return [network, recorded("teacher", network.name)]


def shares() -> list[Job]:
    """By labels; by a teacher of all labels; by a teacher of the same few labels."""
    jobs = []
    for seed, share in product(SEEDS, SHARES):
        name = f"shares/{share}-{seed}"
        jobs += [labelled(f"{name}-ce", seed, share), taught(f"{name}-kd", seed, share, *KD)]
        if share < 100:
            own = f"shares/{share}-{seed}-teacher"
            jobs += [
                labelled(own, seed, share, "--smoothing", "0", student="stillnet-m", features=ALL),
                recorded(f"{own}-records", own),
                taught(f"{name}-own", seed, share, *KD, records=f"{own}-records"),
            ]
    return jobs


def xyz() -> list[Job]:
    """Students that see the points alone."""
    jobs = []
    for seed in SEEDS:
        jobs.append(labelled(f"xyz/{seed}-ce", seed, 100, features="xyz"))
        jobs.append(taught(f"xyz/{seed}-kd", seed, 100, *KD, features="xyz"))
    return jobs


def methods(share: int) -> list[Job]:
    """Every loss, and every control, at one share of the labels; those of KD are in `shares`."""
    jobs = []
    for seed in SEEDS:
        weak = f"methods/{share}-{seed}-weak"
        jobs += [
            labelled(weak, seed, share, epochs=3),
            recorded(f"{weak}-records", weak, features=SEEN),
            taught(f"methods/{share}-{seed}-ce", seed, share, "--loss", "ce"),
        ]
        for name, options in METHODS.items():
            past = f"{weak}-records" if "records" in options else None
            jobs.append(taught(f"methods/{share}-{seed}-{name}", seed, share, *options, past=past))
    return jobs


def sign_name(smoothing: float, beta: float) -> str:
    """Name of a job of `sign`, with {} for the seed; with neither it is KD, as in `shares`."""
    return f"sign/{smoothing:g}-{beta:g}-{{}}" if smoothing or beta else "shares/100-{}-kd"


def sign() -> list[Job]:
    """Does the sign of the best weight follow the regularisation?"""
    return [
        taught(
            sign_name(smoothing, beta).format(seed),
            seed,
            100,
            *("--loss", "nwsd", "--form", "floor", "--beta", str(beta)),
            *("--smoothing", str(smoothing)),
        )
        for seed, smoothing, beta in product(SEEDS, SMOOTHINGS, BETAS)
        if smoothing or beta
    ]


def jobs() -> list[Job]:
    """All, in the order in which they are wanted."""
    return [*teachers(), *shares(), *xyz(), *methods(10), *sign()]
