"""Erlang/OTP's process model on Trio: actors, supervisors, and nothing that outlives them.

@dataclass(frozen=True)
class Get(Call[int]): ...

class Counter(GenServer):
    def __init__(self, start: int) -> None:
        self.value = start
    async def handle_call(self, request, caller):
        match request:
            case Get():
                return self.value
            case _:
                return await super().handle_call(request, caller)
    async def handle_cast(self, message):
        self.value += message

spec = ChildSpec("counter", lambda: Counter(5), name="counter")
async with start_tree(Supervisor.child_spec("root", [spec])) as (system, root):
    counter = system.ref("counter")
    await counter.cast(1)
    assert await counter.call(Get()) == 6

Beside what is named here: `supervision.state_machine` (events and actions of a `StateMachine`), `tasks` (tasks with
results, ordered streams), `partition` (N copies, routed by key), `groups` (members and publishing), `event_stream`
(isolated handlers), `introspect` (state, suspend, trace), `testing` (probes, misbehaving children, clean trees,
simulation).
"""

from ._core.backoff import Backoff
from ._core.mailbox import Mailbox
from ._core.quarantine import Quarantine
from ._core.reasons import (
    Crash,
    ExitReason,
    FailedToStart,
    Killed,
    NameTaken,
    NoProc,
    Normal,
    Shutdown,
    consequences,
)
from ._core.specs import ChildSpec, InvalidSpecError
from .actor import Actor, Link, MonitorRef
from .children import (
    ChildCounts,
    ChildInfo,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from .dynamic_supervisor import DynamicSupervisor
from .errors import (
    AlreadyPresent,
    AlreadyRegistered,
    AlreadyStarted,
    CallCycle,
    CallTimeout,
    ChildError,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    Exit,
    MailboxFull,
    MaxChildren,
    RootDown,
    SelfCall,
    ServerDown,
    StartError,
    SupervisionError,
    UnansweredCall,
    UnhandledMessage,
)
from .events import (
    CrashReport,
    Events,
    HighWaterReport,
    HogReport,
    ProgressReport,
    QuarantineReport,
    Report,
    ShutdownBudgetReport,
    StuckReport,
    SubscriberFailed,
    SupervisorReport,
    UnexpectedMessageReport,
)
from .gen_server import GenServer
from .messages import IGNORE, NO_REPLY, Call, Continue, Diverted, Down, Ignore, NoReply, Timeout
from .ref import ActorRef, NamedRef
from .registry import DuplicateRegistry, Registry, UniqueRegistry
from .reply import From
from .snapshot import MailboxStatistics, Tree
from .state_machine import StateMachine
from .supervisor import Supervisor
from .system import System
from .timers import Timer
from .tree import start_tree
from .watchdog import Watchdog

__all__ = [
    "IGNORE",
    "NO_REPLY",
    "Actor",
    "ActorRef",
    "AlreadyPresent",
    "AlreadyRegistered",
    "AlreadyStarted",
    "Backoff",
    "Call",
    "CallCycle",
    "CallTimeout",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "Continue",
    "Crash",
    "CrashReport",
    "Diverted",
    "Down",
    "DuplicateRegistry",
    "DynamicSupervisor",
    "Events",
    "Exit",
    "ExitReason",
    "FailedToStart",
    "From",
    "GenServer",
    "HighWaterReport",
    "HogReport",
    "Ignore",
    "InvalidSpecError",
    "Killed",
    "Link",
    "Mailbox",
    "MailboxFull",
    "MailboxStatistics",
    "MaxChildren",
    "MonitorRef",
    "NameTaken",
    "NamedRef",
    "NoProc",
    "NoReply",
    "Normal",
    "ProgressReport",
    "Quarantine",
    "QuarantineReport",
    "Registry",
    "Report",
    "RootDown",
    "SelfCall",
    "ServerDown",
    "Shutdown",
    "ShutdownBudgetReport",
    "StartError",
    "StateMachine",
    "StuckReport",
    "SubscriberFailed",
    "SupervisionError",
    "Supervisor",
    "SupervisorReport",
    "System",
    "Timeout",
    "Timer",
    "Tree",
    "UnansweredCall",
    "UnexpectedMessageReport",
    "UnhandledMessage",
    "UniqueRegistry",
    "Watchdog",
    "consequences",
    "count_children",
    "delete_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "start_tree",
    "terminate_child",
    "which_children",
]
