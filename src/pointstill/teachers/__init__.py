"""Teachers: any way in leads to a `Teacher`, clouds to logits in the data's class order."""

from .ensemble import Ensemble
from .interface_detection import batch_dependence
from .load import load_teacher
from .teacher import NetworkTeacher, Teacher
from .votes import Votes

__all__ = ["Ensemble", "NetworkTeacher", "Teacher", "Votes", "batch_dependence", "load_teacher"]
