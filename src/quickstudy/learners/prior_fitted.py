"""A prior-fitted network for tables: a transformer whose tokens are cells, trained on synthetic tables, which reads a table in one pass.

Muller, Hollmann, Arango, Grabocka and Hutter 2022, "Transformers Can Do Bayesian Inference", section 3: trained on tasks that are drawn
from a prior, it predicts as if it had averaged over all that the prior holds. Hollmann et al. 2025, "Accurate predictions on small data
with a tabular foundation model": a token for each cell, attention over the columns of a row and then over the rows of a column; queries
read the support set and never each other. From Qu, Holzmuller, Varoquaux and Le Morvan 2026, "TabICLv2: A better, faster, scalable, and
open tabular foundation model", come several columns in a token, so that columns alike can be told apart. As this makes their order
matter, answers may be averaged over several orders, in which columns are seen by their values and by their ranks in turn (Hollmann et
al.). From Shazeer 2019, "Fast Transformer Decoding", come keys and values that all heads share, so that the state stays small.

Deviations: classes are numbered by the mean of their examples, and a query is compared with the examples of each class besides, so that the
names of classes do not matter and any number of them fits. Values are scaled by the support set; the answer is a mean of those of its
examples, weighted by how alike the query is to each, and a correction by the network. Columns are the features of a net, for tables
`identity`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.functional.classes import class_means, hide_absent
from quickstudy.functional.looking import may_look
from quickstudy.functional.loop import scan
from quickstudy.layers.cells import CellBlock
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_task, read_out, remembered
from quickstudy.learners._weights import counted
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input, Task

TOKEN = {"beside": (0, 1, 3)}
"""Columns that share a token, by their distance from the first of them (Qu et al. 2026; each pair of columns shares at most one token)."""
ORDERS = {"prime": 32_771, "step": 7_919}
"""Columns are mixed by `(place + step * order) ** 3 % prime`, which differs for all places, as three is no divisor of `prime - 1`."""

ALONE = {"rows": 8}
"""Rows of zeros that are asked about beside the others: products of one or two rows add up in another order than those of more, so that a
row would be answered a little differently alone and among others."""


@dataclasses.dataclass(eq=False, repr=False)
class PriorFitted(EmbeddingLearner):
    """State: features, answers and weights of every support example, how often each way was seen (of values: their mean and spread), the
    number that each way goes by, what a query reads in each block (keys and values of the examples and of the thinking rows), and what it
    is compared with in the end.

    A learner is trained either for classes or for values; its weights have the same shapes in both cases.

    Args:
        net: the embedding, `[example, ...]` to `[example, column]`; the columns that are zero in the whole support set at the end of its
            rows are taken for padding.
        width: numbers per token, a multiple of `heads`.
        blocks: blocks of the transformer, at least 1.
        heads: heads of attention, which share their keys and values.
        thoughts: rows without an example, which leave room to think.
        codes: numbers of classes that have an embedding of their own; more classes share them. For values, the most that
            an example may have.
        orders: orders of the columns in which a table is read, one after another; answers are means over them, of probabilities or of
            values. Every second time, values are replaced by their ranks among those of the support set, so that outliers matter less.
            States and seconds grow with the orders, memory does not. Training reads one order, whatever this is.
    """

    width: int = 96
    blocks: int = 4
    heads: int = 4
    thoughts: int = 8
    codes: int = 10
    orders: int = 1

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    any_columns: ClassVar[bool] = True
    meta_optimizer: ClassVar[Mapping[str, Any]] = {"optimizer": "muon", "lr": 4e-3, "schedule": "linear"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("blocks", "heads", "thoughts", "codes", "orders"):
            check_at_least(name, getattr(self, name), 1)
        if self.width < 1 or self.width % self.heads:
            raise ConfigError(f"width is {self.width}; expected a multiple of heads, which is {self.heads}.")
        self.cell = nn.Sequential(nn.Linear(len(TOKEN["beside"]), self.width), nn.ReLU(), nn.Linear(self.width, self.width))
        self.label = nn.Linear(self.codes, self.width)
        self.asked = nn.Parameter(0.1 * torch.randn(self.width))
        self.thought = nn.Parameter(0.1 * torch.randn(self.thoughts, self.width))
        self.layers = nn.ModuleList(CellBlock(self.width, self.heads) for _ in range(self.blocks))
        self.final = nn.LayerNorm(self.width)
        self.decode = nn.Sequential(nn.Linear(self.width, 2 * self.width), nn.ReLU(), nn.Linear(2 * self.width, self.codes))
        self.ask, self.key = nn.Linear(self.width, self.width), nn.Linear(self.width, self.width)

    def learn(self, features: Float[Tensor, "example column"], support: Examples, state: State | None) -> State:
        known, counts = _without_padding(remembered(features, support, state)), counted(support, state)
        used, rows = _used(known["features"], known["weight"])
        about = {**counts, **self._coded(rows, known, counts)}

        def read(rows: Tensor, used: Tensor) -> State:
            found, keys = self._passed(self._begun(rows, _codes(known, about), known["weight"]), used, known["weight"])
            parts = {f"examples.{place}": part[:, self.thoughts :] for place, part in enumerate(keys)}
            parts |= {f"thoughts.{place}": part[:, : self.thoughts] for place, part in enumerate(keys)}
            return {"answers": self._compared(found[self.thoughts :], known, counts), **parts}

        if self.orders == 1:
            return {**known, **about, "used": used, **read(rows, used)}
        both = torch.stack([rows, _ranked(rows, rows, known["weight"])])
        _, parts = scan(lambda _, used, view: (used, read(_seen(both, view), used)), used, _views(used, self.orders))
        return {**known, **about, "used": used, **parts}

    def answer(self, state: State, features: Float[Tensor, "example column"]) -> Float[Tensor, "example output"]:
        rows = features[:, : state["used"].shape[0]] * state["used"]
        if self.orders == 1:
            return self._answered(self._asking(rows, state), state)
        several = {name: part for name, part in state.items() if name.partition(".")[0] in ("answers", "examples", "thoughts")}

        rows = F.pad(rows, (0, 0, 0, ALONE["rows"]))
        both = torch.stack([rows, _ranked(rows, state["features"][:, : rows.shape[1]], state["weight"])])

        def ask(_: Any, total: Tensor, one: tuple[Any, State]) -> tuple[Tensor, tuple[()]]:
            view, parts = one
            found = self._answered(self._asking(_seen(both, view), {**state, **parts}), {**state, **parts})
            return total + (found.softmax(-1) if "counts" in state else found) / self.orders, ()  # sums of all would round more

        begun = rows.new_zeros(rows.shape[0], state["names"].shape[0])
        mean = scan(ask, begun, (_views(state["used"], self.orders), several))[0][: features.shape[0]]
        return hide_absent(mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), state["counts"]) if "counts" in state else mean

    @property
    def most_values(self) -> int:
        return self.codes

    def features(self, x: Input, mask: Bool[Tensor, " example"] | None) -> Float[Tensor, "example column"]:
        """Return the columns; in an exported learner there may be fewer than the net says, as it is given no columns of padding."""
        return super().features(x, mask) if may_look() else self.net(x)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return the loss of the query set with columns in their own order; both sets pass together, in half as many operations."""
        task = self.matched(task)
        features, query = embed_task(self.net, task)
        known, counts = _without_padding(remembered(features, task.support, None)), counted(task.support, None)
        used, rows = _used(known["features"], known["weight"])
        about = {**counts, **self._coded(rows, known, counts)}
        cells = torch.cat(
            [self._begun(rows, _codes(known, about), known["weight"]), self._asked(query[:, : used.shape[0]] * used)], 1
        )
        found, _ = self._passed(cells, used, known["weight"])
        first = self.thoughts + rows.shape[0]
        answers = self._compared(found[self.thoughts : first], known, counts)
        prediction = self._answered(found[first:], {**known, **about, "answers": answers})
        return task.query.y.loss(prediction, task.query.weight)

    def _coded(self, rows: Float[Tensor, "example column"], known: State, counts: State) -> State:
        """Return the number that each way goes by, one-hot; for values, that of each value, and their mean and spread."""
        if counts:
            return {"names": _numbered(rows, known["y"], counts["counts"], self.codes)}
        y, weight = known["y"], known["weight"].unsqueeze(-1)
        if isinstance(y.shape[1], int) and y.shape[1] > self.codes:  # in a graph of any number, who runs it asks `most_values`
            raise ConfigError(
                f"codes is {self.codes}, but each example has {y.shape[1]} values; train a learner with --learner.codes {y.shape[1]}, or "
                "ask for fewer values."
            )
        total = weight.sum().clamp(min=1.0)
        mean = (y * weight).sum(0) / total
        away = (y - mean) * weight
        most = away.abs().amax(0)
        most = torch.where(most > 0, most, 1.0)  # squares of very large and of very small numbers are no numbers
        spread = most * (away / most).square().sum(0).div(total).sqrt()
        places = torch.arange(y.shape[1], device=y.device).unsqueeze(1)
        names = (places == torch.arange(self.codes, device=y.device)).to(y.dtype)
        return {"names": names, "mean": mean, "spread": torch.where(spread > 0, spread, 1.0)}

    def _begun(
        self, rows: Float[Tensor, "example column"], codes: Float[Tensor, "example code"], weight: Float[Tensor, " example"]
    ) -> Float[Tensor, "column+1 thoughts+example width"]:
        """Return the tokens of the thinking rows, and those of the support set."""
        tokens = self._tokens(rows, self.label(codes) * weight.unsqueeze(-1))
        return torch.cat([self.thought.expand(tokens.shape[0], -1, -1), tokens], 1)

    def _asked(self, rows: Float[Tensor, "example column"]) -> Float[Tensor, "column+1 example width"]:
        """Return the tokens of queries."""
        return self._tokens(rows, self.asked.expand(rows.shape[0], -1))

    def _asking(self, rows: Float[Tensor, "example column"], state: State) -> Float[Tensor, "example width"]:
        """Return the tokens of the answers of queries after all blocks."""
        read = [torch.cat([state[f"thoughts.{at}"], state[f"examples.{at}"]], 1) for at in range(self.blocks)]
        return self._passed(self._asked(rows), state["used"], state["weight"], read)[0]

    def _tokens(
        self, rows: Float[Tensor, "row column"], labels: Float[Tensor, "row width"]
    ) -> Float[Tensor, "column+1 row width"]:
        """Return the tokens of rows: that of the answer, and one for each column and those beside it, to which the answer is added too."""
        count = rows.shape[1]
        wide = F.pad(rows, (0, max(TOKEN["beside"])))
        beside = torch.stack([wide[:, start : start + count] for start in TOKEN["beside"]], -1)
        return torch.cat([labels.unsqueeze(0), self.cell(beside).transpose(0, 1) + labels])

    def _passed(
        self,
        cells: Float[Tensor, "token row width"],
        used: Float[Tensor, " column"],
        weight: Float[Tensor, " example"],
        read: Sequence[Tensor] = (),
    ) -> tuple[Float[Tensor, "row width"], list[Tensor]]:
        """Return the tokens of the answers after all blocks, and what rows read in each: thinking rows, and the support set.

        Args:
            cells: tokens of the rows; those to be read come first.
            used: 0 for columns of padding.
            weight: 0 for padding of the support set.
            read: keys and values of each block, of rows that are not among the cells.
        """
        there = torch.cat([torch.ones_like(used[:1]), used])
        weight = torch.cat([torch.ones_like(self.thought[:, 0]), weight])
        made = []
        for place, layer in enumerate(self.layers):
            assert isinstance(layer, CellBlock)
            cells = layer.across(cells, there)
            if place == self.blocks - 1:
                cells = cells[:1]  # only the answers are read from here on
            made.append(read[place] if read else layer.keys(cells[:, : weight.shape[0]]))
            cells = layer.down(cells, made[-1], weight)
        return self.final(cells[0]), made

    def _compared(self, found: Float[Tensor, "example width"], known: State, counts: State) -> Float[Tensor, "compared width"]:
        """Return what queries are compared with, after all blocks: the mean of each class, or every example if answers are values."""
        return self.key(class_means(known["y"].t() @ found, counts["counts"]) if counts else found)

    def _answered(self, found: Float[Tensor, "row width"], state: State) -> Float[Tensor, "row output"]:
        """Return how well each way fits each row, by the number that it goes by and by its examples; or the values of each row."""
        alike = self.ask(found) @ state["answers"].t() / self.width**0.5
        own = self.decode(found) @ state["names"].t()
        if "counts" in state:
            return hide_absent(own + alike, state["counts"])
        read = read_out(alike, {"y": _scaled(state), "weight": state["weight"]})
        return (read + own) * state["spread"] + state["mean"]


