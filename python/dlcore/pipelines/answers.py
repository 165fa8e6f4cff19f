"""Extractive question answering: the piece of a context that answers a question."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.pipelines.base import Pipeline, softmax

__all__ = ["QuestionAnsweringPipeline"]


class QuestionAnsweringPipeline(Pipeline):
    """pipeline(question=..., context=...) -> {"score", "start", "end", "answer"}, characters of the context.

    A context that is longer than `max_seq_len` tokens (384) is read in windows that overlap by `doc_stride`
    (half a window at most). An answer has at most `max_answer_len` tokens (15); its score is p(start) p(end),
    each over the context of its window. `top_k` answers are a list; with `handle_impossible_answer` the empty
    answer competes, with the score of the first token.
    """

    def __call__(
        self, inputs: Any = None, *, question: Any = None, context: Any = None, **options: Any
    ) -> Any:
        if inputs is None:
            if question is None or context is None:
                raise ValueError("pipeline: question and context must be given")
            if isinstance(question, str):
                inputs = {"question": question, "context": context}
            else:
                contexts = [context] * len(question) if isinstance(context, str) else context
                inputs = [{"question": q, "context": c} for q, c in zip(question, contexts)]
        return super().__call__(inputs, **options)

    def run(
        self,
        batch: list[Any],
        top_k: int = 1,
        doc_stride: int | None = None,
        max_answer_len: int = 15,
        max_seq_len: int | None = None,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        **options: Any,
    ) -> list[Any]:
        if options:
            raise TypeError(f"pipeline: unknown options: {', '.join(options)}")
        if top_k < 1 or max_answer_len < 1:
            raise ValueError(
                f"pipeline: top_k and max_answer_len must be positive, got {top_k}, {max_answer_len}"
            )
        out = []
        for item in batch:
            found = self._answers(
                item["question"], item["context"], max_answer_len, doc_stride, max_seq_len, max_question_len,
                top_k, handle_impossible_answer,
            )  # fmt: skip
            out.append(found[0] if top_k == 1 else found)
        return out

    def _answers(
        self, question: str, context: str, longest: int, stride: int | None, window: int | None, asked: int,
        top_k: int, impossible: bool,
    ) -> list[dict[str, Any]]:  # fmt: skip
        if not context.strip() or not question.strip():
            raise ValueError("pipeline: question and context must not be empty")
        window = min(self.tokenizer.model_max_length, 384) if window is None else window
        window = min(window, getattr(self.model.config, "max_position_embeddings", window))
        stride = min(window // 2, 128) if stride is None else stride
        ids = self.tokenizer(question, add_special_tokens=False, truncation=True, max_length=asked)[
            "input_ids"
        ]
        room = window - len(ids) - self.tokenizer.num_special_tokens_to_add(pair=True)
        if stride >= room:
            raise ValueError(
                f"pipeline: doc_stride must be below the {room} tokens of a window, got {stride}"
            )
        encoded = self.tokenizer(
            question, context, truncation="only_second", max_length=window, stride=stride, padding=True,
            return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="np",
        )  # fmt: skip
        outputs = self.forward(encoded)
        starts, ends = outputs.start_logits.numpy(), outputs.end_logits.numpy()
        best: dict[tuple[int, int], float] = {}
        nothing = 1.0
        for row in range(len(starts)):
            inside = np.asarray([s == 1 for s in encoded.sequence_ids(row)])
            offsets = encoded["offset_mapping"][row]
            p, q = (softmax(np.where(inside, x[row], -1e4).astype(np.float64)) for x in (starts, ends))
            if impossible:  # the first token stands for no answer
                first = inside.copy()
                first[0] = True
                p0, q0 = (softmax(np.where(first, x[row], -1e4).astype(np.float64)) for x in (starts, ends))
                nothing = min(nothing, float(p0[0] * q0[0]))
            pairs = np.triu(np.outer(p, q)) - np.triu(np.outer(p, q), longest)
            flat = np.argsort(-pairs, axis=None, kind="stable")[: 4 * top_k + 4]
            for s, e in zip(*np.unravel_index(flat, pairs.shape)):
                if pairs[s, e] > 0 and inside[s] and inside[e]:
                    span = int(offsets[s][0]), int(offsets[e][1])
                    best[span] = max(best.get(span, 0.0), float(pairs[s, e]))
        answers = [
            {"score": score, "start": s, "end": e, "answer": context[s:e]} for (s, e), score in best.items()
        ]
        if impossible:
            answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        return sorted(answers, key=lambda a: -float(str(a["score"])))[:top_k]
