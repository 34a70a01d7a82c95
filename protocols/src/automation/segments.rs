//! The segments of the chapter (HL7 v2.5.1 13.4): EQU, ISD, ECD, ECR, NDS, CNS, TCC, EQP and ROL.
//! SAC, INV, TCD, SID and SPM are in [`crate::hl7::material`].

use crate::hl7::{
    tables::{
        AlertLevel, CommandResponse, ControlState, EquipmentState, LogEvent, ProcessingType,
        RemoteControl,
    },
    views::segment_views,
};

segment_views! {
    /// EQU: which equipment, when, in which state (13.4.1).
    Equipment EquipmentDraft EQU last 5 requires [1, 2] {
        1 id parts "equipment instance id (EI)";
        2 time text "event date and time";
        3 state code EquipmentState "equipment state";
        4 control code ControlState "local or remote control";
        5 alert code AlertLevel "alert level";
    }

    /// ISD: an interaction that is going on (13.4.2).
    Interaction InteractionDraft ISD last 3 requires [1, 3] {
        1 number text "reference interaction number";
        2 kind code RemoteControl "interaction type";
        3 state code CommandResponse "active state";
    }

    /// ECD: what an equipment is told to do (13.4.5).
    Command CommandDraft ECD last 5 requires [1, 2] {
        1 number text "reference command number, which the response repeats";
        2 control code RemoteControl "remote control command";
        3 response_required text "whether a response is wanted, `Y` or `N`";
        4 completion_time parts "requested completion time (TQ), before TQ1";
        5 parameters list "parameters";
    }

    /// ECR: what became of a command (13.4.6).
    Response ResponseDraft ECR last 3 requires [1, 2] {
        1 outcome code CommandResponse "command response";
        2 completed text "date and time of completion";
        3 parameters list "response parameters";
    }

    /// NDS: what happened (13.4.7).
    Notification NotificationDraft NDS last 4 requires [1, 2, 3, 4] {
        1 number text "notification reference number";
        2 time text "notification date and time";
        3 severity code AlertLevel "severity";
        4 code parts "notification code, of the vendor";
    }

    /// CNS: which notifications are to be cleared (13.4.8).
    ClearRange ClearRangeDraft CNS last 6 requires [] {
        1 first_number text "starting notification number";
        2 last_number text "ending notification number";
        3 first_time text "starting date and time";
        4 last_time text "ending date and time";
        5 first_code parts "starting code";
        6 last_code parts "ending code";
    }

    /// TCC: how a test is set up (13.4.9).
    TestSetting TestSettingDraft TCC last 15 requires [1, 2] {
        1 service parts "universal service id";
        2 application parts "test application id (EI)";
        3 specimen_source parts "specimen source, before SPM";
        4 auto_dilution parts "default auto-dilution factor (SN)";
        5 rerun_dilution parts "default rerun dilution factor (SN)";
        6 pre_dilution parts "default pre-dilution factor (SN)";
        7 endogenous_content parts "endogenous content of the pre-dilution diluent (SN)";
        8 warning_level text "inventory level at which it warns";
        9 rerun_allowed text "whether automatic reruns are allowed, `Y` or `N`";
        10 repeat_allowed text "whether automatic repeats are allowed, `Y` or `N`";
        11 reflex_allowed text "whether automatic reflex tests are allowed, `Y` or `N`";
        12 dynamic_range parts "dynamic range of the equipment (SN)";
        13 units parts "units";
        14 processing code ProcessingType "processing type";
        15 criticality parts "test criticality (2.8)";
    }

    /// EQP: an entry of a log (13.4.12).
    LogEntry LogEntryDraft EQP last 5 requires [1, 3, 5] {
        1 kind code LogEvent "event type";
        2 file text "file name";
        3 start text "start date and time";
        4 end text "end date and time";
        5 data text "transaction data";
    }

    /// ROL: who did it (HL7 v2.5.1 15.4.7).
    Role RoleDraft ROL last 15 requires [2, 3, 4] {
        1 id parts "role instance id (EI)";
        2 action text "action code";
        3 role parts "role";
        4 person list "role person (XCN)";
        5 begin text "begin date and time";
        6 end text "end date and time";
        7 duration parts "duration";
        8 reason parts "reason of the action";
        9 provider_type list "provider type";
        10 unit_type parts "organization unit type";
        11 address list "address";
        12 phone list "phone";
        13 location parts "location (2.6)";
        14 organization parts "organization (2.8)";
    }
}