def _codes(known: State, about: State) -> Float[Tensor, "example code"]:
    """Return the answers of the support set as the network gets them: numbers of classes, or scaled values."""
    return (known["y"] if "counts" in about else _scaled({**known, **about})) @ about["names"]


def _scaled(state: State) -> Float[Tensor, "example value"]:
    """Return the values of the support set, of which each has mean 0 and standard deviation 1."""
    return (state["y"] - state["mean"]) / state["spread"]


def _without_padding(known: State) -> State:
    """Return what is remembered of the support set without padding, if it may be looked at; padding takes as much time as examples."""
    there = known["weight"] > 0
    if not may_look() or not bool(there.any()):
        return known
    return {name: value[there] for name, value in known.items()}


def _orders(used: Float[Tensor, " column"], orders: int) -> Float[Tensor, "order column column"]:
    """Return matrices that put the columns of rows into several orders, of which the first is their own; padding is last in each."""
    prime, places = ORDERS["prime"], torch.arange(used.shape[0], device=used.device)
    begun = (places + ORDERS["step"] * torch.arange(1, orders, device=used.device).unsqueeze(1)) % prime
    mixed = begun * begun % prime * begun % prime  # no product is beyond whole numbers of 32 bits
    keys = torch.cat([places.unsqueeze(0), mixed]) + prime * (used == 0)
    ranks = (keys.unsqueeze(1) < keys.unsqueeze(2)).sum(2)  # [order, column]
    return (ranks.unsqueeze(2) == places).to(used.dtype)


