"""Classification of texts and of tokens, filling of masks, features."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.pipelines.base import Pipeline, softmax

__all__ = [
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
]

Array = np.ndarray[Any, Any]


class FeatureExtractionPipeline(Pipeline):
    """The hidden states of the last layer as nested lists (1, L, E), or ndarrays with return_tensors=True."""

    def run(self, batch: list[Any], return_tensors: bool = False, **tokenize: Any) -> list[Any]:
        encoded = self.encode(batch, **tokenize)
        states = self.forward(encoded)[0].numpy()
        rows = [s[None, m > 0] for s, m in zip(states, encoded["attention_mask"])]
        return rows if return_tensors else [r.tolist() for r in rows]


class TextClassificationPipeline(Pipeline):
    """[{"label", "score"}] of the best label, or of `top_k` (None: all). `function_to_apply`: "softmax",
    "sigmoid" or "none"; by default what the model was trained with.
    """

    def __call__(self, inputs: Any, **options: Any) -> Any:
        given = "top_k" in options
        out = super().__call__(inputs, **options)
        return [out] if self._is_one(inputs) and not given else out

    def run(
        self,
        batch: list[Any],
        top_k: int | str | None = "",
        function_to_apply: str | None = None,
        **tokenize: Any,
    ) -> list[Any]:
        config = self.model.config
        if function_to_apply is None:
            several = config.problem_type == "multi_label_classification" or config.num_labels == 1
            function_to_apply = "sigmoid" if several else "softmax"
            function_to_apply = "none" if config.problem_type == "regression" else function_to_apply
        if function_to_apply not in ("softmax", "sigmoid", "none"):
            raise ValueError(
                "pipeline: function_to_apply must be 'softmax', 'sigmoid' or 'none', "
                f"got {function_to_apply!r}"
            )
        if batch and isinstance(batch[0], dict):  # {"text": ..., "text_pair": ...}
            encoded = self.encode([b["text"] for b in batch], [b["text_pair"] for b in batch], **tokenize)
        else:
            encoded = self.encode(batch, **tokenize)
        logits = self.forward(encoded).logits.numpy()
        scores = logits
        if function_to_apply == "softmax":
            scores = softmax(logits)
        elif function_to_apply == "sigmoid":
            scores = 1 / (1 + np.exp(-logits))
        out: list[Any] = []
        for row in scores:
            ranked = [
                {"label": config.id2label[int(i)], "score": float(row[i])}
                for i in np.argsort(-row, kind="stable")
            ]
            out.append(ranked[0] if top_k == "" else ranked if top_k is None else ranked[: int(top_k)])
        return out


class TokenClassificationPipeline(Pipeline):
    """Of each token {"entity", "score", "index", "word", "start", "end"}, but for those in `ignore_labels`.

    `aggregation_strategy` joins neighbours of one entity ("simple"), after the tokens of a word have been
    brought to agree: on the first one's label ("first"), on the most certain one's ("max"), or on that of the
    mean of their scores ("average").
    """

    def run(
        self,
        batch: list[Any],
        aggregation_strategy: str = "none",
        ignore_labels: list[str] | None = None,
        **tokenize: Any,
    ) -> list[Any]:
        strategy = aggregation_strategy.lower()
        if strategy not in ("none", "simple", "first", "average", "max"):
            raise ValueError(
                "pipeline: aggregation_strategy must be 'none', 'simple', 'first', 'average' or 'max', "
                f"got {aggregation_strategy!r}"
            )
        ignored = ["O"] if ignore_labels is None else ignore_labels
        encoded = self.encode(batch, return_offsets_mapping=True, return_special_tokens_mask=True, **tokenize)
        scores = softmax(self.forward(encoded).logits.numpy())
        out = []
        for i, text in enumerate(batch):
            tokens = self._tokens(text, encoded, scores, i)
            found = self._entities(tokens, strategy)
            name = "entity" if strategy == "none" else "entity_group"
            out.append([e for e in found if e[name] not in ignored])
        return out

    def _tokens(self, text: str, encoded: Any, scores: Array, row: int) -> list[dict[str, Any]]:
        out = []
        for at, special in enumerate(encoded["special_tokens_mask"][row]):
            if special:
                continue
            token = int(encoded["input_ids"][row, at])
            start, end = (int(o) for o in encoded["offset_mapping"][row, at])
            word, there = self.tokenizer.convert_ids_to_tokens(token), text[start:end]
            prefix = getattr(self.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
            if prefix:
                continues = len(word) != len(there)
            else:
                continues = start > 0 and " " not in text[start - 1 : start + 1]
            if token == self.tokenizer.unk_token_id:
                word, continues = there, False
            out.append(
                {
                    "word": word,
                    "scores": scores[row, at],
                    "start": start,
                    "end": end,
                    "index": at,
                    "continues": continues,
                }
            )
        return out

    def _entities(self, tokens: list[dict[str, Any]], strategy: str) -> list[dict[str, Any]]:
        labels = self.model.config.id2label
        if strategy in ("none", "simple"):
            entities = []
            for t in tokens:
                best = int(t["scores"].argmax())
                entities.append(
                    {
                        "entity": labels[best], "score": float(t["scores"][best]), "index": t["index"],
                        "word": t["word"], "start": t["start"], "end": t["end"],
                    }
                )  # fmt: skip
            return entities if strategy == "none" else self._grouped(entities)
        words: list[list[dict[str, Any]]] = []
        for t in tokens:
            if words and t["continues"]:
                words[-1].append(t)
            else:
                words.append([t])
        return self._grouped([self._word(w, strategy) for w in words])

    def _word(self, parts: list[dict[str, Any]], strategy: str) -> dict[str, Any]:
        if strategy == "first":
            scores = parts[0]["scores"]
        elif strategy == "max":
            scores = max(parts, key=lambda t: t["scores"].max())["scores"]
        else:
            scores = np.mean([t["scores"] for t in parts], 0)
        best = int(scores.argmax())
        return {
            "entity": self.model.config.id2label[best],
            "score": float(scores[best]),
            "word": self.tokenizer.convert_tokens_to_string([t["word"] for t in parts]),
            "start": parts[0]["start"],
            "end": parts[-1]["end"],
        }

    def _grouped(self, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Neighbours of one tag become one, unless the later one begins anew (B-)."""

        def tag(label: str) -> tuple[str, str]:
            return (label[0], label[2:]) if label[:2] in ("B-", "I-") else ("I", label)

        groups: list[list[dict[str, Any]]] = []
        for e in entities:
            begins, name = tag(e["entity"])
            if groups and tag(groups[-1][-1]["entity"])[1] == name and begins != "B":
                groups[-1].append(e)
            else:
                groups.append([e])
        return [
            {
                "entity_group": g[0]["entity"].split("-", 1)[-1],
                "score": float(np.mean([e["score"] for e in g])),
                "word": self.tokenizer.convert_tokens_to_string([e["word"] for e in g]),
                "start": g[0]["start"],
                "end": g[-1]["end"],
            }
            for g in groups
        ]


