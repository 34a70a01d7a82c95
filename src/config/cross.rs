//! What is wrong between keys, tables and files, each of which is right by itself.

use std::collections::HashMap;

use super::{
    Loaded, Problems, Seams,
    catalogue::{Catalogue, Test},
    choice::{Class, Release, Unmapped, Unordered},
    endpoint::addresses_clash,
    instrument::Instrument,
    lab::LabConfig,
    read::{At, File},
    suggest::did_you_mean,
    ucum::Unit,
    units::{UnitProof, prove_catalogue},
};

/// Checks `lab.toml` by itself.
pub(super) fn check_lab(config: &LabConfig, seams: &Seams<'_>, file: &File) {
    let ids = config.hosts.iter().map(|host| &host.id);
    let ids: Vec<_> = ids
        .chain(config.instruments.iter().map(|one| &one.id))
        .chain(config.tracks.iter().map(|one| &one.id))
        .collect();
    check_ids(&ids, file);
    check_node(config, file);
    check_pass_with_auto(config, file);
    check_unordered(config, file);
    for host in &config.hosts {
        if host.retry_longest_s < host.retry_first_s {
            file.error(
                "CONF-0106",
                host.id.span.clone(),
                format!("host `{}` waits longer at first than at most", *host.id),
                "retry_first_s is above retry_longest_s",
                "make retry_longest_s at least retry_first_s",
            );
        }
    }
    check_results(config, file);
    check_empty_mappings(config, file);
    check_addresses(config, seams, file);
}

/// Nodes share a database of a server.
fn check_node(config: &LabConfig, file: &File) {
    let Some(node) = &config.node else { return };
    if config.store.url.starts_with("postgres") {
        return;
    }
    file.error(
        "CONF-0246",
        node.id.span.clone(),
        "a file of SQLite belongs to one labwire",
        "several nodes need a database of PostgreSQL",
        "write [store] url = \"postgres://user@host/database\", or leave [node] out",
    );
}

fn check_ids(ids: &[&At<String>], file: &File) {
    let mut seen: HashMap<&str, ()> = HashMap::new();
    for id in ids.iter().filter(|id| !id.is_empty()) {
        if seen.insert(id, ()).is_some() {
            file.error(
                "CONF-0201",
                id.span.clone(),
                format!("the id `{}` is taken", ***id),
                "used twice",
                "give every host, instrument and track an id of its own",
            );
        }
    }
}

fn check_empty_mappings(config: &LabConfig, file: &File) {
    for (_, test) in config.instruments.iter().flat_map(|one| &one.tests) {
        if test.is_empty() {
            file.error(
                "CONF-0206",
                test.span.clone(),
                "a code is mapped to nothing",
                "empty",
                "write the id of a test of the catalogue",
            );
        }
    }
}

fn check_pass_with_auto(config: &LabConfig, file: &File) {
    let is_auto = config
        .hosts
        .iter()
        .any(|host| *host.release == Release::Auto);
    let passing = config
        .instruments
        .iter()
        .filter(|one| *one.unmapped == Unmapped::Pass);
    for instrument in passing.filter(|_| is_auto) {
        file.warning(
            "CONF-0208",
            instrument.unmapped.span.clone(),
            format!(
                "`{}` passes codes that nobody mapped, and a host posts at once",
                *instrument.id
            ),
            "unmapped results are posted unseen",
            "write release = \"review\" at the host, or map the codes in `tests`",
        );
    }
}

fn check_unordered(config: &LabConfig, file: &File) {
    let mut posting = config
        .hosts
        .iter()
        .filter(|host| *host.unordered == Unordered::Post);
    if posting.next().is_none() {
        return;
    }
    for host in posting {
        file.warning(
            "CONF-0210",
            host.unordered.span.clone(),
            "two hosts take results that nobody ordered",
            "such a result waits, and is posted to neither",
            "write unordered = \"hold\" at all hosts but one",
        );
    }
}

