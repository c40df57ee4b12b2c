"""A backup of a working node, restored: every row and file is there, and the record proven."""

from __future__ import annotations

import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from models.bundle import Bundle
from node.audit.tables import Activation, Installation, Instance, Report
from node.audit.trail import Trail
from node.audit.verify import verify
from node.config import Settings
from node.database import utc_now
from node.errors import CrdlError
from node.jobs.retention import needed_blobs
from node.service.activation import activate
from node.service.backup import back_up, restore
from node.service.backup.key import open_key, seal_key
from node.service.backup.restore import check
from node.service.checks_record import check_clock, check_database
from tests.backup_fixtures import PASSPHRASE, STUDY, Office, every_row, instance, settings_in
from tests.bundle_variants import variant
from tests.node_process import crdl
from tests.postgres import Postgres, postgres

SQLITE = pytest.mark.parametrize("kind", ["sqlite"])


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Postgres]:
    with postgres() as cluster:
        yield cluster


@pytest.fixture
def a_new_node(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Settings]:
    """Settings of a node that has never run."""

    def make() -> Settings:
        folder = tmp_path / f"node-{len(list(tmp_path.glob('node-*')))}"
        (folder / "data").mkdir(parents=True)
        if kind == "sqlite":
            return settings_in(folder, "")
        return settings_in(folder, request.getfixturevalue("a_cluster").new_database())

    return make


@pytest.fixture
def an_office(a_new_node: Callable[[], Settings]) -> Office:
    return Office(a_new_node())


@pytest.mark.parametrize(("kind", "target"), [("sqlite", "a-folder"), ("postgresql", "backup.tar")])
def test_every_row_and_every_file_is_there_again(
    an_office: Office, a_new_node: Callable[[], Settings], tmp_path: Path, target: str
) -> None:
    an_office.prepare_engine()
    hashes = an_office.work(0, 5)
    before = every_row(an_office.open())
    made = back_up(an_office.settings, tmp_path / target, passphrase=PASSPHRASE)
    assert (made.manifest.blobs, made.copied, made.manifest.lacking) == (10, 10, ())

    new = a_new_node()
    restored = restore(new, tmp_path / target, passphrase=PASSPHRASE)

    office = Office(new)
    assert all(office.blobs.verify(sha256) for sha256 in hashes)
    after = every_row(office.open())
    uid = restored.installation_uid
    assert uid.startswith("2.25.")
    assert before.pop("installation")[0][1] == made.manifest.installation_uid != uid
    assert after.pop("installation")[0][1] == uid
    (note,) = [row for row in after["ledger_system"] if row not in before["ledger_system"]]
    assert "restored" in note
    after["ledger_system"].remove(note)
    engine = {name for name in before if "dbos" in name and "migrations" in name}
    assert {name: rows for name, rows in after.items() if name not in engine} == {
        name: rows for name, rows in before.items() if name not in engine
    }
    assert restored.verification.intact
    assert restored.verification.rows == 10
    assert verify(office.open(), office.sealer).intact
    assert office.sealer.key == an_office.sealer.key
    with office.open().connect() as connection:  # what is sent on keeps its UIDs
        assert set(connection.scalars(select(Report.sop_instance_uid))) == {
            f"2.25.{number}" for number in range(5)
        }


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.bench)])
def test_a_backup_of_a_busy_node_names_no_blob_that_it_lacks(
    an_office: Office, a_new_node: Callable[[], Settings], tmp_path: Path
) -> None:
    """One thread receives and another lets expire, all through two backups."""
    an_office.work(0, 20)
    stop = threading.Event()
    database = an_office.open()
    received = threading.Event()

    def receive() -> None:
        for number in range(1000, 4000):
            if stop.is_set():
                return
            kept = an_office.blobs.put(f"busy {number}".encode())
            with database.begin() as connection:
                row = instance(f"{STUDY}.{number}", kept.sha256, kept.size)
                connection.execute(insert(Instance).values(**row))
            received.set()

    def expire() -> None:
        with database.connect() as connection:
            query = select(Instance.id, Instance.blob_sha256).where(Instance.id <= 20)
            rows = connection.execute(query).all()
        for row in rows:
            if stop.wait(0.02):
                return
            with database.begin() as connection:
                connection.execute(
                    update(Instance)
                    .where(Instance.id == row.id)
                    .values(standing="expired", expired_at=utc_now())
                )
            an_office.blobs.delete(row.blob_sha256)

    threads = [threading.Thread(target=one) for one in (receive, expire)]
    for thread in threads:
        thread.start()
    try:
        assert received.wait(10)
        made = [
            back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
            for _ in range(2)
        ]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [one.manifest.lacking for one in made] == [()] * 2
    assert made[-1].manifest.blobs > made[0].manifest.blobs - 20
    for one in (made[0], made[-1]):
        check(tmp_path / "backup", snapshot=one.snapshot, passphrase=PASSPHRASE)
    new = a_new_node()
    restored = restore(new, tmp_path / "backup", passphrase=PASSPHRASE)
    assert restored.snapshot == made[-1].snapshot
    office = Office(new)
    with office.open().connect() as connection:
        needed = connection.scalars(needed_blobs(connection)).all()
    assert len(needed) == made[-1].manifest.blobs
    assert all(office.blobs.verify(sha256) for sha256 in needed)


