"""What the mesh promises when something fails, and the tests that show it: rows 1 to 19, processes and networks.

docs/faults.md is written from this table by `python -m tests.faults.page`. To fill in a row, name its tests, as
"file::function", in `tests`; a row without tests says in `elsewhere` why there are none.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """A row of docs/faults.md.

    Attributes:
        number: of the row.
        case: what happens.
        promised: what the mesh does then.
        tests: "file::function" of each test that shows it.
        measured: commands that measure it, with the pages that they write.
        partly: what of it no test here shows.
        elsewhere: why no test here shows any of it.
    """

    number: int
    case: str
    promised: str
    tests: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    partly: str = ""
    elsewhere: str = ""


CHAOS = "tests/faults/test_chaos.py::test_nothing_is_lost_and_nothing_double"
CHAOS_LONG = "`make chaos-long` writes `docs/chaos.md`"
DEATHS = "tests/faults/test_job_deaths.py"
MESH = "tests/faults/test_faults_mesh.py"
WEBHOOKS = "tests/integration/test_webhooks.py"
ENGINES = "tests/integration/test_job_engines.py"
STOPPING = "tests/faults/test_stopping.py"
ENVOY_MESH = "tests/integration/test_envoy_mesh.py"
RETRIES = "tests/integration/test_envoy_retries.py"

PROCESSES = (
    Promise(
        1,
        "unet_svc is killed in the middle of a loop",
        "The loop of a job begins again elsewhere; the job ends once, with one webhook. Who waits for an answer gets "
        "503 and Retry-After.",
        (CHAOS, f"{ENGINES}::test_a_mesh_that_is_away_is_asked_again_where_nobody_waits",
         f"{MESH}::test_unet_killed_in_the_middle_of_a_loop"),
        ("`make chaos` writes `docs/chaos.md`",),
        partly="how much longer the job takes is not bounded by a test",
    ),
    Promise(
        2,
        "a gateway is killed between a job's pictures and its webhook",
        "The next one goes on behind the pictures: none is made again, none is kept twice, the webhook is sent.",
        (f"{DEATHS}::test_a_process_dies_between_the_pictures_and_the_record",
         f"{WEBHOOKS}::test_a_process_that_is_killed_leaves_its_deliveries_to_the_next"),
    ),
    Promise(
        3,
        "a gateway is killed right after it accepted a job",
        "The job runs in another process, and is found there.",
        (f"{DEATHS}::test_a_process_dies_right_after_it_accepted",
         f"{DEATHS}::test_a_record_without_anybody_who_cares_is_begun",
         f"{DEATHS}::test_all_processes_die_and_the_next_one_goes_on"),
    ),
    Promise(
        4,
        "a gateway stands still, is taken for dead, and wakes up",
        "What it finishes then counts for nothing if another one has begun; the job ends once.",
        (f"{DEATHS}::test_a_process_that_was_taken_for_dead_wakes_up",),
    ),
    Promise(
        5,
        "processes of all kinds are killed at random under load of several dialects",
        "Every accepted job ends once, with success and with webhooks of one id.",
        (CHAOS,),
        (CHAOS_LONG,),
    ),
    Promise(
        6,
        "PostgreSQL crashes under load and comes back",
        "Meanwhile submissions are refused with 503 and Retry-After in each dialect's shape; no accepted job is lost, "
        "and nobody has to be restarted.",
        ("tests/faults/test_database_restart.py::test_jobs_come_and_end_before_and_after",
         "tests/faults/test_database_restart.py::test_what_is_being_made_is_made_once",
         "tests/faults/test_database_away.py::test_submissions_are_refused_while_it_is_away_and_taken_when_it_is_back"),
    ),
    Promise(
        7,
        "the store of pictures is full or read-only",
        "The job fails after bounded retries with an error that says so, and its webhook too; no file is visible in "
        "part.",
        ("tests/faults/test_store_away.py::test_a_job_fails_and_its_webhook_says_so",
         "tests/faults/test_store_away.py::test_a_file_that_does_not_fit_is_not_visible_in_part",
         "tests/unit/gateway/files/test_assets.py::test_a_job_whose_picture_finds_no_room_fails_and_leaves_no_half_of_it",
         "tests/integration/test_quota.py::test_nothing_is_taken_when_the_disk_is_nearly_full",),
    ),
    Promise(
        8,
        "the model server is away when a picture is asked for",
        "503 and Retry-After in each dialect's shape; `/readyz` says what is missing; all recovers by itself.",
        (f"{MESH}::test_the_model_server_is_away_and_comes_back",
         "tests/contract/test_gateway_operation.py::test_without_rooms_every_dialect_says_so_in_its_own_shape",
         "tests/integration/test_mesh_triton.py::test_a_server_that_goes_away_is_away_and_has_not_lost_its_graphs"),
        partly="the seconds until the refusal and until the recovery are not bounded by a test",
    ),
    Promise(
        9,
        "Triton's queue is full",
        "An overload, not an outage: 429 or 503 and Retry-After, and no proxy sends the call again.",
        ("tests/integration/test_mesh_triton.py::test_a_full_queue_is_overload_not_an_outage",
         f"{RETRIES}::test_an_answered_error_is_not_asked_for_again",
         "tests/unit/mesh/test_admission.py::test_so_many_run_so_many_wait_the_next_is_refused"),
    ),
    Promise(
        10,
        "a graph's process of Triton dies, which Triton does not notice",
        "The canary notices, readiness goes, the model server is started anew.",
        ("tests/integration/test_model_server_lifecycle.py::"
         "test_a_killed_model_process_fails_the_canary_and_ends_the_server",
         f"{MESH}::test_a_killed_graph_process_brings_the_model_server_back",
         "tests/integration/test_mesh_triton.py::test_a_graph_whose_process_died_is_away"),
    ),
    Promise(
        11,
        "Triton hangs",
        "Callers get their answer at their deadline, their places become free, and readiness goes within seconds.",
        ("tests/faults/test_faults_mesh.py::test_a_model_server_that_hangs_is_seen_by_everybody",
         "tests/integration/test_mesh_triton.py::test_a_server_that_is_stopped_does_not_answer_and_one_that_computes_does",
         "tests/integration/test_mesh_server.py::test_a_backend_that_answers_no_question_is_not_waited_for",
         "tests/unit/model_server/test_canary.py::test_a_late_model_that_finishes_nothing_is_lost_in_the_end",
         "tests/faults/test_stopping.py::test_the_deadline_of_a_client_stops_the_work",),
        partly="a deadline that passes is tested with services that stand still, not with Triton itself",
    ),
    Promise(
        12,
        "a caller's deadline passes in the middle of a loop",
        "The work ends there and in every service behind, at the running call to Triton.",
        (f"{STOPPING}::test_the_deadline_of_a_client_stops_the_work",
         f"{MESH}::test_a_deadline_stops_the_work",
         f"{ENVOY_MESH}::test_the_callers_deadline_reaches_the_room_and_ends_the_call",
         "tests/unit/unet_svc/test_denoising.py::test_cancelling_stops_at_the_running_call"),
    ),
    Promise(
        13,
        "a client hangs up while it waits",
        "Its work is cancelled in every service, and the record says so.",
        (f"{STOPPING}::test_a_client_that_hangs_up_stops_the_work",
         f"{MESH}::test_a_client_that_hangs_up_stops_the_work",
         "tests/integration/test_envoy_edge.py::test_a_client_that_leaves_is_seen_by_the_gateway",
         f"{ENVOY_MESH}::test_cancelling_reaches_the_room"),
    ),
    Promise(
        14,
        "a job is cancelled: while it waits, while it runs, when it has ended",
        "It never begins; it stops at the running call; nothing changes. One webhook tells of the end.",
        (f"{STOPPING}::test_cancelling",
         f"{ENGINES}::test_cancelling",
         f"{DEATHS}::test_cancelling_from_another_process",
         "tests/contract/native/test_jobs.py::test_cancelling_what_is_finished_changes_nothing",
         f"{WEBHOOKS}::test_every_end_is_told_once_with_its_own_event"),
    ),
    Promise(
        15,
        "every service is restarted under load, one replica after another",
        "No request fails.",
        ("tests/faults/test_rolling_restart.py::test_a_rolling_restart_of_every_service_costs_no_request",
         f"{RETRIES}::test_a_replica_that_drains_gets_no_new_calls",
         "tests/contract/test_gateway_operation.py::test_one_signal_drains_both_faces_and_what_runs_is_finished"),
        ("`make rolling` writes `docs/rolling.md`: the real services",),
        partly="Triton has one replica here, and its restart is row 8",
    ),
    Promise(
        16,
        "all replicas of one service die at once",
        "Who waits gets 503 at once; jobs that nobody waits for are made when the service is back.",
        ("tests/faults/test_refused_calls.py::test_a_service_that_is_gone_fails_who_waits_at_once_and_delays_who_does_not",
         "tests/integration/test_job_engines.py::test_a_mesh_that_is_away_is_asked_again_where_nobody_waits",),
    ),
    Promise(
        17,
        "a tenth of the calls to a service is refused unseen",
        "Hardly a request notices, no job is lost, and an outage is not multiplied by retries.",
        ("tests/faults/test_refused_calls.py::test_hardly_a_request_fails_and_no_job_is_lost",
         "tests/faults/test_refused_calls.py::test_envoy_s_own_fault_filter_hardly_lets_a_request_fail",
         "tests/faults/test_refused_calls.py::test_an_outage_is_not_multiplied_and_is_told_at_once",),
        partly="the refusals are those of services in small; Envoy's own fault filter is not used",
    ),
    Promise(
        18,
        "a gateway and its database do not hear each other for seconds",
        "No job ends twice.",
        ("tests/faults/test_database_partition.py::test_a_job_that_was_taken_over_meanwhile_ends_once",),
    ),
    Promise(
        19,
        "the clock of one process is an hour wrong",
        "Nobody is taken for dead for it: the database's clock decides.",
        ("tests/faults/test_wrong_clocks.py::test_the_database_s_clock_is_its_server_s",
         "tests/faults/test_wrong_clocks.py::test_no_wall_clock_of_the_process_is_read_where_that_is_decided",),
    ),
)  # fmt: skip
