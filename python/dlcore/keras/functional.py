"""Functional: a model from the calls between symbolic inputs and outputs, run in their order."""

from __future__ import annotations

from typing import Any

from dlcore.keras import saving
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import InputLayer, KerasTensor, Layer, Node, layer_registry
from dlcore.keras.model import Model
from dlcore.keras.training import float_input
from dlcore.train.batches import tree_leaves, tree_map

__all__ = ["Functional"]


@layer_registry.add()
class Functional(Model):
    """A graph of layer calls from `inputs` to `outputs`; layers may be shared and the graph may branch."""

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if inputs is None or outputs is None:
            raise ValueError("Model: both inputs and outputs must be given")
        for what, tree in (("inputs", inputs), ("outputs", outputs)):
            for t in tree_leaves(tree):
                if not isinstance(t, KerasTensor):
                    raise ValueError(f"Model: {what} must be symbolic tensors (of Input), got {t!r:.80}")
        self._inputs_tree, self._outputs_tree = inputs, outputs
        self._order = self._sort(tree_leaves(inputs), tree_leaves(outputs))
        self._graph_layers: list[Layer] = []
        for node in self._order:
            if all(node.layer is not x for x in self._graph_layers):
                self._graph_layers.append(node.layer)
        names = [x.name for x in self._graph_layers]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: the names of layers must be unique, got {names}")
        self.built = True
        self._build_shape = tree_map(lambda t: t.shape, inputs)

    def _sort(self, inputs: list[KerasTensor], outputs: list[KerasTensor]) -> list[Node]:
        """The calls that outputs need, by their distance from the outputs and then as they were made,
        inputs first.
        """
        stop = {id(t) for t in inputs}
        depth: dict[int, int] = {}
        stack: list[tuple[KerasTensor, bool]] = [(t, False) for t in reversed(outputs)]
        done: set[int] = set()
        order: list[Node] = []
        while stack:  # depth first without recursion
            t, closing = stack.pop()
            node = t.node
            if node is None:
                raise ValueError(f"{self.name}: {t!r} was not made by a layer")
            if closing:
                if id(node) not in done:
                    done.add(id(node))
                    order.append(node)
                continue
            if id(node) in done:
                continue
            if id(t) in stop or not node.inputs:
                if id(t) not in stop:
                    raise ValueError(
                        f"{self.name}: the outputs need {t.name!r}, which is not among the inputs"
                    )
                done.add(id(node))
                order.append(node)
                continue
            stack.append((t, True))
            stack.extend((x, False) for x in reversed(node.inputs))
        for node in reversed(order):
            d = depth.setdefault(id(node), 0)
            for x in node.inputs:
                if id(x) not in stop and x.node is not None:
                    depth[id(x.node)] = max(depth.get(id(x.node), 0), d + 1)
        for t in inputs:
            if t.node is not None and id(t.node) not in done:
                order.insert(0, t.node)
            if t.node is not None:
                depth[id(t.node)] = 1 << 30
        return sorted(order, key=lambda n: -depth.get(id(n), 0))

    @property
    def layers(self) -> list[Layer]:
        return list(self._graph_layers)

    def _sublayers(self) -> list[Layer]:
        return list(self._graph_layers)

    @property
    def inputs(self) -> list[KerasTensor]:
        return tree_leaves(self._inputs_tree)

    @property
    def outputs(self) -> list[KerasTensor]:
        return tree_leaves(self._outputs_tree)

    @property
    def input(self) -> Any:
        return self._inputs_tree

    @property
    def output(self) -> Any:
        return self._outputs_tree

    @property
    def input_shape(self) -> Any:
        return tree_map(lambda t: t.shape, self._inputs_tree)

    @property
    def output_shape(self) -> Any:
        return tree_map(lambda t: t.shape, self._outputs_tree)

    @property
    def output_names(self) -> list[str]:
        return [t.node.layer.name for t in self.outputs if t.node is not None]

    def _input(self, x: Any) -> Any:
        return tree_map(lambda a: float_input(a, self.dtype), x)

    def _check_input(self, shape: Any) -> None:
        """`call` checks: the inputs may be nested."""

    def call(self, inputs: Any) -> Any:
        mine = self.inputs
        if isinstance(inputs, dict):
            keys = list(self._inputs_tree) if isinstance(self._inputs_tree, dict) else [t.name for t in mine]
            missing = [k for k in keys if k not in inputs]
            if missing:
                raise ValueError(f"{self.name}: the inputs are {keys}, missing {missing}")
            given = [inputs[k] for k in keys]
        else:
            given = tree_leaves(inputs)
        if len(given) != len(mine):
            raise ValueError(f"{self.name}: the model has {len(mine)} inputs, got {len(given)}")
        values: dict[int, Any] = {}
        for place, t in zip(mine, given):
            want = place.shape
            if len(want) != len(t.shape) or any(a not in (None, b) for a, b in zip(want[1:], t.shape[1:])):
                raise ValueError(
                    f"{self.name}: input {place.name!r} must have shape {want}, got {tuple(t.shape)}"
                )
            values[id(place)] = t

        def look_up(t: Any) -> Any:
            return values[id(t)] if isinstance(t, KerasTensor) else t

        for node in self._order:
            if all(id(t) in values for t in node.outputs):
                continue
            args = [tree_map(look_up, a) for a in node.args]
            out = tree_leaves(node.layer(*args, **node.kwargs))
            for place, t in zip(node.outputs, out):
                values[id(place)] = t
        return tree_map(look_up, self._outputs_tree)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.output_shape

    def _connections(self) -> dict[int, str] | None:
        consumers: dict[int, int] = {}
        linear = True
        for node in self._order:
            linear = linear and len(node.inputs) <= 1
            for t in node.inputs:
                consumers[id(t)] = consumers.get(id(t), 0) + 1
        if linear and all(n == 1 for n in consumers.values()) and len(self.inputs) == len(self.outputs) == 1:
            return None
        out: dict[int, str] = {}
        inside = {id(n) for n in self._order}
        for node in self._order:
            parts = [out[id(node.layer)]] if out.get(id(node.layer)) else []
            for t in node.inputs:
                if t.node is not None and id(t.node) in inside:
                    at = [n for n in t.node.layer._nodes if id(n) in inside].index(t.node)
                    parts.append(f"{t.node.layer.name}[{at}][{t.index}]")
            out[id(node.layer)] = ", ".join(parts)
        return out

    def get_config(self) -> dict[str, Any]:
        inside = [id(n) for n in self._order]

        def place(t: KerasTensor) -> list[Any]:
            assert t.node is not None
            calls = [n for n in t.node.layer._nodes if id(n) in inside]
            return [t.node.layer.name, calls.index(t.node), t.index]

        def encode(v: Any) -> Any:
            if isinstance(v, KerasTensor):
                config = {"shape": list(v.shape), "dtype": v.dtype, "keras_history": place(v)}
                return {"class_name": "__keras_tensor__", "config": config}
            if isinstance(v, (list, tuple)):
                return [encode(x) for x in v]
            return serialize_any(v)

        entries = []
        for layer in self._graph_layers:
            calls = [n for n in layer._nodes if id(n) in inside and not isinstance(layer, InputLayer)]
            nodes = [
                {"args": encode(list(n.args)), "kwargs": {k: encode(v) for k, v in n.kwargs.items()}}
                for n in calls
            ]
            entries.append({**saving.layer_config(layer), "name": layer.name, "inbound_nodes": nodes})

        def ends(tree: Any) -> Any:
            return place(tree) if isinstance(tree, KerasTensor) else tree_map(place, tree)

        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": entries,
            "input_layers": ends(self._inputs_tree),
            "output_layers": ends(self._outputs_tree),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        outputs: dict[tuple[str, int, int], KerasTensor] = {}
        waiting: list[tuple[Layer, int, dict[str, Any]]] = []
        for entry in config["layers"]:
            layer = saving.layer_from_config(entry)
            if isinstance(layer, InputLayer):
                outputs[(layer.name, 0, 0)] = layer._nodes[0].outputs[0]
            waiting.extend((layer, i, node) for i, node in enumerate(entry.get("inbound_nodes", [])))

        def ready(v: Any) -> bool:
            if isinstance(v, dict) and v.get("class_name") == "__keras_tensor__":
                return tuple(v["config"]["keras_history"]) in outputs
            if isinstance(v, (list, tuple)):
                return all(ready(x) for x in v)
            return True

        def decode(v: Any) -> Any:
            if isinstance(v, dict) and v.get("class_name") == "__keras_tensor__":
                return outputs[tuple(v["config"]["keras_history"])]
            if isinstance(v, (list, tuple)):
                return [decode(x) for x in v]
            return v

        while waiting:
            now = [w for w in waiting if ready(w[2]["args"])]
            if not now:
                raise ValueError(f"from_config: the layers of {config.get('name')!r} do not form a graph")
            for layer, i, node in now:
                kwargs = {k: decode(v) for k, v in node.get("kwargs", {}).items() if v is not None}
                kwargs.pop("mask", None), kwargs.pop("training", None)
                out = layer(*[decode(a) for a in node["args"]], **kwargs)
                for k, t in enumerate(tree_leaves(out)):
                    outputs[(layer.name, i, k)] = t
            waiting = [w for w in waiting if w not in now]

        def find(tree: Any) -> Any:
            if isinstance(tree, dict):
                return {k: find(v) for k, v in tree.items()}
            if len(tree) == 3 and isinstance(tree[0], str):
                return outputs[tuple(tree)]
            return [find(t) for t in tree]

        inputs, ends = find(config["input_layers"]), find(config["output_layers"])
        return Functional(inputs, ends, name=config.get("name"), trainable=config.get("trainable", True))


layer_registry.by_name["Model"] = Functional
