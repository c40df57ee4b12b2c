"""How the work is shared among processes and machines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section

WorkQueue = Literal["pairing", "inference"]


class WorkerSettings(Section):
    """`[worker]`: what a process of the roles work and deliver takes from the queues.

    `queues` are those that a worker takes: `["inference"]` on a machine with a GPU,
    `["pairing"]` on one without. `inference_threads` assess at once and share the GPU's batches,
    which wait at most `batch_ms` for each other. Each queue is looked at every `poll_s` seconds:
    with very many processes that is what the database mostly does. `processes` is how many workers
    an embedded node starts.
    """

    queues: tuple[WorkQueue, ...] = ("pairing", "inference")
    processes: int = Field(1, ge=1, le=64)
    pairing_threads: int = Field(2, ge=1, le=64)
    inference_threads: int = Field(1, ge=1, le=64)
    delivery_threads: int = Field(4, ge=1, le=64)
    batch_ms: float = Field(5.0, ge=0, le=1000)
    poll_s: float = Field(0.05, ge=0.01, le=10)

    @model_validator(mode="after")
    def _a_worker_takes_something(self) -> Self:
        if not self.queues or len(set(self.queues)) != len(self.queues):
            raise ValueError("worker.queues names pairing, inference or both, each once")
        return self


class BlobSettings(Section):
    """`[blobs]`: where files lie that several machines share.

    Without a `url` they lie in the data folder. `file:///mnt/share/blobs` is a shared file system,
    `s3://bucket/prefix` an S3-compatible object store at `endpoint` ("" is AWS's) with a cache of
    `cache_mib` in the data folder. The keys are read from the two files, or from AWS_ACCESS_KEY_ID
    and AWS_SECRET_ACCESS_KEY.
    """

    url: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key_file: OptionalPath = None
    secret_key_file: OptionalPath = None
    cache_mib: int = Field(2048, ge=1)
    timeout_s: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _the_url_names_a_place(self) -> Self:
        scheme, _, rest = self.url.partition("://")
        if self.url and (scheme not in {"file", "s3"} or not rest.strip("/")):
            raise ValueError("blobs.url is file:///FOLDER or s3://BUCKET/PREFIX")
        return self
