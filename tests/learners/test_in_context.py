"""The in-context learner: its transformer against torch's, and what a query may see."""

from __future__ import annotations

import numpy as np
import torch
from builders import apart, make_learner, make_tasks
from exports import shipped
from torch import nn

from quickstudy.export.measure import logits
from quickstudy.layers.transformer import Block
from quickstudy.learners.in_context import InContext
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples


def test_a_block_is_torchs_encoder_layer() -> None:
    torch.manual_seed(0)
    block = Block(width=8, heads=2).double()
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", norm_first=True, batch_first=True).double()
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(torch.cat([block.ask.weight, block.key.weight, block.value.weight]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([block.ask.bias, block.key.bias, block.value.bias]))
        pairs = {"self_attn.out_proj": block.out, "linear1": block.think[0], "linear2": block.think[2]}
        for name, linear in pairs.items():
            layer.get_submodule(name).load_state_dict(linear.state_dict())
    rows, weight = torch.randn(5, 8).double(), torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    expected = layer(rows.unsqueeze(0), src_key_padding_mask=(weight == 0).unsqueeze(0))[0]
    assert apart(block(rows, rows, weight), expected) < 1e-12


def test_queries_do_not_see_each_other_and_the_support_set_sees_none() -> None:
    learner, task = make_learner("in_context", blocks=3), make_tasks()[0]
    state = learner.adapt(task.support)
    together = learner.predict(state, task.query.x)
    alone = torch.cat([learner.predict(state, x.unsqueeze(0)) for x in task.query.x])
    assert apart(together, alone) < 1e-12


def test_examples_read_each_other() -> None:
    """What the transformer makes of an example depends on the others, and by the learned bias on who is of its class."""
    learner, task = make_learner("in_context", blocks=2), make_tasks()[0]
    assert isinstance(learner, InContext)
    one = learner.adapt(task.support)["made"]
    regrouped = Examples(task.support.x, OneHot(task.support.y.rows[task.support.y.labels.argsort()]))
    other = learner.adapt(regrouped)["made"]
    assert torch.equal(one[0], other[0])  # before the first block an example is alone
    assert float((one[1] - other[1]).detach().abs().max()) > 1e-6


def test_several_blocks_are_exported() -> None:
    learner, task = make_learner("in_context", dtype=torch.float32, blocks=2), make_tasks(dtype=torch.float32)[0]
    with torch.no_grad():
        expected = learner.predict(learner.adapt(task.support), task.query.x)
    found = logits(shipped("in_context", blocks=2), task.support, task.query.x)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
