//! What answers of LAW analyzers mean.
