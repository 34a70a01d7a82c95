//! The files that make Labwire a service fit the program.

use std::{collections::BTreeMap, fs, time::Duration};

use labwire::{bridge::STOP_WITHIN, vitals::STUCK_AFTER};

use crate::here;

/// The settings of a section of a unit file; a name that comes again has all its values.
fn section(text: &str, wanted: &str) -> BTreeMap<String, Vec<String>> {
    let mut settings = BTreeMap::<String, Vec<String>>::new();
    let mut is_in = false;
    for line in text.lines() {
        if line.starts_with('[') {
            is_in = line == format!("[{wanted}]");
        } else if let Some((name, value)) = line.split_once('=')
            && is_in
            && !line.starts_with('#')
        {
            let values = settings.entry(name.to_owned()).or_default();
            values.push(value.to_owned());
        }
    }
    settings
}

#[test]
fn the_unit_gives_a_stop_its_time_and_knows_when_labwire_is_stuck() {
    let unit = fs::read_to_string(here().join("config/systemd/labwire.service"));
    let unit = unit.expect("the unit is there");
    let service = section(&unit, "Service");
    let one = |name: &str| match service.get(name).map(Vec::as_slice) {
        Some([only]) => only.clone(),
        other => format!("{name} is there once: {other:?}"),
    };
    let seconds = |name: &str| one(name).parse().map(Duration::from_secs);
    assert_eq!(one("Type"), "notify");
    let stop = seconds("TimeoutStopSec").expect("whole seconds");
    assert!(stop > STOP_WITHIN, "systemd would end what stops in order");
    let watchdog = seconds("WatchdogSec").expect("whole seconds");
    assert!(
        watchdog / 2 >= STUCK_AFTER,
        "a silent database server would be a standstill"
    );
    assert_eq!(
        one("ExecStart"),
        "/usr/bin/labwire run -c /etc/labwire/lab.toml"
    );
    for name in [
        "NoNewPrivileges",
        "PrivateTmp",
        "MemoryDenyWriteExecute",
        "ProtectHome",
    ] {
        assert_eq!(one(name), "yes", "{name}");
    }
    assert_eq!(one("ProtectSystem"), "strict");
    assert_eq!(one("CapabilityBoundingSet"), "");
    assert_eq!(one("SupplementaryGroups"), "dialout", "serial ports");
    assert!(!service.contains_key("PrivateDevices"), "serial ports");
}
