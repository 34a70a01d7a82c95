//! `labwire nodes`: which node serves what.

use clap::Args;

use super::{Verdict, failure::Failure, out::Out, site::SiteArgs};
use crate::{
    store::nodes::{self, Listed, SILENT},
    trace::When,
};

/// Show the nodes that serve the laboratory, and what each serves
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire nodes                     each node, when it was last heard of, what it serves
  labwire nodes -c /etc/labwire/lab.toml

Exit code 1 when a node has not been heard of for some seconds. Works while nodes run.")]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    site: SiteArgs,
}
