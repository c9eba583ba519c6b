"""JAX: no meta-learning library, but what one writes in it today: `jit`, `grad`, and `vmap` over tasks."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _serve import Setting, Work, serve
from jax import lax

Weights = dict[str, jax.Array]

EPS = 1e-5
EVALUATED_AT_ONCE = 20


class Net:
    """The nets of `_torch.py` as functions of their weights, in one of two layouts of images."""

    def __init__(self, work: Work, layout: str) -> None:
        self.net, self.layout = work["net"], layout
        self.channels = (1, -1, 1, 1) if layout == "NCHW" else (1, 1, 1, -1)

    def __call__(self, weights: Weights, x: jax.Array) -> jax.Array:
        return self.head(weights, self.body(weights, x))

    def head(self, weights: Weights, features: jax.Array) -> jax.Array:
        return features @ weights["head.weight"].T + weights["head.bias"]

    def body(self, weights: Weights, x: jax.Array) -> jax.Array:
        if self.net == "mlp":
            for i in range(2):
                x = jax.nn.relu(x @ weights[f"body.linear{i}.weight"].T + weights[f"body.linear{i}.bias"])
            return x
        for i in range(4):
            x = self._convolution(weights[f"body.conv{i}.weight"], x)
            x = jax.nn.relu(self._batch_norm(weights, i, x))
            x = self._pool(x) if self.net == "pool" else x
        x = x if self.layout == "NCHW" else x.transpose(0, 3, 1, 2)
        return x.reshape(len(x), -1)

    def _convolution(self, kernel: jax.Array, x: jax.Array) -> jax.Array:
        stride = (2, 2) if self.net == "stride" else (1, 1)
        kernel = kernel if self.layout == "NCHW" else kernel.transpose(2, 3, 1, 0)
        numbers = ("NCHW", "OIHW", "NCHW") if self.layout == "NCHW" else ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, stride, ((1, 1), (1, 1)), dimension_numbers=numbers)

    def _batch_norm(self, weights: Weights, i: int, x: jax.Array) -> jax.Array:
        axes = (0, 2, 3) if self.layout == "NCHW" else (0, 1, 2)
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        scale = self._wide(weights[f"body.norm{i}.weight"]) * lax.rsqrt(var + EPS)
        return (x - mean) * scale + self._wide(weights[f"body.norm{i}.bias"])

    def _pool(self, x: jax.Array) -> jax.Array:
        """2x2 max-pooling by selection, which has fast derivatives of every order.

        Not by `max` over axes: its gradient goes where the input equals the maximum, and XLA may compute the input anew, rounded
        otherwise, so that it equals it nowhere.
        """
        for axis in (2, 3) if self.layout == "NCHW" else (1, 2):
            even = 2 * (x.shape[axis] // 2)
            first = lax.slice_in_dim(x, 0, even, stride=2, axis=axis)
            second = lax.slice_in_dim(x, 1, even, stride=2, axis=axis)
            x = jnp.where(first >= second, first, second)
        return x

    def _wide(self, values: jax.Array) -> jax.Array:
        return values.reshape(self.channels)


class Compiled:
    """All tasks in one compiled function (`vmap`), or one after the other by a function compiled for one (`loop`)."""

    def __init__(self, work: Work, variant: str, setting: Setting) -> None:
        self.work, self.tasks, self.how = work, work["tasks"], setting["tasks"]
        self.inner_steps = 1 if work.get("trial") else work["inner_steps"]  # compiling takes minutes for more
        self.net = Net(work, setting["layout"])
        self.exact = work.get("dtype") == "float64"
        with np.load(work["weights"]) as weights, jax.enable_x64(self.exact):
            self.weights = {name: self._laid_out(weights[name]) for name in weights}
        with np.load(work["data"]) as data, jax.enable_x64(self.exact):
            self.data = [self._laid_out(data[name][: self.tasks]) for name in ("support_x", "support_y", "query_x", "query_y")]
        function = self._accuracy if work["kind"] == "evaluate" else self._loss
        if self.how == "loop":
            self.measured = jax.jit(function if work["kind"] == "evaluate" else jax.grad(function))
        else:
            mapped = jax.vmap(function, in_axes=(None, 0, 0, 0, 0))
            self.measured = jax.jit(mapped if work["kind"] == "evaluate" else jax.grad(lambda *all_: mapped(*all_).mean()))
        self.result: Any = None

    def before(self) -> None:
        pass

    def step(self) -> None:
        with jax.enable_x64(self.exact):
            self.result = jax.block_until_ready(self._evaluated() if self.work["kind"] == "evaluate" else self._gradient())

    def check(self) -> dict[str, np.ndarray]:
        self.step()
        if self.work["kind"] == "evaluate":
            return {"accuracy": np.asarray(self.result)}
        return {name: np.asarray(value) for name, value in self.result.items()}

    def _gradient(self) -> Weights:
        if self.how == "vmap":
            return self.measured(self.weights, *self.data)
        total = self.measured(self.weights, *(part[0] for part in self.data))
        for i in range(1, self.tasks):
            total = jax.tree.map(jnp.add, total, self.measured(self.weights, *(part[i] for part in self.data)))
        return jax.tree.map(lambda one: one / self.tasks, total)

    def _evaluated(self) -> jax.Array:
        if self.how == "loop":
            return jnp.stack([self.measured(self.weights, *(part[i] for part in self.data)) for i in range(self.tasks)])
        begins = range(0, self.tasks, EVALUATED_AT_ONCE)
        parts = [[part[begin : begin + EVALUATED_AT_ONCE] for part in self.data] for begin in begins]
        return jnp.concatenate([self.measured(self.weights, *part) for part in parts])

    def _laid_out(self, part: np.ndarray) -> jax.Array:
        part = part.astype(np.float64) if self.exact and part.dtype == np.float32 else part
        return jnp.asarray(part.transpose(0, 1, 3, 4, 2) if part.ndim == 5 and self.net.layout == "NHWC" else part)

    def _loss(self, weights: Weights, *task: jax.Array) -> jax.Array:
        return self._criterion(self._output(weights, *task[:3]), task[3])

    def _accuracy(self, weights: Weights, *task: jax.Array) -> jax.Array:
        return (self._output(weights, *task[:3]).argmax(-1) == task[3]).mean()

    def _criterion(self, output: jax.Array, y: jax.Array) -> jax.Array:
        if self.work["net"] == "mlp":
            return jnp.square(output - y).mean()
        return -jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1).mean()

    def _output(self, weights: Weights, support_x: jax.Array, support_y: jax.Array, query_x: jax.Array) -> jax.Array:
        if self.work["learner"] == "anil":
            features = self.net.body(weights, support_x)
            head = {name: value for name, value in weights.items() if name.startswith("head.")}
            head = self._adapted(head, lambda changed: self._criterion(self.net.head(changed, features), support_y))
            return self.net.head(head, self.net.body(weights, query_x))
        adapted = self._adapted(weights, lambda changed: self._criterion(self.net(changed, support_x), support_y))
        return self.net(adapted, query_x)

    def _adapted(self, weights: Weights, loss: Callable[[Weights], jax.Array]) -> Weights:
        for _ in range(self.inner_steps):
            gradients = jax.grad(loss)(weights)
            if self.work["first_order"]:
                gradients = lax.stop_gradient(gradients)
            weights = jax.tree.map(lambda w, g: w - self.work["inner_lr"] * g, weights, gradients)
        return weights


def settings(work: Work, variant: str) -> list[Setting]:
    if work["net"] == "mlp":
        return [{"tasks": "vmap", "layout": "NCHW"}]
    return [{"tasks": how, "layout": layout} for how in ("vmap", "loop") for layout in ("NCHW", "NHWC")]


if __name__ == "__main__":
    serve(settings, Compiled, ("jax", "jaxlib"))
