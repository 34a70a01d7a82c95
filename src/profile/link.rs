//! The link machine's settings as a profile has them.

use std::time::Duration;

use labwire_protocols::{
    astm::link::{ChecksumRule, Dialect, FrameNumberRule},
    bci,
    beckman_au::{self, Bcc, Layout},
    dimension, mllp, poct1a, sysmex_legacy,
};

use super::{ChecksumMode, LinkRules};

impl LinkRules {
    /// Switches and timers of an ASTM line; what the profile leaves open is the standard's.
    pub fn dialect(&self) -> Dialect {
        let mut dialect = Dialect::default();
        set(&mut dialect.checksum, self.checksum.map(checksum_rule));
        if self.has_lenient_frame_numbers {
            dialect.frame_numbers = FrameNumberRule::Lenient;
        }
        set(&mut dialect.frame_text_max, self.frame_text_max);
        set(&mut dialect.one_record_per_frame, self.one_record_per_frame);
        set(&mut dialect.accepts_unframed, self.accepts_unframed);
        set(
            &mut dialect.accepts_frames_without_enq,
            self.accepts_frames_without_enq,
        );
        set(
            &mut dialect.serves_enq_in_transfer,
            self.serves_enq_in_transfer,
        );
        set(&mut dialect.ignores_idle_bytes, self.ignores_idle_bytes);
        set(&mut dialect.stale_reply, millis(self.stale_reply_ms));
        set(&mut dialect.sends_max, self.sends_max);
        set(&mut dialect.enq_attempts_max, self.enq_attempts_max);
        let timers = &mut dialect.timers;
        set(
            &mut timers.establishment,
            millis(self.establishment_timeout_ms),
        );
        set(&mut timers.busy, millis(self.busy_wait_ms));
        set(&mut timers.contention_host, millis(self.contention_wait_ms));
        set(
            &mut timers.between_sessions,
            millis(self.between_sessions_ms),
        );
        set(&mut timers.reply, millis(self.reply_timeout_ms));
        set(&mut timers.receive, millis(self.receive_timeout_ms));
        set(&mut timers.inter_byte, millis(self.inter_byte_timeout_ms));
        set(&mut timers.unframed_idle, millis(self.idle_end_ms));
        set(&mut dialect.limits.message, self.message_bytes_max);
        dialect
    }

    /// A Beckman AU line; `layout` holds the columns.
    pub(super) fn beckman_au(&self, layout: Layout) -> beckman_au::Dialect {
        let mut dialect = beckman_au::Dialect::host(beckman_au::Model::Au680);
        dialect.layout = layout;
        set(&mut dialect.class, self.class);
        set(&mut dialect.start, self.start);
        set(&mut dialect.block_end, self.block_end);
        set(&mut dialect.text_end, self.text_end);
        set(&mut dialect.bcc, self.checksum.map(block_check));
        set(&mut dialect.bcc_covers_start, self.checksum_covers_start);
        set(&mut dialect.answers_enq, self.answers_enq);
        set(&mut dialect.sends_max, self.sends_max);
        set(&mut dialect.limits.text, self.message_bytes_max);
        let timers = &mut dialect.timers;
        set(&mut timers.turnaround, millis(self.turnaround_ms));
        set(&mut timers.answer, self.answer_within());
        set(&mut timers.inter_byte, millis(self.inter_byte_timeout_ms));
        set(&mut timers.between_blocks, millis(self.receive_timeout_ms));
        set(&mut timers.reply, millis(self.reply_timeout_ms));
        set(&mut timers.repeat, millis(self.repeat_within_ms));
        dialect
    }

    /// A Dimension line; `layout` holds what fits.
    pub(super) fn dimension(&self, layout: dimension::Layout) -> dimension::Dialect {
        let mut dialect = dimension::Dialect {
            layout,
            ..dimension::Dialect::default()
        };
        set(&mut dialect.checksum, self.checksum.map(checksum_rule));
        set(&mut dialect.answers_enq, self.answers_enq);
        set(&mut dialect.sends_max, self.sends_max);
        set(&mut dialect.limits.message, self.message_bytes_max);
        let timers = &mut dialect.timers;
        set(&mut timers.turnaround, millis(self.turnaround_ms));
        set(&mut timers.answer, self.answer_within());
        set(&mut timers.inter_byte, millis(self.inter_byte_timeout_ms));
        set(&mut timers.reply, millis(self.reply_timeout_ms));
        set(&mut timers.acceptance, millis(self.acceptance_timeout_ms));
        set(&mut timers.repeat, millis(self.repeat_within_ms));
        dialect
    }

