"""Every error a person can meet, in one tree.

An error has a kind, a sentence that says what happened and why, and a hint of what to do. Sentences are templates over
named fields, so that they cross a process boundary as data and are shown in the reader's language at the edge
(``commonart_desktop.core.i18n``). ``UsageError`` and what is below it end a command with status 2, all else with 1, but
where a class says otherwise. The tree:

    CommonArtError
        GateClosed
        NoDisplay
        ProtocolError
        ScoreFailed
        SigningFailed
        EngineError
            ClusterVersions
            EngineStopped
            MissingLibrary
            NoCluster
            NodeDiskFull
            NodeLost
            NodeRefused
            NotFinite
            OutOfMemory
            ParityMissed
            ProcessLost
            QueueHeld
            TooLittleMemory
            TrainingDiverged
            TrainingMemory
            WorkerDied
        LedgerError
            LedgerCorrupt
            LedgerLocked
            LedgerNewer
            LedgerUnwritable
        ModelError
            BrokenDownload
            ExportAltered
            LoraForOther
            NeedsConversion
            NoNetwork
            PickleRefused
            UnsupportedAdapter
            WrongShape
            WrongTokenizer
            BrokenWeights
                NotSafetensors
        OutputError
            DataFolder
            DiskFull
            NoRoom
            TooLittleDisk
            OutputFolder
                OutputFile
        UsageError
            AfterCrash
            AmbiguousLora
            BadAccelerate
            BadCertificate
            BadConfig
            BadEncoder
            BadPicture
            BadPolicy
            BadRow
            BadTemplate
            BadValue
            ExportOut
            FeatureMissing
            MachinesDiffer
            MissingPart
            NoCaptioner
            NoDevice
            NoLicence
            NoRecipe
            NoRecords
            NotAModel
            NotEditable
            NotExportable
            NotOnHub
            NotUtf8
            NothingToCheck
            NothingToEvaluate
            NothingToResume
            PromptHidden
            RecipesDiffer
            RunDiffers
            RunExists
            TooFewPictures
            TooFewToCompare
            UnknownCommand
            UnknownImport
            UnknownJob
            UnknownLora
            UnknownModel
            UnknownSampler
            UnsafeArchive
            BadFile
                BadSettings
                    BackslashInSettings
"""

from engine.contract.errors.base import (
    CommonArtError,
    EngineError,
    ModelError,
    OutputError,
    Phrase,
    UsageError,
    from_wire,
    system_words,
    tree,
)
from engine.contract.errors.cluster import ClusterVersions, NoCluster, NodeDiskFull, NodeLost, NodeRefused
from engine.contract.errors.dataset import (
    BadPicture,
    BadPolicy,
    GateClosed,
    NoCaptioner,
    NoLicence,
    NoRecords,
    NotUtf8,
    UnknownImport,
    UnsafeArchive,
)
from engine.contract.errors.engine import (
    EngineStopped,
    FeatureMissing,
    MissingLibrary,
    NoDevice,
    NoDisplay,
    NotFinite,
    OutOfMemory,
    ProtocolError,
    WorkerDied,
)
from engine.contract.errors.evaluation import (
    BadEncoder,
    NothingToCheck,
    NothingToEvaluate,
    RecipesDiffer,
    TooFewToCompare,
)
from engine.contract.errors.export import (
    ExportAltered,
    ExportOut,
    NotExportable,
    ParityMissed,
    TooLittleDisk,
    TooLittleMemory,
)
from engine.contract.errors.model import (
    AmbiguousLora,
    BrokenDownload,
    BrokenWeights,
    LoraForOther,
    MissingPart,
    NeedsConversion,
    NoNetwork,
    NotAModel,
    NotOnHub,
    NotSafetensors,
    PickleRefused,
    UnknownLora,
    UnknownModel,
    UnsupportedAdapter,
    WrongShape,
    WrongTokenizer,
)
from engine.contract.errors.output import DataFolder, DiskFull, OutputFile, OutputFolder
from engine.contract.errors.provenance import BadCertificate, ScoreFailed, SigningFailed
from engine.contract.errors.queue import (
    AfterCrash,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerNewer,
    LedgerUnwritable,
    NotEditable,
    QueueHeld,
    UnknownJob,
)
from engine.contract.errors.request import (
    BackslashInSettings,
    BadFile,
    BadRow,
    BadSettings,
    BadTemplate,
    BadValue,
    NoRecipe,
    PromptHidden,
    UnknownCommand,
    UnknownSampler,
)
from engine.contract.errors.training import (
    BadAccelerate,
    BadConfig,
    MachinesDiffer,
    NoRoom,
    NothingToResume,
    ProcessLost,
    RunDiffers,
    RunExists,
    TooFewPictures,
    TrainingDiverged,
    TrainingMemory,
)

# fmt: off
__all__ = [
    "AfterCrash", "AmbiguousLora", "BackslashInSettings", "BadAccelerate", "BadCertificate", "BadConfig",
    "BadEncoder", "BadFile", "BadPicture", "BadPolicy", "BadRow", "BadSettings", "BadTemplate", "BadValue",
    "BrokenDownload", "BrokenWeights", "ClusterVersions", "CommonArtError", "DataFolder", "DiskFull", "EngineError",
    "EngineStopped", "ExportAltered", "ExportOut", "FeatureMissing", "GateClosed", "LedgerCorrupt", "LedgerError",
    "LedgerLocked", "LedgerNewer", "LedgerUnwritable", "LoraForOther", "MachinesDiffer", "MissingLibrary",
    "MissingPart", "ModelError", "NeedsConversion", "NoCaptioner", "NoCluster", "NoDevice", "NoDisplay", "NoLicence",
    "NoNetwork", "NoRecipe", "NoRecords", "NoRoom", "NodeDiskFull", "NodeLost", "NodeRefused", "NotAModel",
    "NotEditable", "NotExportable", "NotFinite", "NotOnHub", "NotSafetensors", "NotUtf8", "NothingToCheck",
    "NothingToEvaluate", "NothingToResume", "OutOfMemory", "OutputError", "OutputFile", "OutputFolder",
    "ParityMissed", "Phrase", "PickleRefused", "ProcessLost", "PromptHidden", "ProtocolError", "QueueHeld",
    "RecipesDiffer", "RunDiffers", "RunExists", "ScoreFailed", "SigningFailed", "TooFewPictures", "TooFewToCompare",
    "TooLittleDisk", "TooLittleMemory", "TrainingDiverged", "TrainingMemory", "UnknownCommand", "UnknownImport",
    "UnknownJob", "UnknownLora", "UnknownModel", "UnknownSampler", "UnsafeArchive", "UnsupportedAdapter",
    "UsageError", "WorkerDied", "WrongShape", "WrongTokenizer", "from_wire", "system_words", "tree",
]
# fmt: on
