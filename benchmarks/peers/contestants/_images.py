"""What the contestants that read image files share: a data set, a stream of episodes, a training loop."""

from __future__ import annotations

import abc
import pathlib
from typing import Any

import numpy as np
import torch
from _serve import Setting, Work
from _torch import apply, make_net, synchronize
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Episode = tuple[Tensor, Tensor, Tensor, Tensor]
"""Support images and labels, query images and labels."""

CHECKED_EPISODES = 40


class Characters(Dataset):
    """Omniglot's PNG files as `(image, label)`: opened, scaled to 28x28 with Lanczos, float32 `[1, 28, 28]`, strokes light.

    Args:
        folder: `<alphabet>/<character>/<drawing>.png`.
        rotations: every class four times, turned by 0, 90, 180 and 270 degrees.
        memory: decode everything once.
    """

    def __init__(self, folder: str, rotations: bool, memory: bool = False) -> None:
        classes = sorted(path for path in pathlib.Path(folder).glob("*/*") if path.is_dir())
        turns = 4 if rotations else 1
        self.items = [
            (str(file), quarter, quarter * len(classes) + index)
            for quarter in range(turns)
            for index, path in enumerate(classes)
            for file in sorted(path.glob("*.png"))
        ]
        self.images = torch.stack([self._read(index) for index in range(len(self.items))]) if memory else None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._read(index) if self.images is None else self.images[index]
        return image, self.items[index][2]

    def get_labels(self) -> list[int]:
        return [label for _, _, label in self.items]

    def _read(self, index: int) -> Tensor:
        file, quarter, _ = self.items[index]
        with Image.open(file) as opened:
            small = opened.convert("L").resize((28, 28), Image.Resampling.LANCZOS)
        pixels = np.rot90(np.asarray(small, dtype=np.float32), quarter)
        return torch.from_numpy(1 - pixels / 255).unsqueeze(0)


class Episodes(abc.ABC):
    """A job that draws episodes; a contestant says how its library loads them."""

    tasks = 1

    def __init__(self, work: Work, variant: str, setting: Setting) -> None:
        self.work, self.workers = work, setting["workers"]
        self.stream = iter(self.loader(work, variant, self.workers))

    @abc.abstractmethod
    def loader(self, work: Work, variant: str, workers: int) -> DataLoader:
        """Batches that are episodes."""

    @abc.abstractmethod
    def split(self, batch: Any, work: Work) -> Episode:
        """Return an episode made of a batch."""

    def draw(self) -> Episode:
        return self.split(next(self.stream), self.work)

    def before(self) -> None:
        """Workers prepare two batches each ahead, in time that is not measured: leave them out."""
        for _ in range(2 * self.workers):
            next(self.stream)

    def step(self) -> None:
        self.draw()

    def check(self) -> dict[str, np.ndarray]:
        names = ("support_x", "support_y", "query_x", "query_y")
        return {name: part.numpy() for name, part in zip(names, self.draw(), strict=True)}


class PrototypeTraining(abc.ABC):
    """Episode, loss, Adam step; a contestant says what the loss is."""

    tasks = 1

    def __init__(self, work: Work, setting: Setting, episodes: Episodes) -> None:
        apply(setting)
        torch.manual_seed(work["seed"])
        self.work, self.setting, self.episodes = work, setting, episodes
        self.net = make_net(work, setting, with_head=False).train()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        self.last = 0.0

    @abc.abstractmethod
    def loss(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        """Cross-entropy of the queries."""

    def before(self) -> None:
        self.episodes.before()

    def step(self) -> None:
        loss = self.loss(*self.episodes.draw())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.last = loss.item()
        synchronize()

    def check(self) -> dict[str, np.ndarray]:
        if self.work["kind"] == "race":
            return {name: value.detach().contiguous().cpu().numpy() for name, value in self.net.named_parameters()}
        losses = []
        for _ in range(CHECKED_EPISODES):
            self.step()
            losses.append(self.last)
        return {"loss": np.array(losses)}
