"""Attention of linear layers, for what looks for layers: torchvision's keeps its weights in a parameter of its own.

Legend: B images of a batch, T tokens, D their width, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

BLOCK = ("torchvision.models.vision_transformer", "EncoderBlock")  # whose tokens look at themselves, all at all


class SelfAttention(nn.Module):
    """What `nn.MultiheadAttention` computes where a sequence looks at itself without a mask (Vaswani et al. 2017)."""

    def __init__(self, qkv: nn.Module, out: nn.Module, heads: int, dropout: float) -> None:
        """qkv: (…, D) to (…, 3 D), of queries, keys and values; out: (…, D) to (…, D)."""
        super().__init__()
        self.qkv, self.out, self.heads, self.dropout = qkv, out, heads, dropout

    def forward(self, x_BTD: Tensor, *_: Tensor, need_weights: bool = False) -> tuple[Tensor, None]:
        """(B, T, D) to the same, and no weights; keys and values are the queries."""
        q_BHTd, k_BHTd, v_BHTd = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self.qkv(x_BTD).chunk(3, 2)
        )
        share = self.dropout if self.training else 0.0
        seen_BTD = scaled_dot_product_attention(q_BHTd, k_BHTd, v_BHTd, dropout_p=share).transpose(1, 2).flatten(2)
        return self.out(seen_BTD), None


@torch.no_grad()
def open_attention(model: nn.Module) -> nn.Module:
    """Let attention of torchvision's vision transformers be of linear layers, in place, with its weights; return it."""
    for block in model.modules():
        if (type(block).__module__, type(block).__name__) != BLOCK:
            continue
        if isinstance(old := block.self_attention, nn.MultiheadAttention):
            block.self_attention = _opened(old)
    return model


def _opened(old: nn.MultiheadAttention) -> SelfAttention:
    # On no device: it would draw weights that nobody needs.
    qkv = nn.Linear(old.embed_dim, 3 * old.embed_dim, device="meta")
    out = nn.Linear(old.embed_dim, old.embed_dim, device="meta")
    qkv.weight, qkv.bias = old.in_proj_weight, old.in_proj_bias
    out.weight, out.bias = old.out_proj.weight, old.out_proj.bias
    return SelfAttention(qkv, out, old.num_heads, old.dropout).train(old.training)
