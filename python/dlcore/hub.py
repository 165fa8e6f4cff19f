"""Files of a pretrained model: in a folder, or on the Hugging Face hub by huggingface_hub and its cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["HUB_OPTIONS", "find_file", "find_optional", "write_text"]

# What callers may say about the hub, passed on to hf_hub_download.
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


def find_file(path: str | os.PathLike[str], name: str, *, subfolder: str = "", **hub: Any) -> Path:
    """The file `name` of the model at `path`: a folder, the file itself, or a name as "bert-base-uncased".

    `hub` goes to `huggingface_hub.hf_hub_download`: revision, cache_dir, local_files_only, token,
    force_download. HF_HUB_OFFLINE=1 keeps it to its cache.

    Raises FileNotFoundError where there is no such file, ImportError where a hub name needs huggingface_hub.
    """
    found = find_optional(path, name, subfolder=subfolder, **hub)
    if found is None:
        raise FileNotFoundError(
            f"from_pretrained: there must be a file {name}, got none in {os.fspath(path)!r}"
        )
    return found


def find_optional(
    path: str | os.PathLike[str], name: str, *, subfolder: str | None = "", **hub: Any
) -> Path | None:
    """The same, or None where the model has no such file."""
    place = Path(path).expanduser()
    if place.is_dir():
        file = place / (subfolder or "") / name
        return file if file.is_file() else None
    if place.is_file():
        return place if place.name == name else None
    text = os.fspath(path)
    if place.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1 or "\\" in text:
        raise FileNotFoundError(f"from_pretrained: no such folder: {text}")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
    except ImportError as e:
        raise ImportError(
            f"from_pretrained: there is no folder {text!r}; to read it as a name on the hub, "
            "pip install 'dlcore[hub]'"
        ) from e
    try:
        return Path(hf_hub_download(text, name, subfolder=subfolder or None, **hub))
    except EntryNotFoundError as e:
        if type(e).__name__ == "LocalEntryNotFoundError":
            raise FileNotFoundError(
                f"from_pretrained: {text!r} is no folder, and {name} is not in the hub's cache "
                "and could not be fetched"
            ) from e
        return None
    except (HFValidationError, HfHubHTTPError, OSError) as e:
        raise FileNotFoundError(
            f"from_pretrained: {text!r} is no folder, and the hub gave no {name}: {e}"
        ) from e


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name until it is whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
