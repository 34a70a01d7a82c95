//! What has to be true at every step, looked at as it happens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use labwire_sims::{
    his::{Ledger, Observation},
    text::{component, field, segment},
};

use crate::store::{Sql, StoreError, by_hand::ByHand};

use super::{conveyor, hospital::World, scribe::Scribe};

const KEPT: Sql = Sql::same(
    "SELECT (SELECT count(*) FROM frame WHERE line = $1 AND text = $2) \
     + (SELECT count(*) FROM message WHERE line = $1 AND instr(raw, $2) > 0)",
);
const POSTED: Sql = Sql::same("SELECT id, specimen, body FROM queue WHERE control_id = $1");

/// Whoever checks each step.
#[derive(Debug)]
pub(super) struct Checks {
    scribe: Arc<Scribe>,
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How the store of the process that runs is looked into.
    hand: Option<ByHand>,
    /// Everything that arrived whole at the HIS, whatever it answered.
    arrived: Ledger,
    /// Under which control id a value of a tube came, for a patient and of a status.
    told: BTreeMap<[String; 5], String>,
    /// The newest row of the queue that arrived of each tube.
    newest: BTreeMap<i64, i64>,
    /// What the HIS answered to each control id, in order.
    answers: BTreeMap<String, Vec<String>>,
    /// Tube and module of each command to the automation line, by its number.
    commands: BTreeMap<String, [String; 2]>,
}

