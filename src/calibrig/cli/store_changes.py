"""The store commands that write: each shows the difference, asks on a terminal, and can be tried with ``--dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibrig.cli.console import JsonOption, print_json, print_lines
from calibrig.cli.store_options import (
    DEFAULT_URL,
    ByOption,
    CommentOption,
    DryRunOption,
    KeyOption,
    StoreOption,
    YesOption,
    agree,
    author,
    open_store,
    print_changes,
    read_fields,
    reason,
)

if TYPE_CHECKING:
    from calibrig.parameters import ParameterVersion
    from calibrig.store import FieldChange

__all__ = ["add_commands"]

Kind = Annotated[str, typer.Argument(help="hawkes, quoting, risk or signal.")]
Symbol = Annotated[str, typer.Argument(help="Symbol.")]


def _report(version: ParameterVersion, changes: tuple[FieldChange, ...], *, json: bool) -> None:
    if json:
        print_json({"version": version, "changes": changes})
    else:
        print_lines([f"{version.kind}/{version.symbol} is at version {version.version_id}"])


def _show(title: str, changes: tuple[FieldChange, ...], *, dry_run: bool, json: bool) -> None:
    if json:
        if dry_run:
            print_json({"dry_run": True, "changes": changes})
        return
    print_changes(title, changes)


def init(
    second_person: Annotated[
        str, typer.Option("--second-person", help="What needs one: risk,rollback,hawkes,quoting,signal.")
    ] = "",
    roles: Annotated[
        bool, typer.Option("--roles", help="PostgreSQL: make the roles calibrig_writer and calibrig_reader.")
    ] = False,
    by: ByOption = "",
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Make a store (does nothing to one that is there), its roles and its policy."""
    from calibrig.store import ApprovalPolicy, redact

    with open_store(store, create=True) as opened:
        made = opened.create_roles() if roles else ()
        names = tuple(name.strip() for name in second_person.split(",") if name.strip())
        if names:
            opened.set_policy(ApprovalPolicy(second_person=names), author(by), "store init")
        policy = opened.policy
    if json:
        print_json({"store": redact(store), "roles": made, "second_person": policy.second_person})
        return
    print_lines([f"{redact(store)} is ready"])
    print_lines([f"role {name}" for name in made])
    print_lines([f"needs a second person: {', '.join(policy.second_person)}"] if policy.second_person else [])


