//! Writing the messages of the chapter, for both sides: its messages are symmetrical.

use super::{
    WriteError,
    event::{Event, Version},
    segments::{
        ClearRangeDraft, CommandDraft, EquipmentDraft, InteractionDraft, LogEntryDraft,
        NotificationDraft, ResponseDraft, RoleDraft, TestSettingDraft,
    },
};
use crate::hl7::{
    build::{Header, MessageBuilder, Name, SegmentWriter},
    material::{ContainerDraft, SpecimenDraft, SubstanceDraft},
    views::Draft,
};

/// Who says it to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// MSH-3.
    pub sending_application: &'a str,
    /// MSH-4.
    pub sending_facility: &'a str,
    /// MSH-5.
    pub receiving_application: &'a str,
    /// MSH-6.
    pub receiving_facility: &'a str,
    /// MSH-7.
    pub time: &'a str,
    /// MSH-10.
    pub control_id: &'a str,
    /// MSH-12.
    pub version: Version,
    /// MSH-15 and MSH-16: a commit acknowledgement and no other, unless a peer wants it otherwise.
    pub acks: [&'a str; 2],
    /// MSH-18.
    pub charset: &'a str,
}

impl Default for Envelope<'_> {
    fn default() -> Self {
        Self {
            sending_application: "",
            sending_facility: "",
            receiving_application: "",
            receiving_facility: "",
            time: "",
            control_id: "",
            version: Version::default(),
            acks: ["AL", "NE"],
            charset: "UNICODE UTF-8",
        }
    }
}

/// What a message says; its event follows from it.
#[derive(Clone, Copy, Debug)]
pub enum Content<'d> {
    /// U01: the state in EQU, and the interactions going on.
    EquipmentStatus(&'d [InteractionDraft]),
    /// U02.
    EquipmentStatusRequest,
    /// U03.
    SpecimenStatus(&'d [ContainerContent<'d>]),
    /// U04.
    SpecimenStatusRequest(&'d [ContainerContent<'d>]),
    /// U05.
    Inventory(&'d [SubstanceDraft]),
    /// U06.
    InventoryRequest(&'d [SubstanceDraft]),
    /// U14, from 2.6.
    InventoryRequestItems(&'d [SubstanceDraft]),
    /// U07.
    Commands(&'d [CommandContent<'d>]),
    /// U08.
    Responses(&'d [ResponseContent<'d>]),
    /// U09.
    Notifications(&'d [NotificationContent<'d>]),
    /// U10.
    TestSettings(&'d [TestContent<'d>]),
    /// U11.
    TestSettingsRequest(&'d [TestContent<'d>]),
    /// U12.
    Log(&'d [LogEntryDraft]),
    /// U13.
    LogRequest(&'d [LogEntryDraft]),
}

/// A container with what is in it.
#[derive(Clone, Debug, Default)]
pub struct ContainerContent<'d> {
    /// SAC.
    pub container: ContainerDraft,
    /// OBX, in U03 only.
    pub measured: &'d [Measured<'d>],
    /// SPM, from 2.5.
    pub specimens: &'d [SpecimenDraft],
}

/// Something measured on a container or specimen; all texts plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured<'d> {
    /// OBX-2.
    pub value_type: &'d str,
    /// OBX-3.
    pub code: &'d [&'d str],
    /// OBX-5.
    pub value: &'d [&'d str],
    /// OBX-6.
    pub unit: &'d [&'d str],
}

/// A command.
#[derive(Clone, Debug)]
pub struct CommandContent<'d> {
    /// ECD.
    pub command: CommandDraft,
    /// TQ1-8, from 2.5: when it shall be done; left out if empty.
    pub complete_by: &'d str,
    /// SAC and SPM: which container it is for.
    pub container: Option<ContainerContent<'d>>,
    /// CNS: which notifications it clears.
    pub clear: Option<ClearRangeDraft>,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub struct ResponseContent<'d> {
    /// ECD, as [`super::reply::repeat_command`] makes it.
    pub command: CommandDraft,
    /// SAC and SPM: which container it was for.
    pub container: Option<ContainerContent<'d>>,
    /// ECR.
    pub response: ResponseDraft,
}

