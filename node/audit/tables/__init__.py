"""The tables. *Work* tables hold the current state and change; *ledger* tables are append-only.

Every change of a work row writes its ledger row in the same transaction (`trail.record`).
"""

from node.audit.tables.access import ApiToken, OidcLogin, UserAccount, WebSession
from node.audit.tables.base import Base
from node.audit.tables.bundles import Activation, ShadowFinding
from node.audit.tables.intake import Assignment, Association, Instance, Study
from node.audit.tables.ledger import (
    LEDGERS,
    ChainLink,
    Ledger,
    LedgerAccess,
    LedgerAssociation,
    LedgerCase,
    LedgerDelivery,
    LedgerFinding,
    LedgerInstance,
    LedgerJob,
    LedgerReading,
    LedgerReport,
    LedgerSystem,
)
from node.audit.tables.outages import CircuitRow, InLine
from node.audit.tables.pledges import Pledge
from node.audit.tables.readings import Outcome, ReadingRow
from node.audit.tables.reports import (
    Commitment,
    Delivery,
    FindingRow,
    ModelUsage,
    Report,
    Withdrawal,
)
from node.audit.tables.upkeep import Follower, Installation, Lease, Notice, SavedQuery
from node.audit.tables.work import Job, JobInstance, JobNeed
from node.audit.tables.worklist import (
    PerformedStep,
    PerformedWorkitem,
    StudyCompletion,
    Workitem,
    WorkitemSubscription,
)

__all__ = [
    "LEDGERS",
    "Activation",
    "ApiToken",
    "Assignment",
    "Association",
    "Base",
    "ChainLink",
    "CircuitRow",
    "Commitment",
    "Delivery",
    "FindingRow",
    "Follower",
    "InLine",
    "Installation",
    "Instance",
    "Job",
    "JobInstance",
    "JobNeed",
    "Lease",
    "Ledger",
    "LedgerAccess",
    "LedgerAssociation",
    "LedgerCase",
    "LedgerDelivery",
    "LedgerFinding",
    "LedgerInstance",
    "LedgerJob",
    "LedgerReading",
    "LedgerReport",
    "LedgerSystem",
    "ModelUsage",
    "Notice",
    "OidcLogin",
    "Outcome",
    "PerformedStep",
    "PerformedWorkitem",
    "Pledge",
    "ReadingRow",
    "Report",
    "SavedQuery",
    "ShadowFinding",
    "Study",
    "StudyCompletion",
    "UserAccount",
    "WebSession",
    "Withdrawal",
    "Workitem",
    "WorkitemSubscription",
]