@SQLITE
def test_the_next_backup_copies_what_is_new_and_the_oldest_goes(
    an_office: Office, tmp_path: Path
) -> None:
    root = tmp_path / "backup"
    gone = an_office.work(0, 3, expired=None)
    first = back_up(an_office.settings, root, passphrase=PASSPHRASE)
    an_office.work(3, 5)
    with an_office.open().begin() as connection:
        connection.execute(update(Instance).where(Instance.id == 1).values(standing="expired"))
    second = back_up(an_office.settings, root, passphrase=PASSPHRASE, keep=2)
    assert (first.copied, second.copied, second.retired) == (6, 4, ())
    third = back_up(an_office.settings, root, passphrase=PASSPHRASE, keep=2)
    assert (third.copied, third.retired) == (0, (first.snapshot,))
    assert not (root / first.snapshot).exists()
    left = {path.name for path in (root / "blobs").glob("??/??/*")}
    assert len(left) == 9
    assert gone[0] not in left
    assert check(root, passphrase=PASSPHRASE)[1] == third.snapshot


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a blob": ("blobs/*/*/*", "blob .* is damaged"),
    "the database": ("2*/database.sqlite", "database.sqlite of the backup is damaged"),
    "the list of blobs": ("2*/blobs.txt", "blobs.txt of the backup is damaged"),
}


@SQLITE
@pytest.mark.parametrize("what", DAMAGES)
def test_a_flipped_bit_is_told_and_nothing_is_restored(
    an_office: Office, a_new_node: Callable[[], Settings], tmp_path: Path, what: str
) -> None:
    pattern, said = DAMAGES[what]
    an_office.work(0, 1)
    back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    _flip(next((tmp_path / "backup").glob(pattern)))
    with pytest.raises(CrdlError, match=said):
        check(tmp_path / "backup", passphrase=PASSPHRASE)
    new = a_new_node()
    with pytest.raises(CrdlError, match=said):
        restore(new, tmp_path / "backup", passphrase=PASSPHRASE)
    assert not (new.node.data_dir / "node.db").exists()


@SQLITE
def test_a_manifest_that_somebody_changed_is_refused(an_office: Office, tmp_path: Path) -> None:
    an_office.work(0, 1)
    made = back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    path = tmp_path / "backup" / made.snapshot / "manifest.json"
    path.write_text(path.read_text().replace('"blobs": 2', '"blobs": 1'))
    with pytest.raises(CrdlError, match="not signed with this audit key"):
        check(tmp_path / "backup", passphrase=PASSPHRASE)


@SQLITE
def test_the_key_is_in_the_backup_sealed_or_not_at_all(an_office: Office, tmp_path: Path) -> None:
    an_office.work(0, 1)
    back_up(an_office.settings, tmp_path / "sealed", passphrase=PASSPHRASE)
    back_up(an_office.settings, tmp_path / "without")
    for root in ("sealed", "without"):
        for path in (tmp_path / root).rglob("*"):
            if path.is_file():
                assert an_office.sealer.key.hex().encode() not in path.read_bytes()
                assert an_office.sealer.key not in path.read_bytes()
                assert path.stat().st_mode & 0o077 == 0 or path.name == "lock"
    with pytest.raises(CrdlError, match="does not open"):
        check(tmp_path / "sealed", passphrase=b"another passphrase")
    with pytest.raises(CrdlError, match="name its file with --key"):
        check(tmp_path / "without", passphrase=PASSPHRASE)
    check(tmp_path / "without", key=an_office.settings.audit_key)
    sealed = seal_key(an_office.sealer, PASSPHRASE)
    assert sealed != seal_key(an_office.sealer, PASSPHRASE)
    assert open_key(sealed, PASSPHRASE) == an_office.sealer


