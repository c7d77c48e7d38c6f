"""Plans a second sending from a store, or from logs that are run first, and writes it to a file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from etl.errors import UsageError
from etl.options import Options
from etl.reports.audit.report import find_rules
from etl.reports.resend.lost_records import choose_findings
from etl.reports.resend.resend_drafts import ResendRequest
from etl.reports.resend.resend_formats import PLACEHOLDER, check_base_url, find_resend_format, write_plan
from etl.reports.resend.resends import ResendPlan, plan_resends
from etl.rules.ruleset import Ruleset
from etl.runner.run import run_job
from etl.runner.stage_inputs import SILENT, Progress, RunRequest
from etl.warehouse.stores import Period, existing_file, is_store, open_store


@dataclass(frozen=True)
class SecondSending:
    """What to write.

    Attributes:
        findings: Names of findings, or keys of answers of the audit.
        out: The file.
        form: The name of a format; None: the suffix of the file decides.
        base_url: Where the postbacks would be sent.
        now: When they would be sent; None: now.
        is_without_id: Also what a second sending would count twice.
    """

    findings: Sequence[str]
    out: Path
    form: str | None = None
    base_url: str = PLACEHOLDER
    now: datetime | None = None
    is_without_id: bool = False


def write_resends(request: RunRequest, sending: SecondSending, progress: Progress = SILENT) -> ResendPlan:
    """Writes the postbacks to send again to a file; nothing is sent.

    Args:
        request: The inputs, one of which may be a store; how they are read and judged; account, integration and period.
        sending: What to write.
        progress: Where the run over the inputs tells how it gets on.

    Raises:
        EtlError: An option is wrong, the inputs cannot be read, or the file cannot be written.
    """
    choose_findings(sending.findings)
    form, base = find_resend_format(sending.form, sending.out), check_base_url(sending.base_url)
    with tempfile.TemporaryDirectory(prefix="postback-etl-") as folder:
        plan = plan_resends(_resend_request(request, sending, folder, progress))
    write_plan(plan, sending.out, form, base)
    return plan


def _resend_request(request: RunRequest, sending: SecondSending, folder: str, progress: Progress) -> ResendRequest:
    """Opens the store, or runs the inputs into a folder."""
    stores = [name for name in request.inputs if is_store(name)]
    if stores and len(request.inputs) > 1:
        raise UsageError(f"{stores[0]} is a store, and others are named beside it.", "Name one store, or logs alone.")
    given = request.options
    if not stores:
        options = replace(given, since=None, until=None, pii="hash")
        run_job(replace(request, out=Path(folder), options=options), progress)
    store = stores[0] if stores else folder
    published = open_store(store)
    _check_out(sending.out, [*request.inputs, *(entry["path"] for entry in published.manifest["inputs"])])
    ruleset, notes = request.ruleset, list[str]()
    if stores and ruleset == replace(Ruleset(), collect_path=ruleset.collect_path):  # none was given
        found, notes = find_rules(published.manifest, None)
        is_own_path = ruleset.collect_path != Ruleset().collect_path
        ruleset = replace(found, collect_path=ruleset.collect_path) if is_own_path else found
    if ruleset.digest == (published.manifest["ruleset"] or {}).get("digest"):
        notes = []
    return ResendRequest(
        published,
        open_store(store, Period(given.since, given.until)),
        choose_findings(sending.findings),
        ruleset,
        request.under(ruleset).reading,
        sending.now or datetime.now(UTC),
        Options(account=given.account, integration=given.integration, pii=given.pii),
        sending.is_without_id,
        tuple(notes),
    )


def _check_out(out: Path, inputs: Sequence[str]) -> None:
    """Raises an error if the file to write is an input, which it would replace."""
    files = (existing_file(name) for name in inputs)
    if out.exists() and any(file and out.samefile(file) for file in files):
        raise UsageError(f"--out {str(out)!r} is an input.", "Name another file.")
