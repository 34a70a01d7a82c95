//! What must hold between the parts of a line.

use super::{Kind, Line, ModuleNo, Reason, read::Written};
use crate::config::{
    choice::Choice as _,
    read::{At, File},
};

pub(super) fn check(written: &Written, file: &File) {
    check_names(&written.modules, "[[module]]", file);
    check_names(&written.lanes, "[[lane]]", file);
    check_kinds(&written.line, file);
    for ((no, _), id) in written.line.all().zip(&written.modules) {
        check_module(&written.line, no, id, file);
    }
}

fn check_names(ids: &[At<String>], what: &str, file: &File) {
    for (at, id) in ids.iter().enumerate() {
        let is_again = ids.iter().take(at).any(|other| other == id);
        if is_again && !id.is_empty() {
            let message = format!("two {what} are called `{}`", id.value);
            file.error(
                "CONF-0301",
                id.span.clone(),
                message,
                "the second",
                "give it a name of its own",
            );
        }
    }
}

/// A line without a beginning, an end, or an outlet for one of the reasons, would keep tubes.
fn check_kinds(line: &Line, file: &File) {
    let missing = |what: &str, help: &str| {
        file.error(
            "CONF-0303",
            0..0,
            format!("the line has no {what}"),
            "in this file",
            help,
        );
    };
    if !line.modules.iter().any(super::Module::is_inlet) {
        missing(
            "inlet",
            "add [[module]] with kind = \"inlet\", \"stat-inlet\" or \"tempus\"",
        );
    }
    if line.of_kind(Kind::Storage).next().is_none() {
        missing("storage", "add [[module]] with kind = \"storage\"");
    }
    for reason in Reason::ALL {
        let mut outlets = line.of_kind(Kind::Outlet);
        if !outlets.any(|no| line.module(no).takes.contains(reason)) {
            let what = format!("outlet for `{}`", reason.word());
            missing(
                &what,
                "add the word to `takes` of a [[module]] with kind = \"outlet\"",
            );
        }
    }
}

fn check_module(line: &Line, no: ModuleNo, id: &At<String>, file: &File) {
    let module = line.module(no);
    let at = id.span.clone();
    if module.kind == Kind::Analyzer && module.tests.is_empty() {
        let message = format!("the analyzer `{}` runs no test", id.value);
        file.error(
            "CONF-0304",
            at.clone(),
            message,
            "no `tests`",
            "add tests = [\"GLU\", …], by the ids of the catalogue",
        );
    }
    let mut inlets = line.all().filter(|(_, module)| module.is_inlet());
    let is_reached =
        module.is_inlet() || inlets.any(|(inlet, _)| line.transit_ms(inlet, no).is_some());
    if !is_reached {
        let message = format!("no way leads from an inlet to `{}`", id.value);
        file.error(
            "CONF-0305",
            at.clone(),
            message,
            "no tube gets here",
            "add an [[edge]] to it",
        );
    }
    let mut ends = line
        .of_kind(Kind::Outlet)
        .chain(line.of_kind(Kind::Storage));
    if !module.is_end() && !ends.any(|end| line.transit_ms(no, end).is_some()) {
        let message = format!("no way leads from `{}` to an outlet or storage", id.value);
        file.error(
            "CONF-0306",
            at.clone(),
            message,
            "tubes stay here",
            "add an [[edge]] from it",
        );
    }
    if module.batch > module.queue_max {
        let message = format!("the queue of `{}` is shorter than its batch", id.value);
        file.warning(
            "CONF-0307",
            at,
            message,
            "every full batch exceeds `queue_max`",
            "write a `queue_max` of more than `batch`",
        );
    }
}
