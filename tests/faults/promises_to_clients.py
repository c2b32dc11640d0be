"""Rows 20 to 45 of docs/faults.md: hostile bytes, addresses and names, tenants, time, and what needs other machines."""

from tests.faults.promises import ENGINES, MESH, WEBHOOKS, Promise

EDGE = "tests/integration/test_envoy_edge_limits.py"
BODIES = "tests/faults/test_edge_bodies.py"
ABUSE = "tests/faults/test_http2_abuse.py"
FETCH = "tests/unit/gateway/egress/test_fetch.py"
FETCH_ABUSE = "tests/unit/gateway/egress/test_fetch_abuse.py"
HOSTILE = "tests/contract/test_hostile_requests.py"
KEYS = "tests/contract/test_keys.py"
SECRETS = "tests/faults/test_secrets.py"
SOURCE = "tests/unit/export/test_source.py"
SINGLE = "tests/unit/export/single_files/test_opening.py"
OPERATION = "tests/contract/test_gateway_operation.py"
IDEMPOTENCY = "tests/contract/test_idempotency.py"
PICTURES = "tests/unit/mesh/test_pictures.py"
CONTAINERS = "tests/unit/mesh/test_containers.py"
DECODERS = "tests/unit/mesh/test_decoders.py"
DOORS = "tests/contract/test_picture_doors.py"
NOTHING = "tests/unit/vae_svc/test_nothing.py"
TENANTS = "tests/contract/test_tenants.py"

