"""easyfsl: `TaskSampler` in a DataLoader, and `PrototypicalNetworks` as in its notebook on episodic training."""
# pyright: reportMissingImports=false

from __future__ import annotations

import functools

import torch.nn.functional as F
from _images import Characters, Episode, Episodes, PrototypeTraining
from _serve import Job, Setting, Unsupported, Work, serve
from _torch import to_device, torch_settings
from easyfsl.methods import PrototypicalNetworks
from easyfsl.samplers import TaskSampler
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

# its sampler hands torch's an argument that torch no longer takes
Sampler.__init__ = lambda self, data_source=None: None  # pyright: ignore[reportAttributeAccessIssue]


class Tasks(Episodes):
    """Images read whenever they are asked for (as in its `EasySet`), or once (as in its `MiniImageNet(load_on_ram=True)`)."""

    def loader(self, work: Work, variant: str, workers: int) -> DataLoader:
        dataset = characters(work["images"], work["kind"] == "sampling", variant == "memory")
        sampler = TaskSampler(dataset, n_way=work["ways"], n_shot=work["shots"], n_query=work["queries"], n_tasks=1_000_000)
        return DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=sampler.episodic_collate_fn)

    def split(self, batch: tuple[Tensor, Tensor, Tensor, Tensor, list[int]], work: Work) -> Episode:
        return batch[:4]


class ProtoNet(PrototypeTraining):
    """Two passes, one for each set, and distances that are not squared: that is the library's choice."""

    def loss(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        classifier = PrototypicalNetworks(self.net)
        classifier.process_support_set(to_device(support_x, self.setting), to_device(support_y, self.setting))
        return F.cross_entropy(classifier(to_device(query_x, self.setting)), to_device(query_y, self.setting))


@functools.cache
def characters(folder: str, rotations: bool, memory: bool) -> Characters:
    return Characters(folder, rotations, memory)


def settings(work: Work, variant: str) -> list[Setting]:
    if work["kind"] == "sampling":
        return [{"workers": 0}, {"workers": 2}]
    if work["kind"] in ("protonet", "race"):
        return [chosen | {"workers": workers} for chosen in torch_settings(work) for workers in (0, 2)]
    raise Unsupported("easyfsl has no MAML")


def build(work: Work, variant: str, setting: Setting) -> Job:
    episodes = Tasks(work, variant, setting)
    return episodes if work["kind"] == "sampling" else ProtoNet(work, setting, episodes)


if __name__ == "__main__":
    serve(settings, build, ("torch", "easyfsl"))
