"""The house: floors from the ground up, the rooms on each, and the modules of each room in the order of imports.

A module imports from floors below. On its own floor it imports only from modules that are listed before it within the
same package of `etl`: `sources/readers` may use `sources/records`, and `steps` knows nothing of `sources`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Room(NamedTuple):
    """A package of the house, what it is for, and its modules; `__init__` holds code only where it is listed."""

    name: str
    purpose: str
    modules: tuple[str, ...]


class Floor(NamedTuple):
    """Rooms that do not import each other, unless they are parts of one package: then the later from the earlier."""

    name: str
    rooms: tuple[Room, ...]


def _room(name: str, purpose: str, modules: str) -> Room:
    return Room(name, purpose, tuple(modules.split()))


FLOORS: Final = (
    Floor(
        "bytes",
        (
            _room(
                "columnar",
                "compiled loops over bytes, string buffers, parsers of lines, rows and JSON",
                "byte_loops json_tokenizer json_codec string_buffers splices factorize access_log_parser compilation"
                " field_lists json_index delimited_rows",
            ),
        ),
    ),
    Floor("facts", (_room("", "errors, every column", "errors schema"),)),
    Floor(
        "rules",
        (
            _room(
                "rules",
                "the page as rows, the ruleset, how names and values are read",
                "page rulings placeholders body_paths body_charsets ruleset ruleset_file parameter_names"
                " lost_separators value_parsing amount_repair timestamp_repair body_faults",
            ),
            _room("rules/vendors", "rulesets that ship with the tool", "__init__ recognition"),
        ),
    ),
    Floor("options", (_room("", "every option of a run", "options"),)),
    Floor(
        "words",
        (
            _room(
                "privacy",
                "what is personal: normal forms, hashes, redaction",
                "trait_hashes base64_texts addresses broken_texts clients personal_names named_values persons erasure"
                " templates log_redaction redactor shown_texts added_traits json_redaction redaction",
            ),
        ),
    ),
    Floor(
        "way",
        (
            _room(
                "steps",
                "requests to tables, one step a module",
                "parameter_table record_ids parameters met_conditions field_resolution money junk_values issues"
                " address_columns conversions nested_identities items passthroughs deduplication unread_postbacks"
                " rejections pipeline",
            ),
            _room(
                "sources/storage",
                "what the arguments name, where it is stored, how it is compressed",
                "line_ends utf16 object_stores store_paths locations unnamed_files checksums decompress surveys"
                " folders archives inputs",
            ),
            _room("sources/records", "bytes cut into records", "lines json_documents"),
            _room("sources", "one record, one format", "record format"),
            _room(
                "sources/readers",
                "records to requests, one reader a family of formats",
                "escapes logged_bodies second_records timestamps webhook_envelopes json_batch json_matching"
                " request_fields text_lines access_log column_guessing plain_text line_times address_in_line w3c"
                " csv_tables json_records parquet_tables",
            ),
            _room(
                "sources/carriers",
                "what stores or moves records of others, a row each",
                "carrier line_carriers json_carriers queue_carriers telemetry_carriers opening"
                " table_carriers joining known_carriers",
            ),
            _room(
                "sources/formats",
                "the formats, a row each",
                "unsupported json_clouds json_platforms json_servers json_telemetry log_format text text_frameworks"
                " lambda_events webhook_captures"
                " json_logs registry",
            ),
            _room(
                "sources",
                "bytes to requests",
                "time_limits settings framing carried body_arrays record_columns detection splits small_inputs"
                " planning bundles reread",
            ),
        ),
    ),
    Floor(
        "run",
        (
            _room(
                "runner",
                "one run: stage, deduplicate, publish, prove the accounting",
                "counts hash_set partitions parquet pieces engine publish publish_to_store published_tables"
                " staged_parts tasks unknown_inputs unmatched_inputs disk_space threads stage_inputs surveyed_records"
                " quiet_inputs rehearsal run",
            ),
            _room("telemetry", "metrics and lineage of a run", "attempts lineage metrics"),
        ),
    ),
    Floor(
        "engines and stores",
        (
            _room("engines", "where tasks run", "local_settling local_pool spark_worker spark_cluster spark_sessions"),
            _room(
                "warehouse",
                "loads, each once, in Delta tables",
                "table_layout file_storage delta snapshots stores export load_duplicates file_writer row_changes verify"
                " rejudge load_decisions backfill load_history load_report load expectations maintenance replay"
                " table_files erased_files forget_person retention",
            ),
        ),
    ),
    Floor(
        "answers",
        (
            _room(
                "reports",
                "what inputs hold, what another ruleset would change, the rules",
                "display record_counts source_records inspect rulebook what_if",
            ),
            _room(
                "reports/audit",
                "where attribution is lost, one module a question",
                "tables measures question silence alias_conflicts amounts repeated_rows doubtful_ids duplicates"
                " failures formatting funnel lead_trap match_quality senders times trait_coverage unknown_types"
                " unread_parameters series_styles charts catalogue report page_tables html_page",
            ),
            _room(
                "reports/explain",
                "what a record becomes, rule by rule",
                "explanation wording parameter_steps steps targets __init__",
            ),
            _room(
                "reports/resend",
                "what was lost, as the postbacks that it should have been",
                "platform_windows lost_records reread_records corrected_postbacks recorded_keys resend_drafts resends"
                " resend_formats second_sending",
            ),
            _room(
                "reports/reconcile",
                "the tables against an export",
                "gaps export_columns export_files export_times exports matching causes reconciliation",
            ),
            _room(
                "databases",
                "the tables in DuckDB and PostgreSQL, with keys, comments and views",
                "relations views row_streams duckdb_file postgresql database_export",
            ),
        ),
    ),
    Floor(
        "door",
        (
            _room(
                "cli",
                "the command: parse, call, print",
                "standard_streams terminal schema rules messages configuration summary progress run_context options"
                " engines limits expectation config audit explain inspect reconcile run what_if resend load backfill"
                " export forget_person loads replay upkeep __init__",
            ),
        ),
    ),
    Floor("names", (_room("", "the Python API", "given_options api spark __init__ __main__"),)),
)