impl Checks {
    pub(super) fn new(scribe: Arc<Scribe>, world: Arc<World>) -> Self {
        Self {
            scribe,
            world,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this process runs.
    pub(super) fn look_into(&self, hand: ByHand) {
        self.state().hand = Some(hand);
    }

    /// What the HIS said to a control id, in order.
    pub(super) fn answers(&self, control: &str) -> Vec<String> {
        let state = self.state();
        state.answers.get(control).cloned().unwrap_or_default()
    }

    /// Everything that arrived.
    pub(super) fn arrived(&self) -> Ledger {
        self.state().arrived.clone()
    }

    /// The bridge gave an ACK while these frames (number and text) were not answered: it is for one of
    /// them, as a sender that was answered twice is a frame ahead. Without any it answers ENQ.
    pub(super) fn on_frame_ack(
        &self,
        line: &str,
        frames: &mut Vec<Vec<u8>>,
        promises_frames: bool,
    ) {
        if frames.is_empty() {
            return;
        }
        self.scribe
            .note("ACK", format_args!("{line}, {} frames", frames.len()));
        let is_right = |frame: &Vec<u8>| {
            let text = frame.get(1..).unwrap_or_default();
            // Where whole messages are promised, the frame that ends one promises it.
            let ends = text.starts_with(b"L|") || text.windows(3).any(|part| part == b"\rL|");
            !(promises_frames || ends) || self.is_kept(line, text)
        };
        match frames.iter().position(is_right) {
            Some(at) => drop(frames.drain(..=at)),
            None => {
                let shown: Vec<_> = frames
                    .iter()
                    .map(|one| one.escape_ascii().to_string())
                    .collect();
                let rule = "every ACKed frame is in the journal";
                self.scribe.found(rule, format_args!("{line}: {shown:?}"));
            }
        }
    }

    /// The bridge answered a device or a HIS over MLLP.
    pub(super) fn on_reply(&self, line: &str, block: &[u8]) {
        let text = text_of(block);
        let Some(msa) = segment(&text, "MSA") else {
            return self.on_command(line, &text);
        };
        let (code, control) = (field(msa, 1).to_owned(), field(msa, 2).to_owned());
        self.scribe
            .note("reply", format_args!("{line}: {code} to {control}"));
        if matches!(code.as_str(), "AA" | "CA") {
            let named = format!("|{control}|").into_bytes();
            if !self.is_kept(line, &named) {
                let rule = "every acknowledged message is in the journal";
                self.scribe.found(rule, format_args!("{line}: {control}"));
            }
        }
    }

    /// The bridge tells an automation line where to take a tube (EAC^U07); an analyzer nothing of the kind.
    fn on_command(&self, line: &str, text: &str) {
        let (Some(command), Some(container)) = (segment(text, "ECD"), segment(text, "SAC")) else {
            return;
        };
        let part = |text| component(text, 1).to_owned();
        let to = field(command, 5).split('~').next().unwrap_or_default();
        let told = [part(field(container, 3)), part(to)];
        let number = field(command, 1).to_owned();
        let [barcode, to] = &told;
        self.scribe
            .note("command", format_args!("{line}: {number} to {to}"));
        let mut state = self.state();
        let hand = state.hand.clone();
        let earlier = state.commands.insert(number.clone(), told.clone());
        drop(state);
        if earlier.is_some_and(|earlier| earlier != told) {
            self.scribe
                .found("no command number with two meanings", &number);
        }
        let broken = hand.map(|hand| conveyor::broken_by(&hand, (barcode, &number, to)));
        match broken {
            Some(Ok(Some(rule))) => {
                let what = format!("{number} for {barcode} to {to}");
                self.scribe.found(rule, what);
            }
            Some(Err(error)) => self.scribe.found("the store can be looked into", error),
            Some(Ok(None)) | None => {}
        }
    }

    /// Whether these bytes of a line are on disk.
    fn is_kept(&self, line: &str, bytes: &[u8]) -> bool {
        let Some(hand) = self.state().hand.clone() else {
            return false;
        };
        let (line, bytes) = (line.to_owned(), bytes.to_vec());
        let found = hand.look(move |db| {
            let row = db.row(&KEPT, &[line.as_str().into(), bytes.as_slice().into()])?;
            row.int(0)
        });
        match found {
            Ok(count) => count > 0,
            Err(error) => {
                self.scribe.found("the store can be looked into", error);
                true
            }
        }
    }

    /// The HIS read a whole message.
    pub(super) fn on_his_message(&self, block: &[u8]) {
        let text = text_of(block);
        let control = segment(&text, "MSH").map(|msh| field(msh, 10).to_owned());
        let Some(control) = control else {
            return self
                .scribe
                .found("the HIS gets messages", "one without MSH");
        };
        let mut state = self.state();
        let before = state.arrived.observations().len();
        let conflicts = state.arrived.conflicts().len();
        let times = state
            .arrived
            .receive(&control, &Bytes::copy_from_slice(block));
        state.arrived.take(&control);
        let fresh: Vec<Observation> = state
            .arrived
            .observations()
            .get(before..)
            .unwrap_or_default()
            .to_vec();
        let has_conflict = state.arrived.conflicts().len() > conflicts;
        let hand = state.hand.clone();
        drop(state);
        self.scribe
            .note("HIS", format_args!("{control}, time {times}"));
        if has_conflict {
            self.scribe.found("no control id with two bodies", &control);
        }
        for one in &fresh {
            self.on_observation(&control, one);
        }
        if let Some(hand) = hand {
            self.on_posted(&hand, &control, block, times == 1);
        }
    }

    /// One result at the HIS, the first time that its message came.
    fn on_observation(&self, control: &str, one: &Observation) {
        let key = [
            &one.barcode,
            &one.code,
            &one.text,
            &one.patient,
            &one.status,
        ];
        let earlier = self
            .state()
            .told
            .insert(key.map(Clone::clone), control.to_owned());
        if let Some(earlier) = earlier {
            self.scribe.found(
                "no result version under two control ids",
                format_args!("{earlier} and {control}: {key:?}"),
            );
        }
        if let Err(why) = self.world.judge(one) {
            self.scribe.found(
                "nothing for another patient or tube",
                format_args!("{why}: {key:?}"),
            );
        }
    }

    /// The row of the queue behind a message at the HIS.
    fn on_posted(&self, hand: &ByHand, control: &str, block: &[u8], is_first: bool) {
        let id = control.to_owned();
        let row = hand.look(move |db| {
            let Some(row) = db.row_opt(&POSTED, &[id.as_str().into()])? else {
                return Ok(None);
            };
            Ok::<_, StoreError>(Some((row.int(0)?, row.int(1)?, row.blob(2)?.to_vec())))
        });
        let (row, specimen, body) = match row {
            Ok(Some(found)) => found,
            Ok(None) => {
                let rule = "what is sent was committed before, under its control id";
                return self.scribe.found(rule, control);
            }
            Err(error) => return self.scribe.found("the store can be looked into", error),
        };
        if body != block {
            self.scribe.found("rendered bytes never change", control);
        }
        if !is_first {
            return;
        }
        let newest = self.state().newest.insert(specimen, row).unwrap_or(0);
        if newest > row {
            self.scribe.found(
                "order per specimen is kept",
                format_args!("row {row} of specimen {specimen} came behind row {newest}"),
            );
        }
    }

    /// The HIS answered.
    pub(super) fn on_his_answer(&self, block: &[u8]) {
        let text = text_of(block);
        if let Some(msa) = segment(&text, "MSA") {
            let (code, control) = (field(msa, 1).to_owned(), field(msa, 2).to_owned());
            self.scribe
                .note("HIS says", format_args!("{code} to {control}"));
            let mut state = self.state();
            state.answers.entry(control).or_default().push(code);
        }
    }
}

/// The text of a block; what is no UTF-8 is for the parser, not for here.
fn text_of(block: &[u8]) -> String {
    std::str::from_utf8(block).unwrap_or_default().to_owned()
}
