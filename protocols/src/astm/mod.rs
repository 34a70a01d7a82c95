//! ASTM: the link of LIS01-A2 (E1381) in [`link`], the records of LIS02-A2 (E1394) in [`record`].

pub mod link;
pub mod record;
