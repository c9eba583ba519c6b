"""learn2learn: `MAML.clone` and `adapt` as in its examples; its tasksets and its ProtoNet example for image files."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable

import learn2learn as l2l
import numpy as np
import torch
import torch.nn.functional as F
from _images import Characters, Episode, Episodes, PrototypeTraining
from _serve import Job, Setting, Work, serve
from _torch import Loop, to_device, torch_settings
from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Learn2Learn(Loop):
    """examples/vision/maml_omniglot.py, and for ANIL examples/vision/anil_fc100.py."""

    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        if self.work["learner"] == "anil":
            features, head = self.net.body(x), self._clone(self.net.head)
            for _ in range(self.steps):
                head.adapt(self.criterion(head(features), y))
            return lambda query: head(self.net.body(query))
        learner = self._clone(self.net)
        for _ in range(self.steps):
            learner.adapt(self.criterion(learner(x), y))
        return learner

    def _clone(self, module: nn.Module) -> l2l.algorithms.MAML:
        return l2l.algorithms.MAML(module, lr=self.lr, first_order=self.first_order).clone()


class Tasks(Episodes):
    """A Taskset as in its Omniglot benchmark, in the DataLoader of its ProtoNet example."""

    def loader(self, work: Work, variant: str, workers: int) -> DataLoader:
        dataset = characters(work["images"], work["kind"] == "sampling", variant == "memory")
        transforms = [
            FusedNWaysKShots(dataset, n=work["ways"], k=work["shots"] + work["queries"]),
            LoadData(dataset),
            RemapLabels(dataset),
            ConsecutiveLabels(dataset),
        ]
        tasks = l2l.data.Taskset(dataset, task_transforms=transforms, num_tasks=20000)
        return DataLoader(tasks, shuffle=True, num_workers=workers)

    def split(self, batch: list[Tensor], work: Work) -> Episode:
        """Take the first `shots` of every class as its support set (examples/vision/protonet_miniimagenet.py)."""
        data, labels = batch[0].squeeze(0), batch[1].squeeze(0)
        order = torch.sort(labels).indices
        data, labels = data[order], labels[order]
        first = np.arange(len(labels)) % (work["shots"] + work["queries"]) < work["shots"]
        support, query = torch.from_numpy(first), torch.from_numpy(~first)
        return data[support], labels[support], data[query], labels[query]


class ProtoNet(PrototypeTraining):
    """examples/vision/protonet_miniimagenet.py: one pass over both sets, squared distances."""

    def loss(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        embeddings = self.net(to_device(torch.cat([support_x, query_x]), self.setting))
        support, query = embeddings[: len(support_x)], embeddings[len(support_x) :]
        prototypes = support.reshape(self.work["ways"], self.work["shots"], -1).mean(dim=1)
        n, m = len(query), len(prototypes)
        distances = ((query.unsqueeze(1).expand(n, m, -1) - prototypes.unsqueeze(0).expand(n, m, -1)) ** 2).sum(dim=2)
        return F.cross_entropy(-distances, to_device(query_y, self.setting))


_datasets: dict[tuple[str, bool, bool], l2l.data.MetaDataset] = {}


def characters(folder: str, rotations: bool, memory: bool) -> l2l.data.MetaDataset:
    """Return the image files, read whenever they are asked for, or once (`OnDeviceDataset`)."""
    key = (folder, rotations, memory)
    if key not in _datasets:
        files = Characters(folder, rotations)
        labels = dict(enumerate(files.get_labels()))
        images = l2l.data.OnDeviceDataset(files) if memory else files
        _datasets[key] = l2l.data.MetaDataset(images, indices_to_labels=labels)
    return _datasets[key]


def settings(work: Work, variant: str) -> list[Setting]:
    if work["kind"] == "sampling":
        return [{"workers": 0}, {"workers": 2}]
    if work["kind"] in ("protonet", "race"):
        return [chosen | {"workers": workers} for chosen in torch_settings(work) for workers in (0, 2)]
    return torch_settings(work)


def build(work: Work, variant: str, setting: Setting) -> Job:
    if work["kind"] == "sampling":
        return Tasks(work, variant, setting)
    if work["kind"] in ("protonet", "race"):
        return ProtoNet(work, setting, Tasks(work, variant, setting))
    return Learn2Learn(work, variant, setting)


if __name__ == "__main__":
    serve(settings, build, ("torch", "learn2learn"))