def _views(used: Float[Tensor, " column"], orders: int) -> tuple[Tensor, Tensor]:
    """Return how a table is read each time: the order of its columns, and 1 where ranks stand in place of values, which is every second."""
    return _orders(used, orders), (torch.arange(orders, device=used.device) % 2).to(used.dtype)


def _seen(both: Float[Tensor, "2 row column"], view: tuple[Tensor, Tensor]) -> Float[Tensor, "row column"]:
    """Return rows as one reading has them."""
    (order, by_rank), (rows, ranked) = view, both
    return (rows + by_rank * (ranked - rows)) @ order


def _ranked(
    rows: Float[Tensor, "row column"], examples: Float[Tensor, "example column"], weight: Float[Tensor, " example"]
) -> Float[Tensor, "row column"]:
    """Return where values lie among those of the examples, whose places have mean 0 and standard deviation 1, so that none is far away.

    A place is the logit of the share of examples with smaller values; those with the same value count half.
    """
    total = weight.sum().clamp(min=1.0)

    def places(rows: Tensor) -> Tensor:
        above = ((rows.unsqueeze(1) - examples.unsqueeze(0)).sign() * weight.unsqueeze(1)).sum(1) / (total + 1)  # from -1 to 1
        return ((1 + above) / (1 - above)).log()

    known = places(examples)
    mean = (known * weight.unsqueeze(1)).sum(0) / total
    spread = ((known - mean).square() * weight.unsqueeze(1)).sum(0).div(total).sqrt()
    return (places(rows) - mean) / torch.where(spread > 0, spread, 1.0)


