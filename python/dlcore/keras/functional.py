"""Functional: a model from the calls between symbolic inputs and outputs, run in their order."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from dlcore.keras import saving
from dlcore.keras._registry import serialize_any
from dlcore.keras.layers.base import KerasTensor, Layer, Node, layer_registry, mask_of, set_mask, to_tensor
from dlcore.keras.layers.input import InputLayer
from dlcore.keras.model import Model
from dlcore.keras.symbolic import Operation, is_symbolic
from dlcore.tensor import Tensor
from dlcore.train.batches import tree_leaves, tree_map

__all__ = ["Functional"]


@layer_registry.add()
class Functional(Model):
    """A graph of layer calls from `inputs` to `outputs`; layers may be shared and the graph may branch.

    The inputs may be any symbolic tensors: a part of another model shares its layers.
    """

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if inputs is None or outputs is None:
            raise ValueError("Model: both inputs and outputs must be given")
        for what, tree in (("inputs", inputs), ("outputs", outputs)):
            for t in tree_leaves(tree):
                if not is_symbolic(t):
                    raise ValueError(
                        f"All `{what}` values must be KerasTensors. Received: {what}={tree!r:.100} including"
                        f" invalid value {t!r:.60} of type {type(t)}"
                    )
        if isinstance(inputs, dict):
            for k, v in inputs.items():
                if is_symbolic(v) and k != v.name:
                    warnings.warn(
                        "When providing `inputs` as a dict, all keys in the dict must match the names of the"
                        f" corresponding tensors. Received key '{k}' mapping to value {v} which has name"
                        f" '{v.name}'. Change the tensor name to '{k}' (via `Input(..., name='{k}')`)",
                        stacklevel=3,
                    )
        self._inputs_tree, self._outputs_tree = inputs, outputs
        self._places = _flat(inputs)
        self._order = self._sort(self._places, _flat(outputs))
        self._operations: list[Any] = []
        for node in self._order:
            if all(node.layer is not x for x in self._operations):
                self._operations.append(node.layer)
        self._graph_layers: list[Layer] = [x for x in self._operations if isinstance(x, Layer)]
        names = [x.name for x in self._operations]
        repeated = {n for n in names if names.count(n) > 1}
        if repeated:
            raise ValueError(
                f"The name {sorted(repeated)[0]!r} is used {names.count(sorted(repeated)[0])} times in the"
                f" model. All operation names should be unique: {names}"
            )
        self.built = True
        self._build_shape = tree_map(lambda t: t.shape, inputs)

    def _sort(self, inputs: list[KerasTensor], outputs: list[KerasTensor]) -> list[Node]:
        """The calls that outputs need, by their distance from the outputs and then as they were made,
        inputs first.
        """
        stop = {id(t) for t in inputs}
        starts: dict[int, Node] = {}
        for t in inputs:  # an inner tensor begins the graph as if it were an input of its own
            if t.node is None or not isinstance(t.node.layer, InputLayer):
                starts[id(t)] = InputLayer(batch_shape=t.shape, dtype=t.dtype)._nodes[0]
        self._starts = starts
        depth: dict[int, int] = {}
        stack: list[tuple[KerasTensor, bool]] = [(t, False) for t in reversed(outputs)]
        done: set[int] = set()
        order: list[Node] = []
        while stack:  # depth first without recursion
            t, closing = stack.pop()
            node = starts.get(id(t)) or t.node
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
                        f"{self.name}: the outputs need {t.name!r}, which is not among the inputs. `inputs`"
                        " not connected to `outputs`"
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
            node = starts.get(id(t)) or t.node
            assert node is not None
            if id(node) not in done:
                raise ValueError(
                    f"`inputs` not connected to `outputs`: {t.name!r} is not used by {self.name!r}"
                )
            depth[id(node)] = 1 << 30
        return sorted(order, key=lambda n: -depth.get(id(n), 0))

    @property
    def layers(self) -> list[Layer]:
        return list(self._graph_layers)

    @property
    def operations(self) -> list[Any]:
        return list(self._operations)

    def _sublayers(self) -> list[Layer]:
        extra = [x for x in super()._sublayers() if all(x is not y for y in self._graph_layers)]
        return [*self._graph_layers, *extra]

    @property
    def inputs(self) -> list[KerasTensor]:
        return list(self._places)

    @property
    def outputs(self) -> list[KerasTensor]:
        return _flat(self._outputs_tree)

    @property
    def input(self) -> Any:
        return _single(self._inputs_tree)

    @property
    def output(self) -> Any:
        return _single(self._outputs_tree)

    @property
    def input_shape(self) -> Any:
        return _single(tree_map(lambda t: t.shape, self._inputs_tree))

    @property
    def output_shape(self) -> Any:
        return _single(tree_map(lambda t: t.shape, self._outputs_tree))

    @property
    def input_names(self) -> list[str]:
        return [t.name for t in self._places]

    @property
    def output_names(self) -> list[str]:
        return [t.node.layer.name for t in self.outputs if t.node is not None]

    def _input(self, x: Any) -> Any:
        return x

    def _check_inputs(self, first: Any) -> None:
        """`call` checks: the inputs may be nested."""

    def _converted(self, x: Any) -> Any:
        return x if isinstance(x, (Tensor, KerasTensor)) else np.asarray(x)

    def _given(self, inputs: Any) -> list[Any]:
        """The arrays for the places, in their order."""
        mine = self._places
        if isinstance(inputs, dict):
            keys = [k for k, _ in _pairs(self._inputs_tree)] if isinstance(self._inputs_tree, dict) else None
            names = keys or [t.name for t in mine]
            missing = [k for k in names if k not in inputs]
            if missing:
                raise ValueError(
                    f"{self.name}: the inputs are {names}, missing {missing}. The structure of `inputs`"
                    " doesn't match the expected structure."
                )
            if len(inputs) > len(names):
                warnings.warn(
                    f"{self.name}: the inputs are {names}; {sorted(set(inputs) - set(names))} are not used",
                    stacklevel=4,
                )
            return [leaf for k in names for leaf in _flat_none(inputs[k])]
        return _flat_none(inputs)

    def _standardized(self, inputs: Any) -> list[Any]:
        given = self._given(inputs)
        if len(given) != len(self._places):
            raise ValueError(
                f"{self.name}: the model has {len(self._places)} inputs, got {len(given)}. The structure of"
                " `inputs` doesn't match the expected structure."
            )
        out: list[Any] = []
        for place, x in zip(self._places, given):
            if x is None:
                layer = place.node.layer if place.node is not None else None
                if not getattr(layer, "optional", False):
                    raise ValueError(
                        f"The input '{place.name}' is not optional, but None was passed. Please provide a"
                        " valid tensor."
                    )
                out.append(None)
                continue
            mask = mask_of(x)
            want = np.dtype(place.dtype)
            t = x if isinstance(x, Tensor) else to_tensor(x, place.dtype if want.kind == "f" else None)
            if t.dtype != want and want.name in ("float32", "float64", "int32", "int64", "uint8", "bool"):
                t = t.to(want)
            shape = place.shape
            if t.ndim == len(shape) - 1 and shape[-1] == 1:
                t = t.unsqueeze(-1)
            elif t.ndim == len(shape) + 1 and t.shape[-1] == 1:
                t = t.squeeze(-1)
            if len(shape) != t.ndim or any(a not in (None, b) for a, b in zip(shape[1:], t.shape[1:])):
                raise ValueError(
                    f"{self.name}: input {place.name!r} must have shape {shape}, got {tuple(t.shape)}."
                    f" Invalid input shape for input with name '{place.name}'. Expected shape {shape}, but"
                    f" input has incompatible shape {tuple(t.shape)}"
                )
            if mask is not None:
                set_mask(t, mask)
            out.append(t)
        return out

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        given = self._standardized(inputs)
        if mask is not None:
            for t, m in zip(given, _flat_none(mask)):
                if m is not None:
                    set_mask(t, to_tensor(m))
        values: dict[int, Any] = {id(place): t for place, t in zip(self._places, given)}

        def look_up(t: Any) -> Any:
            return values[id(t)] if is_symbolic(t) else t

        for node in self._order:
            if all(id(t) in values for t in node.outputs) or not node.inputs:
                continue
            args = [tree_map(look_up, a) if not isinstance(a, slice) else a for a in node.args]
            kwargs = {k: tree_map(look_up, v) for k, v in node.kwargs.items()}
            out = _flat(node.layer(*args, **kwargs))
            for place, t in zip(node.outputs, out):
                values[id(place)] = t
        return _single(tree_map(look_up, self._outputs_tree))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.output_shape

    def _symbolic(self, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: dict[str, Any]) -> Any:
        """A model inside of a model: its outputs for other batch or open sizes."""
        given = self._given(args[0] if args else next(iter(kwargs.values())))
        if len(given) != len(self._places):
            raise ValueError(f"{self.name}: the model has {len(self._places)} inputs, got {len(given)}")
        for place, t in zip(self._places, given):
            same = len(place.shape) == len(t.shape) and all(
                a is None or b is None or a == b for a, b in zip(place.shape[1:], t.shape[1:])
            )
            if not same:
                raise ValueError(
                    f"{self.name}: input {place.name!r} must have shape {place.shape}, got {tuple(t.shape)}"
                )
        shapes = self._propagated([t.shape for t in given])
        made = {id(t): KerasTensor(s, t.dtype) for t, s in zip(self.outputs, shapes)}
        out = _single(tree_map(lambda t: made[id(t)], self._outputs_tree))
        self._nodes.append(Node(self, args, {k: v for k, v in kwargs.items() if v is not None}, out))
        return out

    def _propagated(self, shapes: list[Any]) -> list[Any]:
        """The outputs' shapes for these inputs': their own, but for sizes that the inputs now tell."""
        known = [t.shape for t in self.outputs]
        same = all(tuple(a) == tuple(t.shape) for a, t in zip(shapes, self._places))
        if same or all(None not in s[1:] for s in known):
            batch = shapes[0][0] if shapes and len(shapes[0]) else None
            return [(batch, *s[1:]) if s and s[0] is None else s for s in known]
        from dlcore.keras.layers.base import forward_pass
        from dlcore.keras.symbolic import infer

        fresh = [KerasTensor(s, t.dtype, name="k") for s, t in zip(shapes, self._places)]
        with forward_pass(False):
            out = infer(lambda *xs: _flat(self.call(list(xs))), tuple(fresh), {})
        return [t.shape for t in out]

    def _connections(self) -> dict[int, str] | None:
        consumers: dict[int, int] = {}
        linear = True
        for node in self._order:
            linear = linear and len(node.inputs) <= 1
            for t in node.inputs:
                consumers[id(t)] = consumers.get(id(t), 0) + 1
        ends = len(self.inputs) == len(self.outputs) == 1
        if linear and all(n == 1 for n in consumers.values()) and ends:
            return None
        out: dict[int, str] = {}
        inside = {id(n) for n in self._order}
        for node in self._order:
            parts = [out[id(node.layer)]] if out.get(id(node.layer)) else []
            for t in node.inputs:
                made = self._starts.get(id(t)) or t.node
                if made is not None and id(made) in inside:
                    at = [n for n in made.layer._nodes if id(n) in inside].index(made)
                    parts.append(f"{made.layer.name}[{at}][{t.index if made is t.node else 0}]")
            out[id(node.layer)] = ", ".join(parts)
        return out

    def get_config(self) -> dict[str, Any]:
        if type(self) is not Functional and type(self).__init__ is not Functional.__init__:
            return Model.get_config(self)  # a subclass with a constructor of its own
        inside = [id(n) for n in self._order]

        def place(t: KerasTensor) -> list[Any]:
            node = self._starts.get(id(t)) or t.node
            assert node is not None
            calls = [id(n) for n in node.layer._nodes if id(n) in inside]
            return [node.layer.name, calls.index(id(node)), t.index if node is t.node else 0]

        def encode(v: Any) -> Any:
            if is_symbolic(v):
                config = {"shape": list(v.shape), "dtype": v.dtype, "keras_history": place(v)}
                return {"class_name": "__keras_tensor__", "config": config}
            if isinstance(v, (list, tuple)):
                return [encode(x) for x in v]
            if isinstance(v, dict):
                return {k: encode(x) for k, x in v.items()}
            return serialize_any(v)

        entries = []
        for layer in self._operations:
            calls = [n for n in layer._nodes if id(n) in inside and not isinstance(layer, InputLayer)]
            nodes = [
                {"args": encode(list(n.args)), "kwargs": {k: encode(v) for k, v in n.kwargs.items()}}
                for n in calls
            ]
            entries.append({**saving.layer_config(layer), "name": layer.name, "inbound_nodes": nodes})

        def ends(tree: Any) -> Any:
            if is_symbolic(tree):
                return place(tree)
            if isinstance(tree, dict):
                return {k: ends(v) for k, v in tree.items()}
            return [ends(v) for v in tree]

        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": entries,
            "input_layers": ends(self._inputs_tree),
            "output_layers": ends(self._outputs_tree),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if "layers" not in config or "input_layers" not in config:
            return cls(**config)
        outputs: dict[tuple[str, int, int], KerasTensor] = {}
        waiting: list[tuple[Any, int, dict[str, Any]]] = []
        for entry in config["layers"]:
            layer = saving.layer_from_config(entry, custom_objects)
            if isinstance(layer, InputLayer):
                outputs[(layer.name, 0, 0)] = layer._nodes[0].outputs[0]
            waiting.extend((layer, i, node) for i, node in enumerate(entry.get("inbound_nodes", [])))

        def decode(v: Any) -> Any:
            if isinstance(v, dict):
                name = v.get("class_name")
                if name == "__keras_tensor__":
                    return outputs[tuple(v["config"]["keras_history"])]
                if name is not None and "config" in v:
                    return saving.deserialize_keras_object(v)
                return {k: decode(x) for k, x in v.items()}
            if isinstance(v, (list, tuple)):
                return [decode(x) for x in v]
            return v

        def needed(v: Any) -> Any:
            """The keys of the tensors that a call's arguments name."""
            if isinstance(v, dict):
                if v.get("class_name") == "__keras_tensor__":
                    yield tuple(v["config"]["keras_history"])
                else:
                    for x in v.values():
                        yield from needed(x)
            elif isinstance(v, (list, tuple)):
                for x in v:
                    yield from needed(x)

        nexts: dict[int, int] = {}
        while waiting:
            later = []
            for layer, i, node in waiting:
                if nexts.get(id(layer), 0) != i or not all(k in outputs for k in needed(node)):
                    later.append((layer, i, node))
                    continue
                nexts[id(layer)] = i + 1
                if isinstance(node, list):
                    raise ValueError("from_config: configurations of Keras 2 models are not supported")
                kwargs = {k: decode(v) for k, v in node.get("kwargs", {}).items() if v is not None}
                if not isinstance(layer, Operation):
                    kwargs.pop("training", None)
                out = layer(*[decode(a) for a in node["args"]], **kwargs)
                for k, t in enumerate(_flat(out)):
                    outputs[(layer.name, i, k)] = t
            if len(later) == len(waiting):
                raise ValueError(f"from_config: the layers of {config.get('name')!r} do not form a graph")
            waiting = later

        def find(tree: Any) -> Any:
            if isinstance(tree, dict):
                return {k: find(v) for k, v in tree.items()}
            if len(tree) == 3 and isinstance(tree[0], str) and isinstance(tree[1], int):
                return outputs[tuple(tree)]
            return [find(t) for t in tree]

        inputs, ends = find(config["input_layers"]), find(config["output_layers"])
        made = cls if issubclass(cls, Functional) else Functional
        trainable = config.get("trainable")
        model = made(inputs, ends, name=config.get("name"))
        if trainable is not None and not trainable:
            model.trainable = False
        return model

    def __reduce__(self) -> Any:
        return saving.put_together, saving.taken_apart(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        new = memo[id(self)] = saving.put_together(*saving.taken_apart(self))
        return new


def _pairs(tree: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(tree.items())


def _flat(tree: Any) -> list[Any]:
    return tree_leaves(tree)


def _flat_none(tree: Any) -> list[Any]:
    """The leaves, None among them."""
    if isinstance(tree, dict):
        return [leaf for v in tree.values() for leaf in _flat_none(v)]
    if isinstance(tree, (list, tuple)):
        return [leaf for v in tree for leaf in _flat_none(v)]
    return [tree]


def _single(tree: Any) -> Any:
    """What a list of one holds, as Keras gives it."""
    return tree[0] if isinstance(tree, (list, tuple)) and len(tree) == 1 else tree


layer_registry.by_name["Model"] = Functional
