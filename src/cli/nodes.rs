//! `labwire nodes`: which node serves what.

use clap::Args;

use super::{Verdict, failure::Failure, out::Out, site::SiteArgs};
use crate::{
    store::nodes::{self, Listed},
    trace::instant,
};

/// Show the nodes that serve the laboratory, and what each serves
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire nodes                              each node, when it was last heard of, what it serves
  labwire nodes -c /etc/labwire/lab.toml

Exit code 1 when a node has not been heard of for some seconds. Works while nodes run.")]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn run(args: &NodesArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let mut store = site.reader()?;
    let (now, all) = store.read(|db| Ok((nodes::server_now(db)?, nodes::listed(db)?)))?;
    if all.is_empty() {
        out.line(format_args!("No node is at work."))?;
    }
    for one in &all {
        let Listed { node, units } = one;
        let seen = instant(node.seen_at, &site.zone);
        let (name, version) = (&node.name, &node.version);
        out.line(format_args!(
            "{name}  labwire {version}, last heard of {seen}"
        ))?;
        for (unit, token) in units {
            out.line(format_args!("  {unit}  holder number {token}"))?;
        }
    }
    Ok(Verdict::found_if(
        all.iter().any(|one| nodes::is_silent(&one.node, now)),
    ))
}
