//! LIS01-A2 link.
