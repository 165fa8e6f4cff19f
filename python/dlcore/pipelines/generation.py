"""Texts that go on, and texts from texts: generation, summaries, translations."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np

from dlcore.pipelines.base import Pipeline
from dlcore.tensor import tensor

__all__ = [
    "SummarizationPipeline",
    "Text2TextGenerationPipeline",
    "TextGenerationPipeline",
    "TranslationPipeline",
]


class TextGenerationPipeline(Pipeline):
    """[{"generated_text"}] for a prompt, one for each of `num_return_sequences`; with `return_full_text` (the
    default) it begins with the prompt. Other options go to `generate`.
    """

    def run(
        self, batch: list[Any], return_full_text: bool = True, prefix: str = "", **options: Any
    ) -> list[Any]:
        options.setdefault("pad_token_id", self.tokenizer.pad_token_id)
        options = {k: v for k, v in options.items() if v is not None}
        encoded = self.encode([prefix + text for text in batch], padding_side="left", truncation=False)
        ids = self.model.generate(
            tensor(encoded["input_ids"]),
            attention_mask=tensor(encoded["attention_mask"]),
            tokenizer=self.tokenizer,
            **options,
        ).numpy()
        start = encoded["input_ids"].shape[1]
        copies = len(ids) // len(batch)
        out = []
        for i, text in enumerate(batch):
            rows = ids[i * copies : (i + 1) * copies, start:]
            said = [self.tokenizer.decode(r, skip_special_tokens=True) for r in rows]
            out.append([{"generated_text": text + s if return_full_text else s} for s in said])
        return out


class Text2TextGenerationPipeline(Pipeline):
    """[{"generated_text"}] for a text; options go to `generate`."""

    result: ClassVar[str] = "generated_text"

    def __call__(self, inputs: Any, **options: Any) -> Any:
        out = super().__call__(inputs, **options)
        return out if self._is_one(inputs) else [o[0] if len(o) == 1 else o for o in out]

    def before(self, **options: Any) -> tuple[str, dict[str, Any]]:
        """What comes in front of the text, and what is left of the options."""
        return "", options

    def run(self, batch: list[Any], **options: Any) -> list[Any]:
        prefix, options = self.before(**options)
        encoded = self.encode([prefix + text for text in batch])
        ids = self.model.generate(
            tensor(encoded["input_ids"]),
            attention_mask=tensor(encoded["attention_mask"]),
            tokenizer=self.tokenizer,
            **options,
        ).numpy()
        copies = len(ids) // len(batch)
        texts = [self.tokenizer.decode(np.asarray(r), skip_special_tokens=True) for r in ids]
        return [[{self.result: t} for t in texts[i * copies : (i + 1) * copies]] for i in range(len(batch))]

    def _specific(self, task: str) -> dict[str, Any]:
        """What the model's configuration says about a task: a prefix, and options of `generate`."""
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        return dict(tasks.get(task, {}))


class SummarizationPipeline(Text2TextGenerationPipeline):
    """[{"summary_text"}] for a text."""

    result = "summary_text"

    def before(self, **options: Any) -> tuple[str, dict[str, Any]]:
        specific = self._specific("summarization")
        return str(specific.pop("prefix", "")), {**specific, **options}


class TranslationPipeline(Text2TextGenerationPipeline):
    """[{"translation_text"}] for a text; the languages are those of the task, translation_en_to_de, or
    `src_lang` and `tgt_lang`.
    """

    result = "translation_text"

    def before(self, **options: Any) -> tuple[str, dict[str, Any]]:
        source, target = options.pop("src_lang", None), options.pop("tgt_lang", None)
        task = f"translation_{source}_to_{target}" if source and target else self.task
        if re.fullmatch(r"translation_\w+_to_\w+", task) is None:
            raise ValueError(
                f"pipeline: the task must name two languages, as translation_en_to_de does, got {task!r}; "
                "or pass src_lang and tgt_lang"
            )
        specific = self._specific(task)
        return str(specific.pop("prefix", "")), {**specific, **options}
