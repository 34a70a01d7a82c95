//! What is learned from generated traffic.
