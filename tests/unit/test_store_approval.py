"""The second person, emergency tightening, signatures and keys."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from calibrig import ModelStore
from calibrig.errors import CorruptRecordError, InvalidInputError, MissingFileError, RefusedError
from calibrig.store import ApprovalPolicy, Signer, TrustedKeys, generate_key, load_signer
from calibrig.testing.store import HAWKES, RISK, wait_until

GUARDED = ApprovalPolicy(second_person=("risk", "rollback"))


@pytest.fixture(params=["store.db", "store.json"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / str(request.param)


def test_guarded_kinds_need_two_people(path: Path) -> None:
    with ModelStore(path) as store:
        store.update("risk", "A", RISK, "anna", "before the policy")
        store.update("hawkes", "A", HAWKES, "anna", "x")
        store.set_policy(GUARDED, "ben", "risk committee")
        with pytest.raises(RefusedError, match="second person"):
            store.update("risk", "A", {"max_position": 200}, "anna", "more")
        with pytest.raises(RefusedError, match="second person"):
            store.rollback("hawkes", "A", version_id=1, updated_by="anna", comment="back")
        store.update("hawkes", "A", {"beta": 0.5}, "anna", "not guarded")
        proposal = store.propose("risk", "A", {"max_position": 200}, "anna", "more")
        assert store.get_risk_parameters("A").max_position == 100  # type: ignore[union-attr]
        assert store.pending() == [proposal]
        for same in ("anna", " Anna "):
            with pytest.raises(RefusedError, match="another person"):
                store.approve("risk", "A", same)
        version = store.approve("risk", "A", "ben")
        assert (version.version_id, version.updated_by, version.comment) == (2, "anna", "more")
        head = store.head("risk", "A")
        assert head is not None
        assert (head.approved_by, head.proposal) == ("ben", proposal.hash)
        assert store.pending() == []
        with pytest.raises(InvalidInputError, match="no proposal"):
            store.approve("risk", "A", "carl")
        assert store.verify().ok
        assert {record.version.kind for record in store.history()} == {"risk", "hawkes"}
    with ModelStore(path) as store:
        assert store.policy == GUARDED


def test_a_proposal_from_an_older_version_cannot_be_approved(path: Path) -> None:
    with ModelStore(path) as store:
        store.update("risk", "A", RISK, "anna", "x")
        store.propose("risk", "A", {"max_position": 200}, "anna", "more")
        store.tighten_risk("A", {"max_position": 10}, "carl", "flash crash")
        assert store.pending() == []
        with pytest.raises(InvalidInputError, match="older version"):
            store.approve("risk", "A", "ben")


def test_one_person_may_tighten_but_not_loosen(path: Path) -> None:
    with ModelStore(path) as store:
        store.update("risk", "A", RISK, "anna", "x")
        store.set_policy(GUARDED, "ben", "risk committee")
        version = store.tighten_risk("A", {"max_position": 10, "elevated_multiplier": 0.5}, "carl", "crash")
        assert (version.version_id, version.origin) == (2, "emergency")
        for looser in ({"max_position": 11}, {"high_stress_volatility_threshold": 9.0}, {"halt_s": 1.0}):
            with pytest.raises(RefusedError, match="tighter"):
                store.tighten_risk("A", looser, "carl", "x")


def test_a_rollback_can_be_proposed(path: Path) -> None:
    with ModelStore(path) as store:
        store.update("hawkes", "A", HAWKES, "anna", "x")
        store.update("hawkes", "A", {"beta": 0.9}, "anna", "y")
        store.set_policy(GUARDED, "ben", "x")
        store.propose("hawkes", "A", {}, "anna", "back", rollback_to=1)
        store.approve("hawkes", "A", "ben")
        head = store.head("hawkes", "A")
        assert head is not None
        assert (head.version.origin, head.parameters.beta) == ("rollback", 0.47)  # type: ignore[union-attr]
        assert head.calibrated_at == store.history("hawkes", "A")[0].calibrated_at


def test_the_policy_itself_is_guarded(path: Path) -> None:
    with ModelStore(path) as store:
        store.set_policy(GUARDED, "ben", "x")
        for approver in ("", "ben", " BEN "):
            with pytest.raises(RefusedError, match="second person"):
                store.set_policy(ApprovalPolicy(), "ben", "off", approved_by=approver)
        assert store.set_policy(ApprovalPolicy(), "ben", "off", approved_by="anna") == 2
        with pytest.raises(InvalidInputError, match="second_person"):
            ApprovalPolicy(second_person=("everything",))


def test_a_hand_edit_cannot_go_round_the_second_person(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    with ModelStore(path) as store:
        store.update("risk", "A", RISK, "anna", "x")
        store.set_policy(GUARDED, "ben", "x")
    path.write_text(path.read_text().replace('"max_position": 100', '"max_position": 900'))
    with ModelStore(path) as store:
        assert "second person" in store.status().rejected_edits[0]
        assert store.get_risk_parameters("A").max_position == 100  # type: ignore[union-attr]


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Signer]:
    folder = tmp_path / "trusted"
    folder.mkdir()
    signers = {}
    for name in ("anna", "ben"):
        public = generate_key(tmp_path / f"{name}.key", name=name)
        public.rename(folder / public.name)
        signers[name] = load_signer(tmp_path / f"{name}.key", name=name)
    return signers


def test_signed_versions_are_checked_on_the_way_in(path: Path, keys: dict[str, Signer]) -> None:
    trusted = TrustedKeys(path.parent / "trusted")
    with ModelStore(path, signer=keys["anna"]) as anna, ModelStore(path, trusted_keys=trusted) as desk:
        anna.update("risk", "A", RISK, "anna", "signed")
        assert wait_until(lambda: desk.get_risk_parameters("A") is not None)
        with pytest.raises(RefusedError, match="key is 'anna'"):
            anna.update("risk", "A", RISK, "ben", "in another's name")
        proposal = anna.propose("risk", "A", {"max_position": 50}, "anna", "less")
        with ModelStore(path, signer=keys["ben"]) as ben:
            ben.approve("risk", "A", "ben")
        assert wait_until(lambda: desk.snapshot("A").versions == {"risk": 2})
        head = desk.head("risk", "A")
        assert head is not None
        assert [(one.name, one.role) for one in head.signatures] == [("ben", "approver")]
        assert head.proposal == proposal.hash
        assert desk.verify().ok
        with ModelStore(path) as nobody:
            nobody.update("risk", "A", {"max_position": 9000}, "anna", "not signed")
        assert wait_until(lambda: desk.stale)
        assert "not signed" in str(desk.status().problem)
        assert desk.get_risk_parameters("A").max_position == 50  # type: ignore[union-attr]
        assert not desk.verify().ok
    with pytest.raises(CorruptRecordError, match="not signed"):
        ModelStore(path, trusted_keys=trusted).initialize()


def test_keys_rotate_and_end(path: Path, keys: dict[str, Signer]) -> None:
    folder = path.parent / "trusted"
    with ModelStore(path, signer=keys["anna"]) as store:
        store.update("hawkes", "A", HAWKES, "anna", "old key")
    new = generate_key(path.parent / "anna2.key", name="anna")
    new.rename(folder / new.name)
    old = folder / "anna.key.pub"
    old.write_text(old.read_text() + f"until {time.time_ns()}\n")
    with ModelStore(path, signer=load_signer(path.parent / "anna2.key", name="anna")) as store:
        store.update("hawkes", "A", HAWKES, "anna", "new key")
    with ModelStore(path, trusted_keys=TrustedKeys(folder)) as store:
        assert store.verify().ok
    with ModelStore(path, signer=keys["anna"]) as store:
        store.update("hawkes", "A", HAWKES, "anna", "old key after its end")
    with pytest.raises(CorruptRecordError, match="had ended"):
        ModelStore(path, trusted_keys=TrustedKeys(folder)).initialize()


def test_a_forged_signature_is_found(path: Path, keys: dict[str, Signer]) -> None:
    forged = Signer("anna", keys["ben"]._key)
    with ModelStore(path, signer=forged) as store:
        store.update("hawkes", "A", HAWKES, "anna", "with ben's key")
    with pytest.raises(CorruptRecordError, match="belongs to 'ben'"):
        ModelStore(path, trusted_keys=TrustedKeys(path.parent / "trusted")).initialize()
    trusted = TrustedKeys(path.parent / "trusted")
    with ModelStore(path) as store:
        payload = store._view.heads["hawkes", "A"].payload
    wrong = payload.replace(b'"beta":0.47', b'"beta":0.48')
    assert any("belongs" in text for text in trusted.problems(wrong))
    real = keys["anna"].sign(b"another text", "author")
    bad = msgspec.json.encode(
        {"signed": msgspec.Raw(payload[10 : payload.index(b',"signatures"')]), "signatures": [real]}
    )
    assert trusted.problems(bad) == ["the signature of 'anna' is wrong"]


def test_private_keys_are_guarded(tmp_path: Path) -> None:
    generate_key(tmp_path / "a.key", name="anna", passphrase=b"correct horse")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in (tmp_path / "a.key").read_bytes()
    load_signer(tmp_path / "a.key", name="anna", passphrase=b"correct horse")
    with pytest.raises(InvalidInputError, match="passphrase"):
        load_signer(tmp_path / "a.key", name="anna", passphrase=b"wrong")
    with pytest.raises(InvalidInputError, match="passphrase"):
        load_signer(tmp_path / "a.key", name="anna")
    with pytest.raises(RefusedError, match="never overwritten"):
        generate_key(tmp_path / "a.key", name="anna")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(RefusedError, match="chmod 600"):
        load_signer(tmp_path / "a.key", name="anna", passphrase=b"correct horse")
    with pytest.raises(MissingFileError):
        load_signer(tmp_path / "none.key", name="anna")
    with pytest.raises(MissingFileError):
        TrustedKeys(tmp_path / "none")
