//! The limits and habits of one line. Every duration can be shortened by a test.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{endpoint::Endpoint, given::Ports, network::Network, tls::Tls};

/// How one line is driven.
#[derive(Clone, Debug)]
pub struct LineConfig {
    /// The id of the device in `lab.toml`; names the line in logs and events.
    pub id: String,
    /// Where the device is.
    pub endpoint: Endpoint,
    /// How many connections a listening line has at once. A dialled or serial line has one.
    pub concurrency: Concurrency,
    /// The addresses that may connect to a listening line; empty: every address may.
    pub peers_allowed: Vec<Network>,
    /// What a handshake needs, where the endpoint is one of TLS; without it such a line does not open.
    pub tls: Option<Arc<Tls>>,
    /// Where its connections come from, in the place of the system's: for simulations.
    pub ports: Option<Arc<dyn Ports>>,
    /// How long to wait before trying to open the port again.
    pub backoff: Backoff,
    /// How TCP itself finds a peer that is gone.
    pub keepalive: Keepalive,
    /// A connection on which nothing arrived for this long is taken for dead. `None` for devices
    /// that may be silent for hours and send no heartbeat.
    pub idle_timeout: Option<Duration>,
    /// A connection on which bytes wait to be written and none could be for this long is cut.
    pub write_timeout: Duration,
    /// How long dialling may take.
    pub connect_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// After the peer has ended its side: how long the replies under way may still take.
    pub linger_timeout: Duration,
    /// After `stop`: how long what was begun may take to finish.
    pub stop_timeout: Duration,
    /// Bytes waiting for a peer that does not read; one more, and it is cut off.
    pub transmit_buffer_max: usize,
    /// Bytes of traffic kept in memory for people to look at; 0 keeps none.
    pub capture_bytes_max: usize,
    /// Commands that may wait for the line before `send` waits.
    pub commands_max: usize,
    /// Commits of connections already lost that may still be under way before new connections are
    /// refused: a peer that reconnects again and again must not fill the memory while the disk is stuck.
    pub orphans_max: usize,
    /// Where the lock files of serial ports are; all programs of a machine must name the same.
    pub lock_dir: PathBuf,
}

impl LineConfig {
    /// The usual limits for a device at `endpoint`.
    pub fn new(id: impl Into<String>, endpoint: Endpoint) -> Self {
        Self {
            id: id.into(),
            endpoint,
            concurrency: Concurrency::NewestWins,
            peers_allowed: Vec::new(),
            tls: None,
            ports: None,
            backoff: Backoff::default(),
            keepalive: Keepalive::default(),
            idle_timeout: None,
            write_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(5),
            transmit_buffer_max: TRANSMIT_BUFFER_MAX,
            capture_bytes_max: CAPTURE_BYTES_MAX,
            commands_max: 64,
            orphans_max: 64,
            lock_dir: default_lock_dir(),
        }
    }
}

/// Eight messages of 1 MiB with an embedded image each; an ASTM line never has more than one frame.
const TRANSMIT_BUFFER_MAX: usize = 8 * 1024 * 1024;

/// About twenty messages of 3 kB; leaves room under the 200 kB that an idle line may take.
const CAPTURE_BYTES_MAX: usize = 64 * 1024;

/// How many connections a listening line has at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// One device: its newest connection replaces the old one, which it has forgotten.
    NewestWins,
    /// Up to this many connections, each with a machine of its own; further ones are refused.
    Many(usize),
}

/// Waiting times between attempts to open a port: doubled each time, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// What makes lines that failed together not try again together.
    pub jitter: Jitter,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            max: Duration::from_secs(10),
            jitter: Jitter::None,
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row (1 is the first). Never longer than `max`.
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1_u32 << doublings).min(self.max);
        self.jitter.shorten(wait, failures)
    }
}

/// Takes up to a quarter off a waiting time, in a way that repeats with the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Nothing is taken off.
    None,
    /// What is taken off follows from this seed (for example a hash of the line's id).
    Seeded(u64),
}

impl Jitter {
    fn shorten(self, wait: Duration, failures: u32) -> Duration {
        match self {
            Self::None => wait,
            Self::Seeded(seed) => {
                let percent = mix(seed ^ u64::from(failures)) % 26;
                wait - wait / 100 * u32::try_from(percent).unwrap_or(0)
            }
        }
    }
}

/// The finalizer of SplitMix64: a number that looks random and follows from `x`.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// How TCP finds out that a peer is gone without having said so (power off, cable out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between two probes.
    pub interval: Duration,
    /// Probes without an answer before the connection is dropped.
    pub probes: u32,
    /// How long bytes sent may stay unacknowledged (`TCP_USER_TIMEOUT`, Linux only).
    pub user_timeout: Duration,
}

impl Default for Keepalive {
    /// 10 s + 3 × 5 s = 25 s, within the 30 s in which a half-open peer must be found.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            interval: Duration::from_secs(5),
            probes: 3,
            user_timeout: Duration::from_secs(25),
        }
    }
}

/// `/run/lock` where the system has it, else the directory for temporary files.
fn default_lock_dir() -> PathBuf {
    let usual = PathBuf::from("/run/lock");
    if usual.is_dir() {
        usual
    } else {
        std::env::temp_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(jitter: Jitter) -> Backoff {
        Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_secs(2),
            jitter,
        }
    }

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let waits: Vec<_> = (1..8)
            .map(|n| backoff(Jitter::None).after(n).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn backoff_never_overflows() {
        let endless = Backoff {
            max: Duration::MAX,
            ..backoff(Jitter::None)
        };
        assert!(endless.after(u32::MAX) > Duration::from_secs(3600));
        assert_eq!(
            backoff(Jitter::None).after(u32::MAX),
            Duration::from_secs(2)
        );
    }

    #[test]
    fn jitter_takes_at_most_a_quarter_and_repeats() {
        for n in 1..200 {
            let plain = backoff(Jitter::None).after(n);
            let wait = backoff(Jitter::Seeded(7)).after(n);
            assert!(
                wait <= plain && wait >= plain / 4 * 3,
                "{n}: {wait:?} of {plain:?}"
            );
            assert_eq!(wait, backoff(Jitter::Seeded(7)).after(n));
        }
    }

    #[test]
    fn jitter_of_two_lines_differs() {
        let of = |seed| {
            (1..20)
                .map(|n| backoff(Jitter::Seeded(seed)).after(n))
                .collect::<Vec<_>>()
        };
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn half_open_peers_are_found_within_thirty_seconds() {
        let k = Keepalive::default();
        assert!(k.idle + k.interval * k.probes <= Duration::from_secs(30));
        assert!(k.user_timeout <= Duration::from_secs(30));
    }
}