/// A notification.
#[derive(Clone, Debug)]
pub struct NotificationContent<'d> {
    /// NDS.
    pub notification: NotificationDraft,
    /// NTE-3, from the equipment; left out if empty.
    pub comment: &'d str,
}

/// How tests are set up for a specimen.
#[derive(Clone, Debug)]
pub struct TestContent<'d> {
    /// SPM, from 2.5.
    pub specimen: Option<SpecimenDraft>,
    /// TCC.
    pub tests: &'d [TestSettingDraft],
}

impl Content<'_> {
    /// The event of the message that says it.
    pub const fn event(&self) -> Event {
        match self {
            Self::EquipmentStatus(_) => Event::EquipmentStatus,
            Self::EquipmentStatusRequest => Event::EquipmentStatusRequest,
            Self::SpecimenStatus(_) => Event::SpecimenStatus,
            Self::SpecimenStatusRequest(_) => Event::SpecimenStatusRequest,
            Self::Inventory(_) => Event::Inventory,
            Self::InventoryRequest(_) => Event::InventoryRequest,
            Self::InventoryRequestItems(_) => Event::InventoryRequestItems,
            Self::Commands(_) => Event::Command,
            Self::Responses(_) => Event::Response,
            Self::Notifications(_) => Event::Notification,
            Self::TestSettings(_) => Event::TestSettings,
            Self::TestSettingsRequest(_) => Event::TestSettingsRequest,
            Self::Log(_) => Event::Log,
            Self::LogRequest(_) => Event::LogRequest,
        }
    }

    /// How many groups it has.
    const fn len(&self) -> usize {
        match self {
            Self::EquipmentStatusRequest => 0,
            Self::EquipmentStatus(items) => items.len(),
            Self::SpecimenStatus(items) | Self::SpecimenStatusRequest(items) => items.len(),
            Self::Inventory(items)
            | Self::InventoryRequest(items)
            | Self::InventoryRequestItems(items) => items.len(),
            Self::Commands(items) => items.len(),
            Self::Responses(items) => items.len(),
            Self::Notifications(items) => items.len(),
            Self::TestSettings(items) | Self::TestSettingsRequest(items) => items.len(),
            Self::Log(items) | Self::LogRequest(items) => items.len(),
        }
    }
}

/// Writes a message of the chapter: about `equipment`, or for it.
///
/// # Errors
/// See [`WriteError`]: a required field without a value, nothing to say, or what the version does
/// not have.
pub fn build(
    envelope: &Envelope<'_>,
    equipment: &EquipmentDraft,
    content: &Content<'_>,
    role: Option<&RoleDraft>,
) -> Result<String, WriteError> {
    let event = content.event();
    if envelope.version < event.since() {
        return Err(WriteError::NotInVersion(trigger(event)));
    }
    if event.wants_group() && content.len() == 0 {
        return Err(WriteError::NothingToSay);
    }
    let mut writer = Writer {
        builder: begin(envelope, event),
        version: envelope.version,
    };
    writer.push(equipment)?;
    writer.push_content(content)?;
    if let Some(role) = role {
        writer.push(role)?;
    }
    Ok(writer.builder.finish()?)
}

const fn trigger(event: Event) -> &'static str {
    let [_, trigger, _] = event.kind();
    trigger
}

fn begin(envelope: &Envelope<'_>, event: Event) -> MessageBuilder {
    let ([message_type, trigger, structure], [accept_ack, application_ack]) =
        (event.kind(), envelope.acks);
    MessageBuilder::new(&Header {
        sending_application: envelope.sending_application,
        sending_facility: envelope.sending_facility,
        receiving_application: envelope.receiving_application,
        receiving_facility: envelope.receiving_facility,
        time: envelope.time,
        message_type,
        trigger,
        structure,
        control_id: envelope.control_id,
        processing_id: "P",
        version: envelope.version.as_str(),
        accept_ack,
        application_ack,
        charset: envelope.charset,
        profile: "",
    })
}

/// A message being written, in a version.
struct Writer {
    builder: MessageBuilder,
    version: Version,
}

