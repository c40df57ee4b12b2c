"""Where the configured node keeps its blobs: its own folder, a shared one, or an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from node.blobs import BlobStore
from node.config import BlobSettings, Settings
from node.errors import ConfigurationError
from node.shared_blobs import Listing, SharedBlobStore

_RETRIES: Final = 3
_RETRIES_S: Final = 60


def open_blobs(settings: Settings, process: str = "any") -> BlobStore:
    """Open the blob store as `process`.

    Raises:
        ConfigurationError: If the URL or its credentials cannot be used, or the extra is missing.
    """
    wanted = settings.blobs
    local = settings.node.data_dir / "blobs"
    if not wanted.url:
        return BlobStore(local, process)
    url = urlsplit(wanted.url)
    if url.scheme == "file":
        return BlobStore(Path(url.path), process)
    remote, listing = _s3(wanted, url.netloc, url.path.strip("/"))
    prefix = f"{url.netloc}/{url.path.strip('/')}".rstrip("/")
    return SharedBlobStore(local, process, remote, prefix, listing, wanted.cache_mib << 20)


def _s3(wanted: BlobSettings, bucket: str, prefix: str) -> tuple[Any, Listing]:
    """Return fsspec's file system (it carries no types), and the listing of what is ours."""
    try:
        from obstore.fsspec import FsspecStore  # noqa: PLC0415 - the extra s3
        from obstore.store import S3Store  # noqa: PLC0415 - same
    except ImportError as error:
        raise ConfigurationError(
            "[blobs] url is an object store: install crdl-node with the extra s3"
        ) from error
    config: Any = {
        "region": wanted.region,
        "virtual_hosted_style_request": False,
        **({"endpoint": wanted.endpoint} if wanted.endpoint else {}),
        **{name: value for name, value in _credentials(wanted).items() if value},
    }
    options: Any = {
        "client_options": {
            "allow_http": wanted.endpoint.startswith("http://"),
            "timeout": f"{wanted.timeout_s:g}s",
        },
        "retry_config": {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRIES_S)},
    }

    def listing() -> Iterator[tuple[str, datetime]]:
        for several in S3Store(bucket, config=config, **options).list(prefix or None):
            for one in several:
                yield one["path"], one["last_modified"]

    return FsspecStore("s3", config=config, **options), listing


def _credentials(wanted: BlobSettings) -> dict[str, str]:
    """Return the keys from the environment, or from the files that the configuration names."""
    found = {
        "access_key_id": os.environ.get("AWS_ACCESS_KEY_ID", ""),
        "secret_access_key": os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
        "session_token": os.environ.get("AWS_SESSION_TOKEN", ""),
    }
    for name, path in (
        ("access_key_id", wanted.access_key_file),
        ("secret_access_key", wanted.secret_key_file),
    ):
        if path is not None:
            try:
                found[name] = path.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    return found