TO_CLIENTS = (
    Promise(
        20,
        "pictures that are small as files and huge as pixels, and bombs in their chunks",
        "Refused by their headers, before a decoder sees them.",
        (f"{PICTURES}::test_a_hundred_megapixels_are_refused_before_any_decoder",
         f"{CONTAINERS}::test_what_contradicts_itself_or_is_without_bounds_is_refused_before_any_decoder",
         f"{CONTAINERS}::test_no_metadata_reaches_a_decoder", f"{DECODERS}::test_a_bad_container_reaches_no_process",
         f"{DECODERS}::test_memory_is_bounded", f"{DECODERS}::test_what_takes_too_long_is_ended_with_its_process",
         f"{DOORS}::test_a_bad_container_is_refused_before_a_job_is_taken",
         f"{DOORS}::test_a_bad_container_is_refused_over_grpc_too",
         f"{DOORS}::test_no_codec_is_in_the_gateway_s_process",
         f"{MESH}::test_a_picture_of_many_scans_reaches_no_decoder",
         f"{MESH}::test_a_costly_picture_is_given_up_with_its_caller",),
        ("`python -m benchmarks.intake` writes `docs/intake_benchmark.md`",),
    ),
    Promise(
        21,
        "pictures that are truncated, of other formats, animated, of odd colours and depths, turned by metadata",
        "The accepted ones become RGB of 8 bits, turned upright; the others are refused in one sentence without a "
        "decoder's words.",
        (f"{PICTURES}::test_grey_palette_and_sixteen_bit_become_rgb",
         f"{PICTURES}::test_the_ground_is_that_of_the_role",
         f"{PICTURES}::test_what_is_no_picture_gets_one_clear_sentence",
         f"{PICTURES}::test_broken_bytes_never_escape_as_another_error",
         f"{CONTAINERS}::test_pixels_and_size_are_turned_alike_whatever_says_so",
         f"{CONTAINERS}::test_every_orientation_is_pillow_s",
         f"{CONTAINERS}::test_of_an_animation_the_first_picture_is_decoded",
         f"{CONTAINERS}::test_what_is_behind_the_end_is_left_out",
         f"{DOORS}::test_what_is_behind_a_picture_is_not_kept",
         "tests/unit/mesh/test_fuzz_pictures.py::test_a_broken_file_is_a_picture_or_a_clear_refusal",
         f"{MESH}::test_a_bad_picture_is_refused_in_every_dialect_s_shape",),
    ),
    Promise(
        22,
        "a body of 64 MiB, of known and unknown length, over HTTP/1.1 and HTTP/2; a body that is packed",
        "413 at the edge, and never whole at the gateway; 415, and never unpacked.",
        (f"{BODIES}::test_64_mib_of_known_length_are_refused_unseen",
         f"{BODIES}::test_of_64_mib_of_unknown_length_no_more_than_the_limit_passes",
         f"{BODIES}::test_64_mib_over_http2_are_refused_likewise",
         f"{BODIES}::test_a_body_in_pieces_of_one_byte_is_as_long_as_its_bytes",
         f"{BODIES}::test_a_packed_body_is_refused_at_every_door_and_never_unpacked",
         f"{BODIES}::test_chunks_that_are_packed_on_the_way_are_refused",
         f"{EDGE}::test_a_larger_body_is_refused_in_json_before_the_gateway_sees_it",
         f"{OPERATION}::test_a_body_over_the_limit_is_refused_with_and_without_a_declared_length"),
    ),
    Promise(
        23,
        "a picture's URL or a webhook names this machine, a private network or a cloud's metadata, in any spelling",
        "Refused in the same words whatever the reason; nothing is connected to.",
        (f"{FETCH}::test_no_spelling_of_a_private_address_is_connected_to",
         f"{FETCH}::test_only_the_ports_of_web_servers_are_asked",
         f"{FETCH_ABUSE}::test_no_spelling_connects_to_a_private_address",
         f"{FETCH_ABUSE}::test_no_other_scheme_is_followed",
         "tests/unit/gateway/egress/test_hosts.py::test_every_denied_block_denies_its_first_and_last_address",
         "tests/contract/native/test_errors.py::"
         "test_every_address_that_may_not_be_asked_is_refused_with_the_same_words",
         f"{WEBHOOKS}::test_private_addresses_are_not_told_whatever_names_them",
         "tests/integration/test_tenant_storage.py::test_endpoints_in_private_networks_are_not_asked"),
    ),
    Promise(
        24,
        "a public host redirects there",
        "Every hop is checked like the first URL; three are followed.",
        (f"{FETCH}::test_a_redirect_is_checked_like_the_first_url",
         f"{FETCH}::test_three_redirects_are_followed_and_four_are_not",
         f"{FETCH_ABUSE}::test_a_redirect_to_a_private_address_is_the_last_hop",
         f"{WEBHOOKS}::test_a_redirect_is_a_failure_and_not_followed"),
    ),
    Promise(
        25,
        "a name resolves to a public address first and to a private one then, or to both",
        "It is resolved once, and refused whole if one of its addresses is not public.",
        (f"{FETCH}::test_a_name_that_changes_its_mind_is_asked_once",
         f"{FETCH}::test_a_name_with_one_private_address_is_refused_whole",
         f"{FETCH_ABUSE}::test_a_name_is_resolved_once_and_refused_whole",
         f"{FETCH_ABUSE}::test_the_second_answer_of_a_name_is_never_asked_for"),
    ),
    Promise(
        26,
        "a picture's host drips, never ends, lies about its length, sends a page or something packed",
        "One error at the end of its time or size; it is not asked again.",
        (f"{FETCH}::test_a_body_without_end_is_cut",
         f"{FETCH}::test_a_dripping_server_is_left_in_time", f"{FETCH}::test_a_compressed_body_is_not_unpacked",
         f"{FETCH_ABUSE}::test_a_harmful_host_gives_one_error_in_time_and_is_not_asked_again",
         f"{FETCH_ABUSE}::test_what_is_no_picture_is_refused_without_being_unpacked"),
    ),
    Promise(
        27,
        "a webhook's receiver fails, redirects, is gone, hangs, or is broken for days",
        "It is asked again by the schedule under the same id; gone means disabled; after three days it is given up; "
        "others do not wait.",
        (f"{WEBHOOKS}::test_a_job_s_end_is_told_until_it_is_heard_under_one_id",
         f"{WEBHOOKS}::test_pauses_are_those_of_the_schedule",
         f"{WEBHOOKS}::test_a_receiver_that_is_broken_for_days_is_given_up_and_others_are_not",
         f"{WEBHOOKS}::test_one_that_hangs_is_left_and_asked_again",
         f"{WEBHOOKS}::test_a_host_that_hangs_does_not_keep_others_waiting",
         f"{WEBHOOKS}::test_what_is_gone_is_told_nothing_more"),
    ),
    Promise(
        28,
        "a webhook's receiver checks signatures; a message is replayed later",
        "The reference library of Standard Webhooks verifies it, and refuses what is older than five minutes.",
        (f"{WEBHOOKS}::test_an_old_message_played_back_is_refused",
         "tests/contract/test_webhook_receiver_example.py::test_it_hears_of_its_picture_and_believes_nobody_else"),
    ),
    Promise(
        29,
        "one Idempotency-Key: fifty at once, with another body, at two gateways, after a crash",
        "One job and one answer; 409 or 422 for another body.",
        (f"{IDEMPOTENCY}::test_fifty_equal_requests_at_once_are_one_job_and_get_one_answer",
         f"{IDEMPOTENCY}::test_another_request_under_the_key_is_refused",
         f"{IDEMPOTENCY}::test_a_failure_is_answered_again",
         "tests/integration/test_two_gateways.py::"
         "test_a_key_is_one_job_whichever_is_asked_and_its_events_come_from_both",
         "tests/contract/rpc/test_jobs.py::test_the_same_request_under_a_key_is_the_same_job",
         "tests/contract/scenario/test_jobs.py::test_the_same_request_under_one_key_is_one_job",
         "tests/faults/test_chaos.py::test_nothing_is_lost_and_nothing_double"),
    ),
    Promise(
        30,
        "clients that are slow with their headers or bodies, or silent, over HTTP/1.1 and HTTP/2",
        "408 or a closed connection at the limit, however busily they drip; others are served meanwhile.",
        (f"{BODIES}::test_many_slow_clients_are_cut_and_others_are_served",
         f"{BODIES}::test_slow_heads_and_bodies_over_http2_are_cut",
         f"{EDGE}::test_a_connection_on_which_nothing_is_sent_lives_seconds", f"{EDGE}::test_slow_headers_are_cut",
         f"{EDGE}::test_a_slow_body_is_answered_408_in_json"),
    ),
    Promise(
        31,
        "attacks on HTTP/2: rapid resets, a thousand streams, CONTINUATION without end, HPACK bombs, floods of frames",
        "The connection is closed, the stream refused, or the frames cost nothing; "
        "Envoy's memory stays; others are served meanwhile.",
        (f"{ABUSE}::test_floods_are_ended_and_others_are_served",
         f"{ABUSE}::test_a_header_block_without_end_is_given_up_at_its_limit",
         f"{ABUSE}::test_headers_count_by_what_they_unpack_to",
         f"{ABUSE}::test_of_a_thousand_streams_a_hundred_are_open"),
    ),
    Promise(
        32,
        "paths and framings with two meanings: `//`, `..`, `%2f`, NUL, 40 kB, two lengths, a length and chunks",
        "One meaning reaches the gateway, or none.",
        (f"{BODIES}::test_a_path_has_one_meaning_or_none",
         f"{BODIES}::test_no_request_has_another_one_in_it", f"{EDGE}::test_the_gateway_sees_one_spelling_of_a_path",
         f"{EDGE}::test_escaped_slashes_are_sent_back_to_be_asked_for_plainly",
         f"{EDGE}::test_underscores_in_header_names_are_refused_in_json",
         f"{OPERATION}::test_unknown_paths_and_methods_are_plain_problems"),
    ),
    Promise(
        33,
        "names of models, kinds and files that are paths, long, or of other alphabets",
        "Refused, or unknown, before a file or Triton is asked.",
        ("tests/faults/test_hostile_names.py::test_no_name_leads_anywhere",
         "tests/unit/families/test_manifest.py::"
         "test_a_name_that_could_leave_its_folder_or_split_a_graph_name_is_refused",
         "tests/contract/test_model_loading.py::test_other_names_are_refused_before_anything_is_done",
         "tests/contract/scenario/test_hostile.py::test_no_id_is_a_fault_of_ours",
         "tests/integration/test_assets.py::test_hostile_ids_reach_nothing",
         "tests/unit/gateway/files/test_assets.py::test_no_other_name_reaches_the_store"),
    ),
    Promise(
        34,
        "weights that are pickles, or lie about what they hold",
        "Refused; nothing is unpickled.",
        (f"{SOURCE}::test_pickle_weights_are_refused_and_never_opened",
         f"{SOURCE}::test_a_pickle_beside_safetensors_is_passed_over",
         f"{SOURCE}::test_a_file_that_only_calls_itself_safetensors_is_refused",
         "tests/unit/export/test_shards.py::test_a_missing_shard_is_named_with_its_tensors",
         "tests/unit/export/test_shards.py::test_a_shard_that_is_cut_off_is_named",
         "tests/unit/export/test_shards.py::test_a_place_that_is_no_file_of_the_folder_is_never_looked_at",
         f"{SINGLE}::test_pickles_are_refused_unopened_and_it_is_said_how_to_convert",
         f"{SINGLE}::test_what_only_calls_itself_safetensors_is_refused",
         "tests/unit/export/annotators/test_library.py::test_a_pickle_runs_nothing",
         "tests/unit/export/annotators/test_library.py::test_a_broken_file_is_refused"),
        partly="ONNX files of others are nowhere taken, so their links to other files are not tested",
    ),
    Promise(
        35,
        "values that no client sends: 10^9 samples, NaN, 1 MB of prompt, lone surrogates, JSON 100,000 deep",
        "An error of the client's in the dialect's shape, never one of ours.",
        (f"{HOSTILE}::test_no_spoiled_request_is_a_fault_of_ours",
         f"{HOSTILE}::test_no_bytes_are_a_fault_of_ours",
         f"{HOSTILE}::test_of_names_that_are_repeated_the_last_one_counts",
         "tests/contract/test_fuzz_api.py::test_the_native_api_answers_whatever_is_asked",
         "tests/contract/scenario/test_hostile.py::test_no_value_of_a_field_is_a_fault_of_ours",
         "tests/contract/enterprise/test_hostile.py::test_hostile_types_in_every_field"),
        ("`make fuzz-api` sends 10,000",),
    ),
    Promise(
        36,
        "the holder of another key reads, cancels or deletes",
        "As unknown as what never was, on every route.",
        (f"{TENANTS}::test_every_route_is_accounted_for",
         f"{TENANTS}::test_another_s_thing_is_as_unknown_as_one_that_never_was",
         f"{TENANTS}::test_lists_show_one_s_own",
         "tests/contract/rpc/test_jobs.py::test_others_jobs_are_as_unknown_as_none"),
        partly="such attempts are in the log like any 404; there is no record of their own",
    ),
    Promise(
        37,
        "keys are guessed, sent in URLs, revoked",
        "401 and then 429 by address, while the holder of a key goes on; a key in a URL opens nothing that makes "
        "something; a revoked one ends within seconds.",
        (f"{KEYS}::test_guessing_is_stopped_and_the_holder_of_a_key_is_not",
         f"{KEYS}::test_a_key_in_a_url_opens_nothing_that_makes_something",
         f"{KEYS}::test_what_another_process_makes_and_revokes_is_known_soon",
         "tests/unit/gateway/keys/test_keys.py::test_a_key_of_a_megabyte_is_refused_and_not_even_hashed",
         "tests/unit/gateway/keys/test_watch.py::test_a_new_key_works_and_a_revoked_one_stops_with_the_next_look"),
        partly="keys are looked up by their digests, which gives no time to measure; no test measures it",
    ),
    Promise(
        38,
        "one key floods, another one asks for a picture",
        "The other one waits for none of the flood's jobs, and gets its turns and half of its share of steps at least; "
        "the flood is told 429.",
        ("tests/integration/test_turns.py::test_two_take_turns_whether_somebody_waits_or_not",
         "tests/integration/test_turns.py::test_who_asks_one_by_one_and_urgently_gets_no_more_than_a_share",
         "tests/contract/test_fair_shares.py::test_the_flood_is_told_so_in_every_dialect_and_others_are_taken",
         "tests/contract/test_fair_shares.py::test_a_caller_who_waits_goes_before_the_rest_of_the_flood",
         "tests/contract/test_fair_shares.py::test_hints_are_shared_as_well",
         "tests/unit/gateway/jobs/test_places.py::test_an_owner_whose_jobs_are_long_leaves_the_next_one_a_place",
         "tests/unit/unet_svc/test_turns.py::test_nobody_gets_less_than_half_of_its_share"),
        ("`make bench-fairness` writes `docs/fairness.md`",),
        partly="steps are counted, whatever they cost: large pictures of one owner make small ones of another wait",
    ),
    Promise(
        39,
        "hours of mixed load",
        "Memory, file descriptors, tasks and threads stay; the retention bounds the database and the files.",
        ("tests/faults/test_soak_in_short.py::test_a_request_leaves_nothing",
         "tests/faults/test_soak_in_short.py::test_leaks_are_seen",
         "tests/integration/test_job_upkeep.py::test_what_was_kept_long_enough_leaves_nothing"),
        ("`make soak` writes `docs/soak.md`",),
    ),
    Promise(
        40, "a GPU is out of memory, has an error or is lost in a step",
        "That request fails as an overload, the next small one is served; what stays broken is seen by the canary.",
        elsewhere="needs a GPU",
    ),
    Promise(
        41,
        "a node is drained, replicas are scaled down, a machine is taken away in the middle of jobs",
        "No job is lost.",
        ("tests/integration/test_envoy_drain.py::test_draining_ends_at_its_limit",
         "tests/unit/k8s/test_manifests.py::test_pods_get_the_time_that_stopping_takes",
         f"{ENGINES}::test_what_a_process_leaves_another_takes_up",
         "tests/faults/test_rolling_restart.py::test_a_rolling_restart_of_every_service_costs_no_request"),
        partly="needs a cluster: disruption budgets and the eviction itself; here, the drains that they rely on",
    ),
    Promise(
        42,
        "the VAE answers with numbers that are none, or with one colour",
        "Decoded once more, then an error; never a success.",
        (f"{NOTHING}::test_one_that_shows_nothing_is_decoded_once_more",
         f"{NOTHING}::test_one_that_shows_nothing_twice_is_an_error",
         f"{NOTHING}::test_one_colour_of_the_latents_of_one_colour_is_right", f"{NOTHING}::test_the_probe_sees_it",
         "tests/parity/test_parity_parts.py::test_latents_that_are_not_finite_are_never_a_picture",
         "tests/unit/unet_svc/test_servicer.py::test_a_prediction_that_is_no_number_is_asked_for_once_more_and_then_an_error",
         "tests/unit/model_server/test_canary.py::test_a_decoder_that_makes_one_colour_of_everything_fails",),
    ),
    Promise(
        43,
        "all that is said and kept is searched for keys, prompts, pictures and the inside of processes",
        "Keys and pictures as text are nowhere; prompts in the records alone; secrets of URLs in no log, span or "
        "metric; no answer names a path, an address or a source.",
        (f"{SECRETS}::test_keys_are_nowhere",
         f"{SECRETS}::test_pictures_are_nowhere_as_text", f"{SECRETS}::test_prompts_are_in_the_records_alone",
         f"{SECRETS}::test_secrets_of_urls_are_in_no_log_no_span_and_no_metric",
         f"{SECRETS}::test_answers_say_nothing_of_the_inside",
         "tests/contract/test_key_secrecy.py::test_keys_stand_in_no_log_no_answer_no_file_and_no_metric",
         "tests/e2e/test_e2e_native.py::test_the_logs_are_json_and_hold_no_prompt",
         "tests/integration/test_tenant_storage.py::test_keys_of_storages_are_encrypted_on_disk_and_shown_nowhere"),
    ),
    Promise(
        44,
        "scripts in prompts and names of files, shown by a page of ours",
        "They are text.",
        elsewhere="there is no page that shows them yet; the one that shows the API's documents is tested in "
        "`tests/unit/gateway/app/test_docs_page.py`",
    ),
    Promise(
        45,
        "an upgrade: an old process beside a new one, a migration with jobs in flight",
        "No job is lost.",
        elsewhere="there has been no release yet; migrations are tested step by step in "
        "`tests/integration/test_database_history.py`",
    ),
)  # fmt: skip