@SQLITE
def test_a_node_that_is_not_empty_is_left_alone(an_office: Office, tmp_path: Path) -> None:
    an_office.work(0, 1)
    back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    with pytest.raises(CrdlError, match="restore into an empty node"):
        restore(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_database_with_tables_or_of_another_kind_is_left_alone(
    an_office: Office, tmp_path: Path
) -> None:
    an_office.work(0, 1)
    back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    with pytest.raises(CrdlError, match="just created"):
        restore(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    (tmp_path / "other" / "data").mkdir(parents=True)
    with pytest.raises(CrdlError, match="restore into the same kind"):
        restore(settings_in(tmp_path / "other", ""), tmp_path / "backup", passphrase=PASSPHRASE)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_dump_that_does_not_load_leaves_the_database_empty(
    an_office: Office,
    a_new_node: Callable[[], Settings],
    a_cluster: Postgres,
    tmp_path: Path,
) -> None:
    an_office.work(0, 1)
    back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    a_cluster.execute("CREATE ROLE guest LOGIN")  # who may create nothing
    new = a_new_node()
    url = new.database.url.replace("postgres@", "guest@")
    database = new.database.model_copy(update={"url": url})
    with pytest.raises(CrdlError, match="cannot be loaded"):
        restore(
            new.model_copy(update={"database": database}),
            tmp_path / "backup",
            passphrase=PASSPHRASE,
        )
    restore(new, tmp_path / "backup", passphrase=PASSPHRASE)  # nothing of the first try is in it


@SQLITE
def test_a_blob_that_the_node_has_lost_is_named_and_the_rest_is_saved(
    an_office: Office, tmp_path: Path
) -> None:
    lost, damaged, *_ = an_office.work(0, 2)
    an_office.blobs.delete(lost)
    _flip(an_office.blobs.path(damaged))
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\ndata_dir = "{an_office.settings.node.data_dir}"\n')
    secret = tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE)
    arguments = ("--to", str(tmp_path / "backup"), "--passphrase-file", str(secret))
    done = crdl("backup", *arguments, "--config", str(config), "--json", check=False)
    assert done.returncode == 1
    manifest = json.loads(done.stdout)["manifest"]
    assert set(manifest["lacking"]) == {lost, damaged}
    assert manifest["blobs"] == 2
    assert check(tmp_path / "backup", passphrase=PASSPHRASE)[0].lacking == tuple(
        sorted((lost, damaged))
    )


@SQLITE
def test_a_killed_backup_leaves_nothing_that_looks_like_one(
    an_office: Office, tmp_path: Path
) -> None:
    an_office.work(0, 1)
    made = back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    left = tmp_path / "backup" / f"{made.snapshot}.partial"
    shutil.copytree(tmp_path / "backup" / made.snapshot, left)
    assert check(tmp_path / "backup", passphrase=PASSPHRASE)[1] == made.snapshot
    back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    assert not left.exists()


@SQLITE
def test_a_site_s_own_bundle_answers_on_the_new_machine(
    an_office: Office, a_new_node: Callable[[], Settings], tmp_path: Path
) -> None:
    bundle = variant(tmp_path / "our-bundle")
    trail = Trail("person:ann", an_office.sealer)
    activate(an_office.open(), trail, "serving", str(bundle.folder))
    back_up(an_office.settings, tmp_path / "backup.tar", passphrase=PASSPHRASE)
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert any("/bundles/serving/" in name for name in archive.getnames())
    shutil.rmtree(bundle.folder)
    new = a_new_node()
    restore(new, tmp_path / "backup.tar", passphrase=PASSPHRASE)
    with Office(new).open().connect() as connection:
        rows = connection.execute(select(Activation).order_by(Activation.id)).all()
    assert rows[-1].bundle_sha256 == bundle.sha256
    assert Path(rows[-1].bundle).is_relative_to(new.node.data_dir)
    assert Bundle.load(rows[-1].bundle).sha256 == bundle.sha256


@SQLITE
def test_two_restorations_are_two_installations(
    an_office: Office, a_new_node: Callable[[], Settings], tmp_path: Path
) -> None:
    an_office.work(0, 1)
    back_up(an_office.settings, tmp_path / "backup", passphrase=PASSPHRASE)
    uids = set()
    for _ in range(2):
        new = a_new_node()
        uids.add(restore(new, tmp_path / "backup", passphrase=PASSPHRASE).installation_uid)
        with Office(new).open().connect() as connection:
            assert connection.scalar(select(Installation.uid)) in uids
    assert len(uids) == 2


@pytest.mark.parametrize("kind", ["postgresql"])
def test_the_doctor_asks_the_database_server_for_its_clock(
    a_new_node: Callable[[], Settings],
) -> None:
    settings = a_new_node()
    assert [one.text for one in check_database(settings)] == [
        "postgresql, empty: filled at the first start"
    ]
    Office(settings)
    (clock,) = check_clock(settings)
    assert clock.verdict == "ok"
    assert "from the database's clock" in clock.text
