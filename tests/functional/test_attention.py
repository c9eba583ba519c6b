"""Attention against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from quickstudy.functional.attention import attend


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("biased", [False, True])
def test_attention_is_torchs(heads: int, biased: bool) -> None:
    queries, keys, values = (torch.randn(count, 6, dtype=torch.float64) for count in (4, 5, 5))
    weight = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
    bias = torch.randn(heads, 4, 5, dtype=torch.float64) if biased else None
    parts = [rows.view(len(rows), heads, -1).transpose(0, 1) for rows in (queries, keys, values)]
    hidden = torch.zeros(heads, 4, 5, dtype=torch.float64).masked_fill(weight == 0, -torch.inf)
    expected = F.scaled_dot_product_attention(*parts, attn_mask=hidden if bias is None else hidden + bias)
    torch.testing.assert_close(
        attend(queries, keys, values, weight, heads, bias), expected.transpose(0, 1).flatten(1), rtol=1e-12, atol=1e-12
    )


def test_each_of_a_batch_has_keys_of_its_own() -> None:
    queries, keys, values = (torch.randn(3, count, 4, dtype=torch.float64) for count in (2, 5, 5))
    weight = torch.tensor([[1.0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.float64)
    together = attend(queries, keys, values, weight, heads=2)
    for one in range(3):
        alone = attend(queries[one], keys[one], values[one], weight[one], heads=2)
        torch.testing.assert_close(together[one], alone, rtol=1e-12, atol=1e-12)
