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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::{Field, Message};

    /// A message of one segment whose field n is the number n.
    fn numbered(name: &str) -> String {
        let fields: Vec<_> = (1..=14).map(|n| n.to_string()).collect();
        format!("MSH|^~\\&|A\r{name}|{}\r", fields.join("|"))
    }

    #[track_caller]
    fn check(first: usize, fields: &[Field<'_>]) {
        for (n, field) in (first..).zip(fields) {
            assert_eq!(field.raw(), n.to_string());
        }
    }

    /// In the order of the chapter's table (F.2), by its names and not by the numbers above.
    #[test]
    fn every_field_stands_where_the_chapter_of_automation_puts_it() {
        let names = [
            "EQU", "ISD", "ECD", "ECR", "NDS", "CNS", "TCC", "EQP", "ROL",
        ];
        let texts = names.map(numbered);
        let [equ, isd, ecd, ecr, nds, cns, tcc, eqp, rol] = texts
            .each_ref()
            .map(|text| Message::parse(text).unwrap().0.segments()[1]);
        let equ = Equipment::new(equ);
        check(1, &[equ.id(), equ.time()]);
        assert_eq!(equ.state().unwrap().code(), "3");
        assert_eq!(equ.control().unwrap().code(), "4");
        assert_eq!(equ.alert().unwrap().code(), "5");
        let isd = Interaction::new(isd);
        check(1, &[isd.number()]);
        assert_eq!(isd.kind().unwrap().code(), "2");
        assert_eq!(isd.state().unwrap().code(), "3");
        let ecd = Command::new(ecd);
        check(1, &[ecd.number()]);
        assert_eq!(ecd.control().unwrap().code(), "2");
        let fields = [
            ecd.response_required(),
            ecd.completion_time(),
            ecd.parameters(),
        ];
        check(3, &fields);
        let ecr = Response::new(ecr);
        assert_eq!(ecr.outcome().unwrap().code(), "1");
        check(2, &[ecr.completed(), ecr.parameters()]);
        let nds = Notification::new(nds);
        check(1, &[nds.number(), nds.time()]);
        assert_eq!(nds.severity().unwrap().code(), "3");
        check(4, &[nds.code()]);
        let cns = ClearRange::new(cns);
        let fields = [
            cns.first_number(),
            cns.last_number(),
            cns.first_time(),
            cns.last_time(),
            cns.first_code(),
            cns.last_code(),
        ];
        check(1, &fields);
        let tcc = TestSetting::new(tcc);
        let fields = [
            tcc.service(),
            tcc.application(),
            tcc.specimen_source(),
            tcc.auto_dilution(),
            tcc.rerun_dilution(),
            tcc.pre_dilution(),
            tcc.endogenous_content(),
            tcc.warning_level(),
            tcc.rerun_allowed(),
            tcc.repeat_allowed(),
            tcc.reflex_allowed(),
            tcc.dynamic_range(),
            tcc.units(),
        ];
        check(1, &fields);
        assert_eq!(tcc.processing().unwrap().code(), "14");
        let eqp = LogEntry::new(eqp);
        assert_eq!(eqp.kind().unwrap().code(), "1");
        check(2, &[eqp.file(), eqp.start(), eqp.end(), eqp.data()]);
        let rol = Role::new(rol);
        check(1, &[rol.id(), rol.action(), rol.role(), rol.person()]);
    }
}