impl Writer {
    fn push<D: Draft>(&mut self, draft: &D) -> Result<(), WriteError> {
        if let Some(field) = draft.missing() {
            return Err(WriteError::FieldMissing(D::NAME, field));
        }
        self.builder.push(draft.writer().clone());
        Ok(())
    }

    fn push_all<D: Draft>(&mut self, drafts: &[D]) -> Result<(), WriteError> {
        drafts.iter().try_for_each(|draft| self.push(draft))
    }

    /// Refuses what came with 2.5, where the message is older.
    fn need_25(&self, name: &'static str) -> Result<(), WriteError> {
        if self.version < Version::V25 {
            return Err(WriteError::NotInVersion(name));
        }
        Ok(())
    }

    fn push_content(&mut self, content: &Content<'_>) -> Result<(), WriteError> {
        match content {
            Content::EquipmentStatusRequest => Ok(()),
            Content::EquipmentStatus(items) => self.push_all(items),
            Content::SpecimenStatus(items) | Content::SpecimenStatusRequest(items) => {
                items.iter().try_for_each(|item| self.push_container(item))
            }
            Content::Inventory(items)
            | Content::InventoryRequest(items)
            | Content::InventoryRequestItems(items) => self.push_all(items),
            Content::Commands(items) => items.iter().try_for_each(|item| self.push_command(item)),
            Content::Responses(items) => items.iter().try_for_each(|item| self.push_response(item)),
            Content::Notifications(items) => items
                .iter()
                .try_for_each(|item| self.push_notification(item)),
            Content::TestSettings(items) | Content::TestSettingsRequest(items) => {
                items.iter().try_for_each(|item| self.push_tests(item))
            }
            Content::Log(items) | Content::LogRequest(items) => self.push_all(items),
        }
    }

    fn push_container(&mut self, content: &ContainerContent<'_>) -> Result<(), WriteError> {
        if !content.container.has_id(3) {
            return Err(WriteError::NoContainer);
        }
        self.push(&content.container)?;
        for (index, measured) in content.measured.iter().enumerate() {
            self.builder.push(obx(index, measured));
        }
        if !content.specimens.is_empty() {
            self.need_25(SpecimenDraft::NAME)?;
        }
        self.push_all(content.specimens)
    }

    fn push_command(&mut self, content: &CommandContent<'_>) -> Result<(), WriteError> {
        self.push(&content.command)?;
        if !content.complete_by.is_empty() {
            self.need_25("TQ1")?;
            let timing = SegmentWriter::new(Name::TQ1)
                .text(1, "1")
                .text(8, content.complete_by);
            self.builder.push(timing);
        }
        if let Some(container) = &content.container {
            self.push_container(container)?;
        }
        content.clear.iter().try_for_each(|clear| self.push(clear))
    }

    fn push_response(&mut self, content: &ResponseContent<'_>) -> Result<(), WriteError> {
        self.push(&content.command)?;
        if let Some(container) = &content.container {
            self.push_container(container)?;
        }
        self.push(&content.response)
    }

    fn push_notification(&mut self, content: &NotificationContent<'_>) -> Result<(), WriteError> {
        self.push(&content.notification)?;
        if !content.comment.is_empty() {
            let comment = SegmentWriter::new(Name::NTE)
                .text(1, "1")
                .text(2, "L")
                .text(3, content.comment);
            self.builder.push(comment);
        }
        Ok(())
    }

    fn push_tests(&mut self, content: &TestContent<'_>) -> Result<(), WriteError> {
        if content.tests.is_empty() {
            return Err(WriteError::NothingToSay);
        }
        if let Some(specimen) = &content.specimen {
            self.need_25(SpecimenDraft::NAME)?;
            self.push(specimen)?;
        }
        self.push_all(content.tests)
    }
}

fn obx(index: usize, measured: &Measured<'_>) -> SegmentWriter {
    SegmentWriter::new(Name::OBX)
        .text(1, &index.saturating_add(1).to_string())
        .text(2, measured.value_type)
        .components(3, measured.code)
        .components(5, measured.value)
        .components(6, measured.unit)
        .text(11, "F")
}
