"""Make pictures over gRPC from inside the cluster: submit a job, watch it, save its pictures.

    python docs/examples/grpc_client.py "a red star on a green background" --steps 20 --seed 7
    python docs/examples/grpc_client.py "a red star" --control canny --image docs/demo/source.png --key KEY

Started again with the same --idempotency-key, after a crash say, it finds the job that it had submitted before.
"""

import argparse
import sys
import uuid
from pathlib import Path

import grpc

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2

ENDINGS = {
    types_pb2.IMAGE_FORMAT_PNG: ".png",
    types_pb2.IMAGE_FORMAT_JPEG: ".jpeg",
    types_pb2.IMAGE_FORMAT_WEBP: ".webp",
}
# The server takes and sends pictures of up to 16 MiB, several in a message.
OPTIONS = [("grpc.max_receive_message_length", 64 * 1024 * 1024), ("grpc.max_send_message_length", 64 * 1024 * 1024)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt")
    parser.add_argument("--address", default="127.0.0.1:8091", help="Envoy's internal listener")
    parser.add_argument("--key", default="", help="API key, if the deployment requires one")
    parser.add_argument("--idempotency-key", default=str(uuid.uuid4()))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--control", help="kind of control, such as canny")
    parser.add_argument("--image", type=Path, help="picture that the control is made from")
    parser.add_argument("--priority", type=int, help="0 to 9; 9 first")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures")
    return parser.parse_args()


def request_of(asked: argparse.Namespace) -> generation_pb2.SubmitJobRequest:
    """The request; fields that were not given have the service's defaults."""
    generation = generation_pb2.GenerateRequest(
        prompt=asked.prompt, steps=asked.steps, seed=asked.seed, samples=asked.samples
    )
    if asked.control:
        image = types_pb2.Image(content=asked.image.read_bytes()) if asked.image else None
        generation.controls.append(types_pb2.Control(kind=asked.control, image=image))
    return generation_pb2.SubmitJobRequest(generation=generation, priority=asked.priority)


def watch(stub: generation_pb2_grpc.GenerationServiceStub, id: str, key: list[tuple[str, str]]) -> generation_pb2.Job:
    """The job at its end, with its pictures; a bar shows how far it is."""
    job = generation_pb2.Job(id=id)
    for message in stub.WatchJob(generation_pb2.WatchJobRequest(id=id, with_content=True), metadata=key):
        job = message.job
        done, steps = job.progress.step, job.progress.steps
        bar = "#" * (40 * done // max(steps, 1))
        status = generation_pb2.JobStatus.Name(job.status).removeprefix("JOB_STATUS_").lower()
        print(f"\r{status:<9} [{bar:<40}] {done}/{steps}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return job


def save(job: generation_pb2.Job, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for made in job.result.images:
        path = folder / f"{job.id}-{made.seed}{ENDINGS[made.image.format]}"
        path.write_bytes(made.image.content)
        print(path)
    for note in job.result.notes:
        print(f"note: {note}", file=sys.stderr)


def main() -> None:
    asked = arguments()
    key = [("authorization", f"Bearer {asked.key}")] if asked.key else []
    with grpc.insecure_channel(asked.address, options=OPTIONS) as channel:
        stub = generation_pb2_grpc.GenerationServiceStub(channel)
        try:
            metadata = [*key, ("idempotency-key", asked.idempotency_key)]
            id = stub.SubmitJob(request_of(asked), metadata=metadata).job.id
            job = watch(stub, id, key)
        except grpc.RpcError as error:
            field = dict(error.trailing_metadata() or ()).get("controlmesh-field")
            sys.exit(f"{error.code().name}: {error.details()}" + (f" (field {field})" if field else ""))
    if job.status != generation_pb2.JOB_STATUS_SUCCEEDED:
        sys.exit(f"{job.error.code or 'CANCELLED'}: {job.error.message or 'the job was stopped'}")
    save(job, asked.out)


if __name__ == "__main__":
    main()