/// What a host ordered is queued for it, and waits for ever where nothing takes results to it.
fn check_results(config: &LabConfig, file: &File) {
    let deaf = config.hosts.iter().filter(|host| host.results.is_none());
    for orders in deaf.filter_map(|host| host.orders.as_ref()) {
        file.warning(
            "CONF-0215",
            orders.span.clone(),
            "this host orders, and there is no way of results to it",
            "what it orders is measured and waits in the queue",
            "write results = \"mllp://host:port\" unless it sends patients alone",
        );
    }
}

/// Who else opens the same address, over all of `lab.toml`.
fn check_addresses(config: &LabConfig, seams: &Seams<'_>, file: &File) {
    let orders = config
        .hosts
        .iter()
        .filter_map(|host| Some((&*host.id, host.orders.as_ref()?)));
    let ports = config.instruments.iter().map(|one| (&*one.id, &one.port));
    let apart = config
        .instruments
        .iter()
        .filter_map(|one| Some((&*one.id, one.orders_port.as_ref()?)));
    let tracks = config.tracks.iter().map(|one| (&*one.id, &one.port));
    let mut open = Vec::new();
    for (owner, text) in orders.chain(ports).chain(apart).chain(tracks) {
        let Ok(endpoint) = (seams.endpoint)(text) else {
            continue;
        };
        let listens = endpoint.kind == super::endpoint::EndpointKind::Listen;
        let console = &config.console.listen;
        let other = open.iter().find(|(_, other)| endpoint.clashes(other));
        let other = other.map(|(owner, _): &(&String, _)| format!("`{owner}`"));
        let is_console = listens && addresses_clash(console, &endpoint.address);
        if let Some(other) = other.or_else(|| is_console.then(|| "the console".to_owned())) {
            file.error(
                "CONF-0202",
                text.span.clone(),
                format!(
                    "`{owner}` and {other} open the same port {}",
                    endpoint.address
                ),
                "open already",
                "give each its own",
            );
        }
        open.push((owner, endpoint));
    }
}

/// Checks `lab.toml` against the catalogue.
pub(super) fn check_catalogue(config: &LabConfig, catalogue: &Catalogue, file: &File) {
    for instrument in &config.instruments {
        if !catalogue.is_empty() {
            check_tests(instrument, catalogue, file);
            check_section(instrument, catalogue, file);
        }
        check_transfusion(instrument, catalogue, file);
        check_declared_units(instrument, catalogue, file);
    }
}

/// A unit that the device does not send must be exactly the catalogue's: nothing is converted.
fn check_declared_units(instrument: &Instrument, catalogue: &Catalogue, file: &File) {
    for (code, unit) in &instrument.units {
        let problem = |message: String, label: &str| {
            file.error(
                "CONF-0220",
                unit.span.clone(),
                message,
                label,
                "write the UCUM code of the unit that the device measures in, the catalogue's, and map \
                 the code in `tests`",
            );
        };
        let Some(test) = instrument.test_for(code) else {
            let message = format!("`units` has `{}`, which `tests` does not map", **code);
            problem(message, "of which test?");
            continue;
        };
        if Unit::parse(unit).is_none() {
            problem(format!("`{}` is no UCUM code", **unit), "not UCUM");
            continue;
        }
        let own = catalogue.test(test).and_then(|test| test.unit.as_ref());
        if let Some(own) = own.filter(|own| prove_catalogue(unit, own) != UnitProof::Proven) {
            let message = format!(
                "`{test}` is in {} in the catalogue, not in {}",
                **own, **unit
            );
            problem(message, "another unit");
        }
    }
}

fn check_tests(instrument: &Instrument, catalogue: &Catalogue, file: &File) {
    for (code, test) in &instrument.tests {
        if test.is_empty() || catalogue.test(test).is_some() {
            continue;
        }
        let ids: Vec<&str> = catalogue.tests().map(|test| test.id.as_str()).collect();
        let help = match did_you_mean(test, &ids) {
            Some(id) => format!("did you mean `{id}`? else add the test to the catalogue"),
            None => {
                "add the test to the catalogue, or map the code to one that is there".to_owned()
            }
        };
        file.error(
            "CONF-0206",
            test.span.clone(),
            format!(
                "`{}` maps `{}` to `{}`, which is no test",
                *instrument.id, **code, **test
            ),
            "not in the catalogue",
            help,
        );
    }
}