def set_(
    kind: Kind,
    symbol: Symbol,
    *,
    fields: Annotated[list[str] | None, typer.Argument(help="name=value ...; the others stay.")] = None,
    file: Annotated[str, typer.Option("--file", help="JSON object of fields; - is stdin.")] = "",
    expected_version: Annotated[
        int | None, typer.Option("--expected-version", help="Refuse another head.")
    ] = None,
    override: Annotated[str, typer.Option("--override", help="Who decided against the gates, and why.")] = "",
    propose: Annotated[bool, typer.Option("--propose", help="Leave it to a second person.")] = False,
    by: ByOption = "",
    comment: CommentOption = "",
    key: KeyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Change fields of a record: a new version, or a proposal where a second person is needed."""
    wanted = read_fields(fields or (), file)
    with open_store(store, key=key, by=by) as opened:
        changes = opened.preview(kind, symbol, wanted)
        _show(f"{kind}/{symbol}", changes, dry_run=dry_run, json=json)
        if dry_run:
            return
        why = reason(comment)
        agree("Write this version?", yes=yes)
        if propose or opened.policy.needs_second_person(kind, "manual"):
            proposal = opened.propose(kind, symbol, wanted, author(by), why, override=override)
            _say_proposal(proposal.kind, proposal.symbol, proposal, json=json)
            return
        version = opened.update(
            kind, symbol, wanted, author(by), why, expected_version=expected_version, override=override
        )
    _report(version, changes, json=json)


def _say_proposal(kind: str, symbol: str, proposal: Any, *, json: bool) -> None:
    if json:
        print_json({"proposal": proposal})
    else:
        print_lines([f"proposed; a second person runs: calibrig store approve {kind} {symbol}"])


def tighten(
    symbol: Symbol,
    *,
    fields: Annotated[list[str], typer.Argument(help="name=value ... of lower limits.")],
    by: ByOption = "",
    comment: CommentOption = "",
    key: KeyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Lower risk limits at once, alone; anything looser is refused."""
    wanted = read_fields(fields, "")
    with open_store(store, key=key, by=by) as opened:
        changes = opened.preview("risk", symbol, wanted)
        _show(f"risk/{symbol}", changes, dry_run=dry_run, json=json)
        if dry_run:
            return
        agree("Tighten?", yes=yes)
        version = opened.tighten_risk(symbol, wanted, author(by), reason(comment))
    _report(version, changes, json=json)


def rollback(
    kind: Kind,
    symbol: Symbol,
    *,
    version: Annotated[int, typer.Argument(help="The version to go back to.")],
    by: ByOption = "",
    comment: CommentOption = "",
    override: Annotated[str, typer.Option("--override", help="Who decided against the gates, and why.")] = "",
    key: KeyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Write a new version with the content of an old one (a proposal where a second person is needed)."""
    with open_store(store, key=key, by=by) as opened:
        old = opened.read_version(kind, symbol, version)
        changes = opened.preview(kind, symbol, old.parameters)
        _show(f"{kind}/{symbol}: back to version {version}", changes, dry_run=dry_run, json=json)
        if dry_run:
            return
        why = reason(comment)
        agree(f"Go back to version {version}?", yes=yes)
        if opened.policy.needs_second_person(kind, "rollback"):
            proposal = opened.propose(
                kind, symbol, {}, author(by), why, override=override, rollback_to=version
            )
            _say_proposal(kind, symbol, proposal, json=json)
            return
        written = opened.rollback(
            kind, symbol, version_id=version, updated_by=author(by), comment=why, override=override
        )
    _report(written, changes, json=json)


def approve(
    kind: Kind,
    symbol: Symbol,
    *,
    by: ByOption = "",
    key: KeyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Make the pending proposal of a key its next version; only somebody else than its author can."""
    from calibrig.errors import InvalidInputError

    with open_store(store, key=key, by=by) as opened:
        waiting = opened.pending(kind, symbol)
        if not waiting:
            raise InvalidInputError(f"{kind}/{symbol} has no proposal that can be approved")
        changes = opened.preview(kind, symbol, waiting[0].parameters)
        title = f"{kind}/{symbol}, proposed by {waiting[0].updated_by}: {waiting[0].comment}"
        _show(title, changes, dry_run=dry_run, json=json)
        if dry_run:
            return
        agree("Approve?", yes=yes)
        version = opened.approve(kind, symbol, author(by))
    _report(version, changes, json=json)


def import_(
    path: Annotated[str, typer.Argument(help="File that `calibrig store export` wrote.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Append the versions of an export that this store does not have; everything is checked first."""
    with open_store(store, create=not dry_run) as opened:
        count = opened.import_from(path, dry_run=True)
        if count and not dry_run:
            agree(f"Append {count} versions?", yes=yes)
            count = opened.import_from(path)
    if json:
        print_json({"versions": count, "dry_run": dry_run})
    else:
        print_lines([f"{count} versions {'would be ' if dry_run else ''}imported from {path}"])


def keygen(
    path: Annotated[str, typer.Argument(help="Private key to write; the public one goes beside it as .pub.")],
    by: ByOption = "",
) -> None:
    """Make an Ed25519 key pair; CALIBRIG_KEY_PASSPHRASE, where set, encrypts the private key."""
    import os

    from calibrig.store import generate_key

    passphrase = os.environ.get("CALIBRIG_KEY_PASSPHRASE", "").encode() or None
    public = generate_key(path, name=author(by), passphrase=passphrase)
    print_lines(
        [f"private key of {author(by)}: {path}", f"public key, for the folder of trusted keys: {public}"]
    )


def add_commands(app: typer.Typer) -> None:
    """Add the writing commands to the group."""
    for name, command in (
        ("init", init),
        ("set", set_),
        ("tighten", tighten),
        ("rollback", rollback),
        ("approve", approve),
        ("import", import_),
        ("keygen", keygen),
    ):
        app.command(name)(command)
