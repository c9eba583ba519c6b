"""A learner of your own is one class: cosine similarity to the class means. In quickstudy itself it would be learners/cosine.py.

python examples/own_learner.py
"""

import sys

import torch
import torch.nn.functional as F

import quickstudy as qs
from quickstudy.functional.classes import class_sums
from quickstudy.nets.conv4 import Conv4


class Cosine(qs.Learner):
    """Adapt: the direction of each class mean. Predict: the cosine to it, times a learned scale."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.scale = torch.nn.Parameter(torch.tensor(10.0))

    def adapt(self, support, state=None):
        return {"directions": F.normalize(class_sums(self.net(support.x), support.y.rows, support.weight))}

    def predict(self, state, x):
        return self.scale * F.normalize(self.net(x)) @ state["directions"].t()


if __name__ == "__main__":
    torch.manual_seed(0)
    learner = Cosine(Conv4(channels=16, norm="group"))
    letters, digits = qs.load_data("glyphs", "val"), qs.load_data("digits", "all")
    train, test = (qs.ClassTasks(data, ways=5, shots=1, queries=5) for data in (letters, digits))
    before = qs.evaluate(learner, test, count=50)
    qs.fit(learner, train, settings=qs.TrainingSettings(steps=40, tasks_per_step=4))
    after = qs.evaluate(learner, test, count=50)
    sys.stdout.write(f"before {100 * before.mean:.1f} %, after {100 * after.mean:.1f} ± {100 * after.ci95:.1f} %\n")
