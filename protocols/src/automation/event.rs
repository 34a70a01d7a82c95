//! The events of the chapter and the versions that have it.

/// A version of HL7 that has the chapter and that laboratories use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.4, the first; it has neither SPM nor TQ1.
    V24,
    /// 2.5.
    V25,
    /// 2.5.1.
    #[default]
    V251,
    /// 2.6, the first with U14.
    V26,
}

impl Version {
    /// Every version, the oldest first.
    pub const ALL: [Self; 4] = [Self::V24, Self::V25, Self::V251, Self::V26];

    /// Reads MSH-12.1; `None` for another version.
    pub fn read(version: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == version)
    }

    /// As it stands in MSH-12.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V24 => "2.4",
            Self::V25 => "2.5",
            Self::V251 => "2.5.1",
            Self::V26 => "2.6",
        }
    }
}

/// What a message is about (MSH-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// ESU^U01: equipment status update.
    EquipmentStatus,
    /// ESR^U02: equipment status request.
    EquipmentStatusRequest,
    /// SSU^U03: specimen status update.
    SpecimenStatus,
    /// SSR^U04: specimen status request.
    SpecimenStatusRequest,
    /// INU^U05: inventory update.
    Inventory,
    /// INR^U06: inventory request.
    InventoryRequest,
    /// EAC^U07: equipment command.
    Command,
    /// EAR^U08: command response.
    Response,
    /// EAN^U09: notification.
    Notification,
    /// TCU^U10: test code settings update.
    TestSettings,
    /// TCR^U11: test code settings request.
    TestSettingsRequest,
    /// LSU^U12: log and service update.
    Log,
    /// LSR^U13: log and service request.
    LogRequest,
    /// INR^U14: inventory request of 2.6.
    InventoryRequestItems,
}

impl Event {
    /// Every event, by its number.
    pub const ALL: [Self; 14] = [
        Self::EquipmentStatus,
        Self::EquipmentStatusRequest,
        Self::SpecimenStatus,
        Self::SpecimenStatusRequest,
        Self::Inventory,
        Self::InventoryRequest,
        Self::Command,
        Self::Response,
        Self::Notification,
        Self::TestSettings,
        Self::TestSettingsRequest,
        Self::Log,
        Self::LogRequest,
        Self::InventoryRequestItems,
    ];

    /// Reads MSH-9.1 and MSH-9.2; `None` for a message of another chapter.
    pub fn read(message_type: &str, trigger: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| {
            let [known_type, known_trigger, _] = event.kind();
            (known_type, known_trigger) == (message_type, trigger)
        })
    }

    /// MSH-9: message, trigger, structure.
    pub const fn kind(self) -> [&'static str; 3] {
        match self {
            Self::EquipmentStatus => ["ESU", "U01", "ESU_U01"],
            Self::EquipmentStatusRequest => ["ESR", "U02", "ESR_U02"],
            Self::SpecimenStatus => ["SSU", "U03", "SSU_U03"],
            Self::SpecimenStatusRequest => ["SSR", "U04", "SSR_U04"],
            Self::Inventory => ["INU", "U05", "INU_U05"],
            Self::InventoryRequest => ["INR", "U06", "INR_U06"],
            Self::Command => ["EAC", "U07", "EAC_U07"],
            Self::Response => ["EAR", "U08", "EAR_U08"],
            Self::Notification => ["EAN", "U09", "EAN_U09"],
            Self::TestSettings => ["TCU", "U10", "TCU_U10"],
            // The requests have the structures of what they ask for.
            Self::TestSettingsRequest => ["TCR", "U11", "TCU_U10"],
            Self::Log => ["LSU", "U12", "LSU_U12"],
            Self::LogRequest => ["LSR", "U13", "LSU_U12"],
            Self::InventoryRequestItems => ["INR", "U14", "INR_U14"],
        }
    }

    /// The message that answers it after the acknowledgement; `None` where there is none. A
    /// command is answered where ECD-3 says so.
    pub const fn answer(self) -> Option<Self> {
        match self {
            Self::EquipmentStatusRequest => Some(Self::EquipmentStatus),
            Self::SpecimenStatusRequest => Some(Self::SpecimenStatus),
            Self::InventoryRequest | Self::InventoryRequestItems => Some(Self::Inventory),
            Self::Command => Some(Self::Response),
            Self::TestSettingsRequest => Some(Self::TestSettings),
            Self::LogRequest => Some(Self::Log),
            Self::EquipmentStatus
            | Self::SpecimenStatus
            | Self::Inventory
            | Self::Response
            | Self::Notification
            | Self::TestSettings
            | Self::Log => None,
        }
    }

    /// The first version that has it.
    pub const fn since(self) -> Version {
        if matches!(self, Self::InventoryRequestItems) {
            Version::V26
        } else {
            Version::V24
        }
    }

    /// The segments that open a group of it, and those that may stand in one.
    pub(super) const fn group(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::EquipmentStatus => (&["ISD"], &["ISD"]),
            Self::EquipmentStatusRequest => (&[], &[]),
            Self::SpecimenStatus => (&["SAC"], &["SAC", "OBX", "SPM", "NTE"]),
            Self::SpecimenStatusRequest => (&["SAC"], &["SAC", "SPM"]),
            Self::Inventory | Self::InventoryRequest | Self::InventoryRequestItems => {
                (&["INV"], &["INV"])
            }
            Self::Command => (&["ECD"], &["ECD", "TQ1", "SAC", "SPM", "CNS", "OBR", "DST"]),
            Self::Response => (&["ECD"], &["ECD", "SAC", "SPM", "ECR", "OBR", "DST"]),
            Self::Notification => (&["NDS"], &["NDS", "NTE"]),
            Self::TestSettings | Self::TestSettingsRequest => (&["SPM", "TCC"], &["SPM", "TCC"]),
            Self::Log | Self::LogRequest => (&["EQP"], &["EQP"]),
        }
    }

    /// Whether the grammar wants at least one group.
    pub(super) const fn wants_group(self) -> bool {
        !matches!(self, Self::EquipmentStatus | Self::EquipmentStatusRequest)
    }
}
