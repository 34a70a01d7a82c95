//! The POCT1-A wire against transcripts written by hand, and against chance.

mod chance;
mod clauses;
mod conversing;
mod reading;
mod receiving;
mod table;
mod writing;

use super::{Dialect, Link, Mode};
use crate::{
    transcript::{Bench, shown, wire},
    wire::Input,
};

/// `{hel 7135}` and the like are whole messages, written out here by hand; an unknown word is left
/// as it is.
fn framer(inner: &str) -> Vec<u8> {
    message(inner).into_bytes()
}

fn head(root: &str, control_id: &str, body: &str) -> String {
    format!(
        "<{root}><HDR><HDR.control_id V=\"{control_id}\"/><HDR.version_id V=\"POCT1\"/>\
         <HDR.creation_dttm V=\"{TIME}\"/></HDR>{body}</{root}>"
    )
}

const TIME: &str = "2026-02-22T14:06:34-00:00";

fn message(inner: &str) -> String {
    let words: Vec<&str> = inner.split(' ').collect();
    let (name, id) = (words[0], words.get(1).copied().unwrap_or("?"));
    let word = |at: usize| words.get(at).copied().unwrap_or("0");
    match name {
        "hel" => head("HEL.R01", id, DEVICE),
        "dst" => head(
            "DST.R01",
            id,
            &format!(
                "<DST><DST.status_dttm V=\"{TIME}\"/><DST.new_observations_qty V=\"{}\"/>\
                 <DST.new_events_qty V=\"{}\"/><DST.condition_cd V=\"R\"/></DST>",
                word(2),
                word(3)
            ),
        ),
        "ack" | "nack" => {
            let code = if name == "ack" { "AA" } else { "AE" };
            let of = word(2);
            head(
                "ACK.R01",
                id,
                &format!("<ACK><ACK.type_cd V=\"{code}\"/><ACK.ack_control_id V=\"{of}\"/></ACK>"),
            )
        }
        "req" => {
            let code = word(2);
            let body = format!("<REQ><REQ.request_cd V=\"{code}\"/></REQ>");
            head("REQ.R01", id, &body)
        }
        "rpat" => {
            let body = "<REQ><REQ.request_cd V=\"RPAT\"/><PT><PT.patient_id V=\"7\"/></PT></REQ>";
            head("REQ.R01", id, body)
        }
        "ptl" => head("PTL.R01", id, "<PT><PT.patient_id V=\"7\"/></PT>"),
        "dtv" => {
            let code = word(2);
            let body = format!("<DTV><DTV.command_cd V=\"{code}\"/></DTV>");
            head("DTV.R01", id, &body)
        }
        "obs" => head("OBS.R01", id, PATIENT),
        "qc" => head("OBS.R02", id, CONTROL),
        "evs" => head("EVS.R01", id, EVENT),
        "eot" => {
            let topic = word(2);
            let body = format!("<EOT><EOT.topic_cd V=\"{topic}\"/></EOT>");
            head("EOT.R01", id, &body)
        }
        "end" => head("END.R01", id, "<TRM><TRM.reason_cd V=\"NRM\"/></TRM>"),
        "esc" => {
            let of = word(2);
            let body =
                format!("<ESC><ESC.esc_control_id V=\"{of}\"/><ESC.detail_cd V=\"OTH\"/></ESC>");
            head("ESC.R01", id, &body)
        }
        "kpa" => head("KPA.R01", id, ""),
        "new" => head("XYZ.R07", id, "<XYZ/>"),
        _ => inner.to_owned(),
    }
}

const DEVICE: &str = "<DEV><DEV.device_id V=\"00:06:66:00:22:A1\"/>\
    <DEV.serial_id V=\"00010387\"/></DEV>";
const PATIENT: &str = "<SVC><SVC.role_cd V=\"OBS\"/>\
    <SVC.observation_dttm V=\"2026-02-22T14:01:29-00:00\"/><PT><PT.patient_id V=\"P-17\"/>\
    <OBS><OBS.observation_id V=\"2341-6\" DN=\"Glu\" SN=\"LN\"/>\
    <OBS.value V=\"8.0\" U=\"mmol/L\"/></OBS></PT>\
    <OPR><OPR.operator_id V=\"OP 7\"/></OPR></SVC>";
const CONTROL: &str = "<SVC><SVC.role_cd V=\"LQC\"/>\
    <SVC.observation_dttm V=\"2026-02-22T13:51:22-00:00\"/>\
    <CTC><CTC.name V=\"High\"/><CTC.lot_number V=\"103533\"/><CTC.level_cd V=\"3\"/>\
    <OBS><OBS.observation_id V=\"2341-6\" SN=\"LN\"/><OBS.value V=\"16.2\" U=\"mmol/L\"/></OBS></CTC>\
    </SVC>";
const EVENT: &str = "<EVT><EVT.description V=\"Low battery\"/>\
    <EVT.event_dttm V=\"2026-02-22T14:00:00-00:00\"/><EVT.severity_cd V=\"W\"/>\
    <OPR><OPR.operator_id V=\"OP 7\"/></OPR></EVT>";

fn continuous() -> Dialect {
    Dialect {
        mode: Mode::Continuous,
        ..Dialect::default()
    }
}

fn open(dialect: Dialect) -> Bench<Link> {
    let mut bench = Bench::new(Link::new(dialect), framer);
    bench.handle(Input::Opened);
    bench
}

/// What is told of messages in words has its `{…}` written out, too.
fn check(dialect: Dialect, transcript: &str) -> Bench<Link> {
    let line = |line: &str| {
        let is_word = ["commit ", "finished "].map(|verb| line.trim().starts_with(verb));
        if is_word.contains(&true) {
            shown(&wire(line, framer))
        } else {
            line.to_owned()
        }
    };
    let lines: Vec<String> = transcript.lines().map(line).collect();
    open(dialect).check(&lines.join("\n"))
}