class FillMaskPipeline(Pipeline):
    """Of each mask in a text the `top_k` words, or the best of `targets`: {"score", "token", "token_str",
    "sequence"}.

    Raises ValueError for a text without a mask.
    """

    def run(self, batch: list[Any], top_k: int = 5, targets: Any = None, **tokenize: Any) -> list[Any]:
        mask = self.tokenizer.mask_token_id
        encoded = self.encode(batch, **tokenize)
        allowed = None if targets is None else self._targets(targets)
        logits = self.forward(encoded).logits.numpy()
        out: list[Any] = []
        for text, ids, row in zip(batch, encoded["input_ids"], logits):
            places = np.flatnonzero(ids == mask)
            if not len(places):
                raise ValueError(f"pipeline: the text must have a {self.tokenizer.mask_token}, got {text!r}")
            answers = [
                self._fill(ids, int(at), softmax(row[at]), allowed, top_k, len(places) == 1) for at in places
            ]
            out.append(answers[0] if len(answers) == 1 else answers)
        return out

    def _targets(self, targets: Any) -> Array:
        ids = []
        for word in [targets] if isinstance(targets, str) else targets:
            known = self.tokenizer.get_vocab().get(word)
            if known is None:  # its first piece stands for it
                pieces = self.tokenizer(word, add_special_tokens=False)["input_ids"]
                if not pieces:
                    continue
                known = pieces[0]
            ids.append(int(known))
        if not ids:
            raise ValueError("pipeline: at least one target must be a word of the vocabulary")
        return np.asarray(list(dict.fromkeys(ids)))

    def _fill(
        self, ids: Array, at: int, p: Array, allowed: Array | None, top_k: int, single: bool
    ) -> list[dict[str, Any]]:
        candidates = np.arange(len(p)) if allowed is None else allowed
        out = []
        for token in candidates[np.argsort(-p[candidates], kind="stable")[:top_k]]:
            filled = ids.copy()
            filled[at] = token
            filled = filled[filled != self.tokenizer.pad_token_id]
            out.append(
                {
                    "score": float(p[token]),
                    "token": int(token),
                    "token_str": self.tokenizer.decode([int(token)]),
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=single),
                }
            )
        return out
