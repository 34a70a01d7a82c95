//! What is wrong with a catalogue whose every key is right by itself.

use std::collections::{HashMap, hash_map::Entry};

use super::{Catalogue, HisCode, Service, Test, is_loinc, transfusion};
use crate::config::{
    read::{At, File},
    suggest::did_you_mean,
    ucum::Unit,
};

/// Fills the look-ups and tells of ids and codes that are taken.
pub(super) fn index(catalogue: &mut Catalogue, file: &File) {
    let mut taken: HashMap<&str, ()> = HashMap::new();
    for (place, test) in catalogue.tests.iter().enumerate() {
        if is_free(&mut taken, &test.id, file) {
            catalogue.tests_by_id.insert(test.id.value.clone(), place);
        }
        let service = Service::Test(place);
        index_codes(&mut catalogue.services, &test.his, service, file);
    }
    for (place, panel) in catalogue.panels.iter().enumerate() {
        if is_free(&mut taken, &panel.id, file) {
            catalogue.panels_by_id.insert(panel.id.value.clone(), place);
        }
        let service = Service::Panel(place);
        index_codes(&mut catalogue.services, &panel.his, service, file);
    }
}

fn is_free<'c>(taken: &mut HashMap<&'c str, ()>, id: &'c At<String>, file: &File) -> bool {
    let is_free = taken.insert(id, ()).is_none();
    if !is_free {
        file.error(
            "CONF-0301",
            id.span.clone(),
            format!("the id `{}` is taken", **id),
            "used twice",
            "give every test and every panel an id of its own",
        );
    }
    is_free
}

fn index_codes(
    services: &mut HashMap<(String, String), Service>,
    codes: &[HisCode],
    service: Service,
    file: &File,
) {
    for HisCode { host, code } in codes {
        let host = host
            .as_ref()
            .map_or_else(String::new, |host| host.value.clone());
        match services.entry((host, code.value.clone())) {
            Entry::Vacant(free) => {
                free.insert(service);
            }
            Entry::Occupied(_) => file.error(
                "CONF-0302",
                code.span.clone(),
                format!("the HIS code `{}` already orders something else", **code),
                "used twice",
                "one code orders one test or one panel; name the panel that has both",
            ),
        }
    }
}

/// Checks every test by itself.
pub(super) fn tests(catalogue: &Catalogue, file: &File) {
    for test in &catalogue.tests {
        check_unit(test, file);
        check_loinc(test.loinc.as_ref(), file);
        check_ranges(test, file);
        transfusion::check(test, file);
    }
    for panel in &catalogue.panels {
        check_loinc(panel.loinc.as_ref(), file);
    }
}

fn check_unit(test: &Test, file: &File) {
    let Some(unit) = test
        .unit
        .as_ref()
        .filter(|unit| Unit::parse(unit).is_none())
    else {
        return;
    };
    let meant = crate::config::units::ucum_for(unit);
    let help = meant.map_or_else(
        || "write the UCUM code, such as \"mmol/L\", \"10*9/L\" or \"[iU]/mL\"".to_owned(),
        |code| format!("in UCUM that is \"{code}\""),
    );
    file.error(
        "CONF-0305",
        unit.span.clone(),
        format!("the unit `{}` of `{}` is not UCUM", **unit, *test.id),
        "not UCUM",
        help,
    );
}

fn check_loinc(code: Option<&At<String>>, file: &File) {
    if let Some(code) = code.filter(|code| !is_loinc(code)) {
        file.error(
            "CONF-0306",
            code.span.clone(),
            format!("`{}` is no LOINC code", **code),
            "the check digit does not fit",
            "look the code up again; a digit is wrong or two are exchanged",
        );
    }
}

fn check_ranges(test: &Test, file: &File) {
    let ranges = &test.ranges;
    let mut pairs = ranges
        .iter()
        .enumerate()
        .flat_map(|(place, one)| ranges.iter().skip(place + 1).map(move |other| (one, other)));
    if let Some((one, other)) = pairs.find(|(one, other)| one.overlaps(other)) {
        file.error(
            "CONF-0307",
            test.id.span.clone(),
            format!(
                "two reference ranges of `{}` fit one patient: {one} and {other}",
                *test.id
            ),
            "in this test",
            "make the ages (`from`, `below`) or the sexes meet without overlap",
        );
    }
}

/// Takes panels apart into tests, and tells of what cannot be.
pub(super) fn panels(catalogue: &mut Catalogue, file: &File) {
    let mut members = Vec::with_capacity(catalogue.panels.len());
    for panel in &catalogue.panels {
        check_names(catalogue, &panel.tests, file);
        let mut found = Vec::new();
        let mut path = vec![panel.id.as_str()];
        if let Err(name) = collect(catalogue, &panel.tests, &mut path, &mut found) {
            file.error(
                "CONF-0304",
                name.span.clone(),
                format!("the panel `{}` contains itself", *panel.id),
                "leads back to it",
                "take this one out",
            );
        }
        members.push(found);
    }
    for (panel, members) in catalogue.panels.iter_mut().zip(members) {
        panel.members = members;
    }
}

fn check_names(catalogue: &Catalogue, names: &[At<String>], file: &File) {
    for name in names {
        if catalogue.test(name).is_some() || catalogue.panel(name).is_some() {
            continue;
        }
        let ids: Vec<&str> = catalogue
            .tests
            .iter()
            .map(|test| test.id.as_str())
            .collect();
        let help = match did_you_mean(name, &ids) {
            Some(id) => format!("did you mean `{id}`?"),
            None => "add the test, or take it out of the panel".to_owned(),
        };
        let message = format!("`{}` is neither test nor panel", **name);
        file.error(
            "CONF-0303",
            name.span.clone(),
            message,
            "not in this catalogue",
            help,
        );
    }
}

/// Follows a panel down to its tests; the error is the name that closes a circle.
fn collect<'c>(
    catalogue: &'c Catalogue,
    names: &'c [At<String>],
    path: &mut Vec<&'c str>,
    found: &mut Vec<usize>,
) -> Result<(), &'c At<String>> {
    for name in names {
        if let Some(place) = catalogue.tests_by_id.get(name.as_str()) {
            if !found.contains(place) {
                found.push(*place);
            }
            continue;
        }
        let Some(panel) = catalogue.panel(name) else {
            continue;
        };
        if path.contains(&name.as_str()) {
            return Err(name);
        }
        path.push(name);
        // A circle further in is that panel's own mistake; its place is here all the same.
        collect(catalogue, &panel.tests, path, found).map_err(|_| name)?;
        path.pop();
    }
    Ok(())
}
