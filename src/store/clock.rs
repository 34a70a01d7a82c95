//! The clock that the store is told the time by: the same as that of the lines.

pub use labwire_drivers::Clock;
