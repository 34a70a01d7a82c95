//! LIS02-A2 records.
