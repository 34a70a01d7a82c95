//! The link against transcripts written by hand from LIS01-A2, and against chance.

mod chance;
mod harness;
mod quirks;
mod receiving;
mod sending;
mod table;
mod vectors;