def _used(
    features: Float[Tensor, "example column"], weight: Float[Tensor, " example"]
) -> tuple[Float[Tensor, " used"], Float[Tensor, "example used"]]:
    """Return 1 for each column up to the last that has a number in the support set, and the examples with zeros in all others.

    The others are cut off if their number may be looked at, as long tables of few columns would else take the time of many.
    """
    there = (features * weight.unsqueeze(-1)).abs().amax(0) > 0
    places = torch.arange(features.shape[1], device=features.device)
    last = (places * there).amax(0)
    used = (places <= last).to(features.dtype)
    if may_look():
        used = used[: int(last) + 1]
    return used, features[:, : used.shape[0]] * used


def _numbered(
    rows: Float[Tensor, "example column"], y: Float[Tensor, "example way"], counts: Float[Tensor, " way"], codes: int
) -> Float[Tensor, "way code"]:
    """Return the number that each way goes by, one-hot: its rank by the mean sum of its examples, whatever its own name.

    Ways without examples come last. More ways than codes begin again at the first.
    """
    means = torch.where(counts > 0, y.t() @ rows.sum(1) / counts.clamp(min=1.0), torch.inf)
    places = torch.arange(means.shape[0], device=means.device)
    before = (means.unsqueeze(0) < means.unsqueeze(1)) | (
        (means.unsqueeze(0) == means.unsqueeze(1)) & (places.unsqueeze(0) < places.unsqueeze(1))
    )
    ranks = before.sum(1) % codes
    return (ranks.unsqueeze(1) == torch.arange(codes, device=means.device)).to(means.dtype)
