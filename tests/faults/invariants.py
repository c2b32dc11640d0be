"""What holds whatever fails: the invariants at the top of docs/faults.md, with the tests that look at them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Invariant:
    """One of them; `tests` as in promises.py."""

    name: str
    holds: str
    tests: tuple[str, ...]


INVARIANTS = (
    Invariant(
        "I1",
        "A job that was accepted reaches exactly one end.",
        ("tests/faults/test_chaos.py::test_nothing_is_lost_and_nothing_double",
         "tests/faults/test_job_deaths.py::test_a_process_that_was_taken_for_dead_wakes_up",
         "tests/integration/test_job_engines.py::test_an_end_comes_once"),
    ),
    Invariant(
        "I2",
        "A job's end is told to a receiver under one id, at least once.",
        ("tests/faults/test_chaos.py::test_nothing_is_lost_and_nothing_double",
         "tests/integration/test_webhooks.py::test_a_repeated_settlement_tells_nothing_twice"),
    ),
    Invariant(
        "I3",
        "The same Idempotency-Key with the same request is the same job, made once.",
        ("tests/contract/test_idempotency.py::test_fifty_equal_requests_at_once_are_one_job_and_get_one_answer",
         "tests/faults/test_chaos.py::test_nothing_is_lost_and_nothing_double"),
    ),
    Invariant(
        "I4",
        "Nothing that a client sends makes the mesh connect to an address that is not public.",
        ("tests/unit/gateway/egress/test_fetch_abuse.py::test_no_spelling_connects_to_a_private_address",
         "tests/integration/test_webhooks.py::test_private_addresses_are_not_told_whatever_names_them"),
    ),
    Invariant(
        "I5",
        "Any one process can be killed: no job is lost, and the mesh serves again by itself.",
        ("tests/faults/test_chaos.py::test_nothing_is_lost_and_nothing_double",
         "tests/faults/test_faults_mesh.py::test_a_killed_graph_process_brings_the_model_server_back"),
    ),
    Invariant(
        "I6",
        "No request raises the memory of a process by more than the cap on its body and, for each pixel of its "
        "pictures, 10 bytes while they are decoded and 4 bytes afterwards.",
        ("tests/unit/preprocess_svc/test_peak_memory.py::test_memory_is_a_small_multiple_of_the_picture",
         "tests/unit/mesh/test_decoders.py::test_memory_is_bounded",
         "tests/faults/test_memory_of_bodies.py::test_no_number_of_bodies_without_a_key_makes_the_process_large"),
    ),
    Invariant(
        "I7",
        "Work that was cancelled, or whose caller left or ran out of time, ends with the running call to Triton.",
        ("tests/faults/test_stopping.py::test_cancelling",
         "tests/faults/test_faults_mesh.py::test_a_client_that_hangs_up_stops_the_work",
         "tests/unit/unet_svc/test_denoising.py::test_cancelling_stops_at_the_running_call"),
    ),
    Invariant(
        "I8",
        "The mesh is not ready while a request for a picture would fail.",
        ("tests/contract/test_gateway_operation.py::test_ready_means_that_every_room_serves",
         "tests/integration/test_mesh_server.py::test_health_follows_the_probe",
         "tests/faults/test_faults_mesh.py::test_a_model_server_that_hangs_is_seen_by_everybody",
         "tests/unit/model_server/test_canary.py::test_a_model_that_shows_nothing_is_not_ready_and_is_no_reason_to_restart",
         "tests/integration/test_model_server_lifecycle.py::"
         "test_a_killed_model_process_fails_the_canary_and_ends_the_server"),
    ),
    Invariant(
        "I9",
        "No error's text holds a path, an address, a trace or another server's words.",
        ("tests/faults/test_secrets.py::test_answers_say_nothing_of_the_inside",
         "tests/faults/test_faults_mesh.py::test_a_bad_picture_is_refused_in_every_dialect_s_shape",
         "tests/integration/test_mesh_server.py::test_an_unexpected_error_tells_nothing_but_its_request_id"),
    ),
)  # fmt: skip
