"""`pipeline(task, model)`: from text, images or speech to an answer in one call, as Transformers' pipelines
give it.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from dlcore.pipelines.base import Pipeline

__all__ = ["Pipeline", "pipeline"]

# task -> (module here, class, the Auto class of its models)
TASKS = {
    "automatic-speech-recognition": ("audio", "AutomaticSpeechRecognitionPipeline", "AutoModelForCTC"),
    "feature-extraction": ("text", "FeatureExtractionPipeline", "AutoModel"),
    "fill-mask": ("text", "FillMaskPipeline", "AutoModelForMaskedLM"),
    "image-classification": ("image", "ImageClassificationPipeline", "AutoModelForImageClassification"),
    "question-answering": ("answers", "QuestionAnsweringPipeline", "AutoModelForQuestionAnswering"),
    "summarization": ("generation", "SummarizationPipeline", "AutoModelForSeq2SeqLM"),
    "text-classification": ("text", "TextClassificationPipeline", "AutoModelForSequenceClassification"),
    "text-generation": ("generation", "TextGenerationPipeline", "AutoModelForCausalLM"),
    "text2text-generation": ("generation", "Text2TextGenerationPipeline", "AutoModelForSeq2SeqLM"),
    "token-classification": ("text", "TokenClassificationPipeline", "AutoModelForTokenClassification"),
    "translation": ("generation", "TranslationPipeline", "AutoModelForSeq2SeqLM"),
}
WITHOUT_TOKENIZER = {"automatic-speech-recognition", "image-classification"}
ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}


def pipeline(task: str, model: Any = None, tokenizer: Any = None, **kwargs: Any) -> Pipeline:
    """The pipeline of a task for a model: a folder, a name on the hub, or a model with its tokenizer.

    Tasks: automatic-speech-recognition, feature-extraction, fill-mask, image-classification,
    question-answering, summarization, text-classification (sentiment-analysis), text-generation,
    text2text-generation, token-classification (ner), translation or translation_en_to_de. `kwargs` are
    defaults of the pipeline's calls. Images and speech need no tokenizer.

    Raises ValueError for a task that is not known, or where the model or the tokenizer is missing.

    >>> pipeline("sing")
    Traceback (most recent call last):
    ...
    ValueError: pipeline: task must be one of ... got 'sing'
    """
    name = ALIASES.get(task, "translation" if task.startswith("translation_") else task)
    if name not in TASKS:
        raise ValueError(f"pipeline: task must be one of {', '.join([*TASKS, *ALIASES])}, got {task!r}")
    module, cls, auto = TASKS[name]
    if model is None:
        raise ValueError(f"pipeline: a model is needed for {task!r}: a folder or a name on the hub")
    if isinstance(model, (str, os.PathLike)):
        from dlcore import models

        path = model
        model = getattr(models, auto).from_pretrained(path)
        if tokenizer is None and name not in WITHOUT_TOKENIZER:
            tokenizer = path
    if isinstance(tokenizer, (str, os.PathLike)):
        from dlcore.tokenization import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    if tokenizer is None and name not in WITHOUT_TOKENIZER:
        raise ValueError("pipeline: a tokenizer is needed where the model is given as an object")
    made: Pipeline = getattr(importlib.import_module(f"dlcore.pipelines.{module}"), cls)(
        model, tokenizer, task=task, **kwargs
    )
    return made
