//! `labwire trace`: from the host's acknowledgement back to the bytes on the wire.

use clap::Args;

use super::{Verdict, failure::Failure, out, out::Out, site::SiteArgs};
use crate::{
    retention, settle,
    store::{Db, StoreError},
    trace::{Subject, gather, render, resolve, visible},
};

/// Follow a result or a tube from the host's acknowledgement back to the bytes on the wire
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire trace 2501150042          everything about a tube, by its barcode
  labwire trace r123                one result and its other versions
  labwire trace LW26031000000017    the message that was sent under this control id

Exit code 1 when nothing of that name is known. Works while the bridge runs.
The bytes of a message are shown as received: control characters as <CR>, what is no text as <xB5>.")]
pub(crate) struct TraceArgs {
    /// A barcode, a result (r123 or 123) or a control id
    #[arg(value_name = "RESULT|SPECIMEN")]
    what: String,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn run(args: &TraceArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let mut store = site.reader()?;
    let archived = store.read(|db| archived(db, &args.what))?;
    let found = store.read(|db| {
        let subjects = resolve(db, &args.what)?;
        let trace = subjects
            .first()
            .map(|subject| gather(db, subject))
            .transpose()?;
        Ok(trace.map(|trace| (trace, subjects)))
    })?;
    let tell = |out: &mut Out| {
        archived.iter().try_for_each(|file| {
            out.line(format_args!(
                "Archived in {file}: labwire archive show BARCODE"
            ))
        })
    };
    if found.is_none() && !archived.is_empty() {
        tell(out)?;
        return Ok(Verdict::Clean);
    }
    let Some((trace, subjects)) = found else {
        out::complain(&format!(
            "labwire: no tube, result or message is called `{}`: barcodes are compared to the last \
             zero, results are written r123\n",
            visible(args.what.as_bytes())
        ));
        return Ok(Verdict::Found);
    };
    out.text(render(&trace, &site.zone, out.colour()))?;
    tell(out)?;
    for other in subjects.iter().skip(1) {
        let how = match other {
            Subject::Result(id) => format!("labwire trace r{id}"),
            Subject::Queue(id) => format!("labwire queue show {id}"),
            Subject::Specimen(barcode) => format!("labwire trace {barcode}"),
        };
        out.line(format_args!("\nThere is also {other}: {how}"))?;
    }
    Ok(Verdict::Clean)
}

/// The archives that a tube, or a result that is not in the store any more, is in.
fn archived(db: &mut dyn Db, what: &str) -> Result<Vec<String>, StoreError> {
    let of_tube = retention::of_tube(db, what)?;
    let number = what.strip_prefix(['r', 'R']).unwrap_or(what).parse();
    match number {
        Ok(id) if of_tube.is_empty() && settle::result_by_id(db, id)?.is_none() => {
            retention::of_result(db, id)
        }
        _ => Ok(of_tube),
    }
}
