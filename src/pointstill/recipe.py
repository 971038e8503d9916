"""Every option of training, as frozen dataclasses: the command line's flags *are* these fields.

A recipe is resolved once (YAML, then flags), checked in `__post_init__`, and written into the run
folder, so that a run can be read and repeated. Nothing here imports torch.
"""

from dataclasses import asdict, dataclass, fields, make_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .errors import UsageError
from .losses import LOSSES
from .losses.options import LabelOptions, LossOptions, check_numbers, one_of, require
from .losses.recipe_entries import defaults, loss_entries, users

Precision = Literal["auto", "32-true", "bf16-mixed"]
Keep = Literal["last", "best"]
Scaling = Literal["robust", "none"]
Measure = Literal["accuracy", "macc"]
Balance = Literal["none", "weights", "sampling"]
LoggerName = Literal["none", "csv", "tensorboard"]
POINTS = 1024
"""Points of a view or a cloud, where neither the user nor the model says a number."""
ABSENT = {"loss": "nwsd"}
"""What an entry counts as that a recipe of old lacks, where that is not its default of today."""
T = TypeVar("T")


def check_seed(seed: int, name: str = "seed") -> None:
    """Refuse what cannot seed every generator alike.

    Raises:
        UsageError: it is negative, or 2**63 or more.
    """
    require(0 <= seed < 2**63, f"{name} is {seed}", f"choose 0 to {2**63 - 1}")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a model is optimised: AdamW, linear warm-up, cosine decay."""

    epochs: int = 50
    """Passes over the training shapes."""
    points: int | None = None
    """Points per view that the model sees, 16 or more; as recorded, or 1,024 without records."""
    batch_size: int = 32
    """Shapes per step, about; 2 or more, as BatchNorm compares them."""
    window: int = 65_536
    """Shapes that are shuffled, and whose records are in memory, at once: all, if no more."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    weight_decay: float = 0.05
    """Decoupled weight decay of AdamW."""
    warmup: float = 0.1
    """Part of all steps in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for none."""
    ema: float = 0.0
    """Decay per step of the averaged weights that are saved in the end; 0 for none."""
    val: float = 0.1
    """Part of the training shapes held out for validation (stratified, seeded); 0 for none."""
    keep: Keep = "last"
    """The weights that end the run: of the last epoch, or of the best by validation (`measure`)."""
    measure: Measure = "accuracy"
    """What is best (keep=best): accuracy over all validation shapes, or macc, the mean of its
    classes."""
    limit: int | None = None
    """Train on this many shapes only (stratified, seeded)."""
    label_share: float = 1.0
    """Part of the labels that is used (stratified, the same for every seed; whole groups with
    `--group`); the other shapes count as unlabelled."""
    label_seed: int = 0
    """Which labels a share is: another part of them."""
    balance: Balance = "none"
    """For unequal classes: weights of the label's term by inverse frequency, or sampling, so that
    classes are drawn equally often."""
    student_augment: str = "none"
    """How views are worsened that this model alone sees, such as strays,holes,noise,sparse,mute."""
    outliers: float = 0.0
    """Weight of the loss by which it learns that views of nothing are unknown; 0 for none."""
    scaling: Scaling = "robust"
    """Channels beside xyz: less their median, by their interquartile range; none: as they are."""
    seed: int = 0
    """Seed of weights, order, augmentation and validation part."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: Precision = "auto"
    """auto: bf16-mixed on a GPU that computes in it, else 32-true."""
    threads: int = 0
    """CPU threads; 0 for torch's own choice."""
    save_minutes: float = 2.0
    """Resume state is saved after every epoch and this often inside one, in minutes."""
    logger: LoggerName = "none"
    """Write each epoch's metrics for another reader as well, into the run folder."""

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seed(self.seed)
        check_seed(self.label_seed, "label_seed")
        least = {"epochs": 1, "points": 16, "batch_size": 2, "window": 1, "limit": 1}
        least |= dict.fromkeys(("weight_decay", "clip", "threads", "save_minutes"), 0)
        for name, bound in least.items():
            value = getattr(self, name)
            require(
                value is None or value >= bound, f"{name} is {value}", f"choose {bound} or more"
            )
        require(self.outliers >= 0, f"outliers is {self.outliers}", "choose 0 or more")
        for name in ("warmup", "val", "ema"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} is {value}", "choose 0 to below 1")
        one_of(Precision, "precision", self.precision)
        one_of(Keep, "keep", self.keep)
        one_of(Scaling, "scaling", self.scaling)
        one_of(Measure, "measure", self.measure)
        one_of(Balance, "balance", self.balance)
        one_of(LoggerName, "logger", self.logger)
        share = self.label_share
        require(0 < share <= 1, f"label_share is {share}", "choose above 0 to 1")
        require(
            self.learning_rate > 0, f"learning_rate is {self.learning_rate}", "choose one above 0"
        )
        require(
            self.keep == "last" or self.val > 0,
            "keep is best, which validation tells, and val is 0",
            "choose a val above 0",
        )

    def entries(self) -> dict[str, Any]:
        """What `recipe.yaml` keeps, by name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainRecipe(FitOptions, LabelOptions):
    """Training from labels alone: teachers and baselines."""

    augment: str = "scale,shift"
    """Operations on each fresh view, such as scale,rotate(axis=up),jitter; none for none."""

    def __post_init__(self) -> None:
        FitOptions.__post_init__(self)
        LabelOptions.__post_init__(self)


def _with_loss_entries(recipe: type[T]) -> type[T]:
    """The class with the entries of all losses; its own `loss` is the default."""
    entries = loss_entries(vars(recipe)["loss"])
    same = {name: getattr(recipe, name) for name in ("__module__", "__qualname__", "__doc__")}
    made: type[T] = make_dataclass(
        recipe.__name__, entries, bases=(recipe,), namespace=same, frozen=True, kw_only=True
    )
    return made


@_with_loss_entries
@dataclass(frozen=True, kw_only=True)
class DistillRecipe(FitOptions):
    """Training a student from records; the views are the recorded ones.

    Beside these entries it has every option of `losses.options` by name (`alpha`, `temperature`
    and so on). One that is None is not said: the loss has a default, or does not use it.
    """

    loss: str = "kd"
    """What the student learns from: a name in `LOSSES`."""

    if TYPE_CHECKING:

        def __init__(self, **entries: Any) -> None: ...

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.loss_options  # checks them

    @property
    def loss_options(self) -> LossOptions:
        """The options of the loss, as said or by default.

        Raises:
            UsageError: one makes no sense, or is said and not used by the loss.
        """
        require(self.loss in LOSSES, f"loss is {self.loss!r}", f"choose from {', '.join(LOSSES)}")
        said = {}
        for name, by in users().items():
            if (value := getattr(self, name, None)) is None:
                continue
            if self.loss not in by:
                raise UsageError(
                    f"{name} is {value}, and loss {self.loss} does not use it",
                    fix=f"leave it out, or choose loss {' or '.join(by)}",
                )
            said[name] = value
        return LOSSES[self.loss].options(**said)

    def entries(self) -> dict[str, Any]:
        """What `recipe.yaml` keeps, by name: of the losses' options, those that this loss uses."""
        options = users()
        own = {name: value for name, value in asdict(self).items() if name not in options}
        return own | asdict(self.loss_options)