fn check_section(instrument: &Instrument, catalogue: &Catalogue, file: &File) {
    let section = &instrument.section;
    let sections = catalogue.sections();
    if section.is_empty() || sections.contains(&section.as_str()) {
        return;
    }
    let help = match did_you_mean(section, &sections) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("the catalogue has {}", super::suggest::one_of(&sections)),
    };
    file.warning(
        "CONF-0214",
        section.span.clone(),
        format!("no test of the catalogue is in the section `{}`", **section),
        "an unknown section",
        help,
    );
}

/// Words that mean the transfusion service even where no catalogue says so, as [`plain`] has them.
const TRANSFUSION_WORDS: &[&str] = &[
    "transfusion",
    "bloodtransfusion",
    "bloodbank",
    "immunohaematology",
    "immunohematology",
];

/// Whether a section is the transfusion service by its name alone: nothing of it is released by
/// itself, and no unmapped code passes there. The check and the bridge ask this one function.
pub fn is_transfusion_section(section: &str) -> bool {
    TRANSFUSION_WORDS.contains(&plain(section).as_str())
}

/// Without case and without what joins words: `Blood-Bank`, `blood bank` and `blood_bank` are one.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(|ch| ch.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn check_transfusion(instrument: &Instrument, catalogue: &Catalogue, file: &File) {
    if *instrument.unmapped == Unmapped::Pass && is_for_transfusion(instrument, catalogue) {
        refuse_pass(instrument, file);
    }
}

/// Whether the site's own words say that an instrument measures for transfusion.
fn is_for_transfusion(instrument: &Instrument, catalogue: &Catalogue) -> bool {
    let section = instrument.section.as_str();
    let is_there = |test: &Test| test.section == section && test.class == Class::Transfusion;
    let by_section = !section.is_empty() && catalogue.tests().any(is_there);
    is_transfusion_section(section)
        || by_section
        || instrument
            .tests
            .iter()
            .any(|(_, id)| catalogue.is_transfusion(id))
}

fn refuse_pass(instrument: &Instrument, file: &File) {
    file.error(
        "CONF-0207",
        instrument.unmapped.span.clone(),
        format!(
            "`{}` measures for transfusion and passes unmapped codes",
            *instrument.id
        ),
        "refused for transfusion",
        "write unmapped = \"hold\" and map every code in the profile or in `tests`",
    );
}

/// Checks what only profiles know: `tests_of` tells the catalogue tests that the profile of an
/// instrument maps its codes to. A profile that measures for transfusion refuses `pass` even where
/// the site names no section.
pub fn check_profile_tests(
    loaded: &Loaded,
    tests_of: &dyn Fn(&Instrument) -> Vec<String>,
) -> Problems {
    let Loaded { lab, catalogue, .. } = loaded;
    let file = File::new(&lab.source);
    let passing = lab
        .instruments
        .iter()
        .filter(|one| *one.unmapped == Unmapped::Pass);
    for instrument in passing.filter(|one| !is_for_transfusion(one, catalogue)) {
        if tests_of(instrument)
            .iter()
            .any(|id| catalogue.is_transfusion(id))
        {
            refuse_pass(instrument, &file);
        }
    }
    file.into_problems()
}

/// Checks that the catalogue names hosts of `lab.toml`.
pub(super) fn check_hosts(config: &LabConfig, catalogue: &Catalogue, file: &File) {
    let ids: Vec<&str> = config.hosts.iter().map(|host| host.id.as_str()).collect();
    let of_tests = catalogue.tests().flat_map(|test| &test.his);
    let codes = of_tests.chain(catalogue.panels().flat_map(|panel| &panel.his));
    for host in codes.filter_map(|code| code.host.as_ref()) {
        if ids.contains(&host.as_str()) {
            continue;
        }
        let help = match did_you_mean(host, &ids) {
            Some(id) => format!("did you mean `{id}`?"),
            None => "write the id of a [[host]] of lab.toml".to_owned(),
        };
        let message = format!("there is no host `{}`", **host);
        file.warning(
            "CONF-0309",
            host.span.clone(),
            message,
            "not in lab.toml",
            help,
        );
    }
}
