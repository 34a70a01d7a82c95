//! The capture ring: the last bytes of a line, both ways, with times, for people to look at.
//!
//! Raw bytes hold patient data: they stay in memory, are never logged, and leave only when a person asks.

use std::collections::VecDeque;

use bytes::Bytes;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device to Labwire.
    In,
    /// From Labwire to the device.
    Out,
}

/// One portion of bytes, as the port gave or took it.
#[derive(Clone, PartialEq, Eq)]
pub struct CaptureEntry {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub utc_micros: i64,
    /// The number of the connection, as in [`crate::Connection`].
    pub connection: u64,
    /// Which way the bytes went.
    pub direction: Direction,
    /// The bytes; the first ones are missing if the portion alone was larger than the ring.
    pub bytes: Bytes,
}

impl std::fmt::Debug for CaptureEntry {
    /// Says how many bytes there are, not which: a debug print must not put a patient in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureEntry")
            .field("utc_micros", &self.utc_micros)
            .field("connection", &self.connection)
            .field("direction", &self.direction)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// The last entries whose cost is at most `bytes_max`; the oldest go first.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<CaptureEntry>,
    cost: usize,
    bytes_max: usize,
}

/// What an entry costs beside its bytes, so that portions of one byte cannot fill the memory.
const ENTRY_COST: usize = size_of::<CaptureEntry>() + 16;

impl Ring {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            cost: 0,
            bytes_max,
        }
    }

    pub(crate) fn push(&mut self, utc_micros: i64, connection: u64, way: Direction, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(ENTRY_COST);
        if room == 0 || bytes.is_empty() {
            return;
        }
        let tail = bytes
            .get(bytes.len().saturating_sub(room)..)
            .unwrap_or(bytes);
        let bytes = Bytes::copy_from_slice(tail);
        self.cost += ENTRY_COST + bytes.len();
        self.entries.push_back(CaptureEntry {
            utc_micros,
            connection,
            direction: way,
            bytes,
        });
        while self.cost > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.cost -= ENTRY_COST + oldest.bytes.len();
        }
    }

    pub(crate) fn entries(&self) -> Vec<CaptureEntry> {
        self.entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(ring: &Ring) -> Vec<Vec<u8>> {
        ring.entries()
            .iter()
            .map(|entry| entry.bytes.to_vec())
            .collect()
    }

    #[test]
    fn oldest_entries_make_room() {
        let mut ring = Ring::new(2 * (ENTRY_COST + 3));
        for text in [b"abc", b"def", b"ghi"] {
            ring.push(1, 1, Direction::In, text);
        }
        assert_eq!(bytes(&ring), [b"def", b"ghi"]);
    }

    #[test]
    fn portion_larger_than_the_ring_keeps_its_end() {
        let mut ring = Ring::new(ENTRY_COST + 4);
        ring.push(1, 1, Direction::Out, b"0123456789");
        assert_eq!(bytes(&ring), [b"6789"]);
    }

    #[test]
    fn single_bytes_stay_within_the_limit() {
        let mut ring = Ring::new(10_000);
        for n in 0..100_000 {
            ring.push(n, 1, Direction::In, b"x");
        }
        assert!(ring.cost <= 10_000 && ring.entries.len() <= 10_000 / ENTRY_COST);
        assert_eq!(ring.entries().last().unwrap().utc_micros, 99_999);
    }

    #[test]
    fn ring_of_size_zero_keeps_nothing() {
        let mut ring = Ring::new(0);
        ring.push(1, 1, Direction::In, b"abc");
        assert!(ring.entries().is_empty());
    }

    #[test]
    fn debug_print_hides_the_bytes() {
        let mut ring = Ring::new(1000);
        ring.push(1, 1, Direction::In, b"NGUYEN^VAN A");
        assert!(!format!("{ring:?}").contains("NGUYEN"));
    }
}