def of_its_loss(entries: dict[str, Any], loss: str | None = None) -> dict[str, Any]:
    """The entries of a recipe file, without options that its loss does not use.

    Args:
        entries: of the file.
        loss: one that takes the place of the file's.
    """
    options, loss = users(), str(loss or entries.get("loss") or DistillRecipe.loss)
    return {n: value for n, value in entries.items() if n not in options or loss in options[n]}


def decisive(entries: dict[str, Any]) -> dict[str, Any]:
    """The entries of a `recipe.yaml`, old or new, that tell two runs apart.

    One that is lacking counts as the value that reproduces what the version without it did; an
    option that the loss does not use does not count.
    """
    if "student" not in entries:
        return {each.name: each.default for each in fields(TrainRecipe)} | entries
    known: dict[str, Any] = {each.name: each.default for each in fields(FitOptions)}
    known |= ABSENT | entries
    used, options = defaults(known["loss"]), users()
    return {n: value for n, value in (used | known).items() if n in used or n not in options}


@dataclass(frozen=True, kw_only=True)
class RecordRecipe:
    """What is recorded of a teacher, and how it is stored; an estimate is of the same."""

    views: int = 20
    """Augmentation draws of each shape."""
    augment: str = "scale,shift"
    """Operations, such as mix,scale,shift,rotate(axis=up),mirror,jitter,dropout; none for none."""
    points: int | None = None
    """Points per view; by default what the teacher was trained with, or 1,024."""
    limit: int | None = None
    """Record this many shapes only (stratified); train students with the same limit."""
    seed: int = 0
    """Seed of the augmentation."""
    batch_size: int = 16
    """Views the teacher sees at once; a store keeps the number it was made with."""
    codec: str = "float16"
    """How logits are stored: float16, int8 (half the bytes), or topk:16 for hundreds of classes."""
    keyed: bool = False
    """Draw the augmentation's parameters again in training instead of storing them."""

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seed(self.seed)
        for name in ("views", "batch_size", "points", "limit"):
            value = getattr(self, name)
            unsaid = value is None and name in ("points", "limit")
            require(
                unsaid or (value is not None and value >= 1),
                f"{name} is {value}",
                "choose 1 or more",
            )