    /// A BCI line.
    pub(super) fn bci(&self) -> bci::Dialect {
        let mut dialect = bci::Dialect::default();
        set(&mut dialect.checksum, self.checksum.map(checksum_rule));
        set(&mut dialect.sums_line_ends, self.checksum_counts_line_ends);
        set(
            &mut dialect.records,
            self.record_width.map(bci::Records::Width),
        );
        set(&mut dialect.sends_max, self.sends_max);
        set(&mut dialect.limits.message, self.message_bytes_max);
        let timers = &mut dialect.timers;
        set(&mut timers.inter_byte, millis(self.inter_byte_timeout_ms));
        set(&mut timers.receive, millis(self.receive_timeout_ms));
        set(
            &mut timers.establishment,
            millis(self.establishment_timeout_ms),
        );
        set(&mut timers.turnaround, millis(self.turnaround_ms));
        set(&mut timers.reply, millis(self.reply_timeout_ms));
        set(&mut timers.busy, millis(self.busy_wait_ms));
        set(&mut timers.pause, millis(self.between_sessions_ms));
        set(&mut timers.contention, millis(self.contention_wait_ms));
        set(&mut timers.repeat, millis(self.repeat_within_ms));
        dialect
    }

    /// A line to an older Sysmex.
    pub(super) fn sysmex_legacy(&self) -> sysmex_legacy::Dialect {
        let mut dialect = sysmex_legacy::Dialect::default();
        if self.class == Some(beckman_au::Class::A) {
            dialect.class = sysmex_legacy::Class::A;
        }
        set(&mut dialect.sends_max, self.sends_max);
        set(&mut dialect.limits.text, self.message_bytes_max);
        let timers = &mut dialect.timers;
        set(&mut timers.inter_byte, millis(self.inter_byte_timeout_ms));
        set(&mut timers.reply, millis(self.reply_timeout_ms));
        set(&mut timers.repeat, millis(self.repeat_within_ms));
        dialect
    }

    /// A POCT1-A line.
    pub(super) fn poct1a(&self) -> poct1a::Dialect {
        let mut dialect = poct1a::Dialect::default();
        if self.is_continuous == Some(true) {
            dialect.mode = poct1a::Mode::Continuous;
        }
        set(&mut dialect.asks_events, self.asks_events);
        set(&mut dialect.wrap, self.wrap);
        set(&mut dialect.ack_name, self.ack_name);
        set(&mut dialect.sends_max, self.sends_max);
        set(&mut dialect.limits.message, self.message_bytes_max);
        let timers = &mut dialect.timers;
        set(&mut timers.inter_byte, millis(self.inter_byte_timeout_ms));
        set(&mut timers.reply, millis(self.reply_timeout_ms));
        set(&mut timers.topic, millis(self.receive_timeout_ms));
        set(&mut timers.repeat, millis(self.repeat_within_ms));
        dialect
    }

    /// Settings of an MLLP line.
    pub fn mllp(&self) -> mllp::Config {
        let mut config = mllp::Config::default();
        set(&mut config.block_bytes_max, self.message_bytes_max);
        set(&mut config.pending_commits_max, self.pending_max);
        set(&mut config.reply_timeout, millis(self.reply_timeout_ms));
        if self.accepts_lone_fs == Some(false) {
            config.tolerance.fs_alone = None;
        }
        if self.idle_end_ms.is_some() {
            config.tolerance.no_fs = millis(self.idle_end_ms);
        }
        config
    }

    /// The silence after which the device is taken for gone, if it has a heartbeat.
    pub fn silent_after(&self) -> Option<Duration> {
        self.silent_after_s.map(Duration::from_secs)
    }

    /// How long the device waits for the answer to its query, if the profile knows.
    pub fn answer_within(&self) -> Option<Duration> {
        millis(self.answer_within_ms)
    }
}

const fn checksum_rule(mode: ChecksumMode) -> ChecksumRule {
    match mode {
        ChecksumMode::Strict => ChecksumRule::Strict,
        ChecksumMode::Warn => ChecksumRule::Warn,
        ChecksumMode::Off => ChecksumRule::Off,
    }
}

const fn block_check(mode: ChecksumMode) -> Bcc {
    match mode {
        ChecksumMode::Strict => Bcc::Strict,
        ChecksumMode::Warn => Bcc::Warn,
        ChecksumMode::Off => Bcc::Off,
    }
}

fn millis(millis: Option<u64>) -> Option<Duration> {
    millis.map(Duration::from_millis)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
