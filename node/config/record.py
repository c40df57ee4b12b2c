"""Where the record is kept, proven and sent, and who is told."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section


class DatabaseSettings(Section):
    """`[database]`: an SQLAlchemy URL; "" is SQLite in the data folder.

    `url_file` is a file that holds the URL, for it holds a password.
    """

    url: str = Field("", repr=False)
    url_file: OptionalPath = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.url and self.url_file is not None:
            raise ValueError("give database.url or database.url_file, not both")
        return self


class AuditSettings(Section):
    """`[audit]`: proof of the record.

    `key` is the file of the key that seals every row, the same on all machines of one database;
    without it `<data_dir>/audit.key` is made. `heads` is a file, best on another disk, that gets
    the signed end of the chain, a line each time it has grown, at most once a minute.
    """

    key: OptionalPath = None
    heads: OptionalPath = None


class SyslogSettings(Section):
    """`[syslog]`: where the audit goes as DICOM audit messages over TLS; no host, nowhere.

    `ca` proves the collector (empty: the machine's authorities); `certificate` and `key` prove us
    to it. `facility` is RFC 5424's; DICOM's is 10 (PS3.15 section A.6).
    """

    host: str = ""
    port: int = Field(6514, ge=1, le=65535)
    ca: OptionalPath = None
    certificate: OptionalPath = None
    key: OptionalPath = None
    key_password_file: OptionalPath = None
    facility: int = Field(10, ge=0, le=23)

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give syslog.certificate and syslog.key together")
        return self


class NotifySettings(Section):
    """`[notify]`: who is told of what needs a person; no patient's data is in it.

    `webhook` is an http(s) URL that gets JSON; `email_to` gets mail through `smtp_host`, a relay
    that needs no password. `link` is where a person opens the console.
    """

    webhook: str = Field("", pattern=r"^(https?://.+)?$")
    email_to: tuple[str, ...] = ()
    email_from: str = "crdl-node@localhost"
    smtp_host: str = ""
    smtp_port: int = Field(25, ge=1, le=65535)
    link: str = ""

    @model_validator(mode="after")
    def _mail_has_a_relay(self) -> Self:
        if bool(self.email_to) != bool(self.smtp_host):
            raise ValueError("give notify.email_to and notify.smtp_host together")
        return self


class RetentionSettings(Section):
    """`[retention]`: how long to keep, in days, and how much.

    Above `maximum_gib` of stored files what is proven or unused expires earlier, the oldest first;
    0 sets no limit. Nothing undelivered, queued or younger than a day does.
    """

    unreferenced_days: int = Field(14, ge=1)
    proven_days: int = Field(90, ge=1)
    maximum_gib: float = Field(0, ge=0)

    @property
    def maximum_bytes(self) -> int:
        """The limit in bytes, 0 for none."""
        return int(self.maximum_gib * (1 << 30))


class BackupSettings(Section):
    """`[backup]`: where `crdl backup` puts its snapshots, and how old the last may be.

    `folder` is best on another machine's disk; the newest `keep` snapshots stay there. The first
    line of `passphrase_file` seals the audit key into each. `crdl doctor` warns when the last
    backup is older than `maximum_age_hours`; 0 expects none.
    """

    folder: OptionalPath = None
    passphrase_file: OptionalPath = None
    keep: int = Field(14, ge=1)
    maximum_age_hours: int = Field(26, ge=0)
