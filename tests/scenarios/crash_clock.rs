//! The crash table, third part: the clock of the machine jumps.
