//! The files a site writes, read and checked before anything starts.

pub mod problem;
