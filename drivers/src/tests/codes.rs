//! Every code is explained in `CODES.md`, once, and every code explained there exists.

use std::collections::BTreeSet;

/// The codes in a text, each as often as it stands there.
fn codes(text: &str) -> Vec<String> {
    let after = text.split("DRV-").skip(1);
    after
        .map(|rest| format!("DRV-{}", rest.chars().take(4).collect::<String>()))
        .collect()
}

#[test]
fn every_code_is_explained_once() {
    let used = [
        include_str!("../endpoint.rs")
            .split("#[cfg(test)]")
            .next()
            .unwrap_or_default(),
        include_str!("../error.rs"),
        include_str!("../event.rs"),
        include_str!("../tls/fault.rs"),
        include_str!("../tls/files.rs"),
        include_str!("../serial.rs"),
    ];
    let used: Vec<_> = used.iter().flat_map(|source| codes(source)).collect();
    let explained = codes(include_str!("../../CODES.md"));
    let set = |codes: &[String]| codes.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&used), set(&explained));
    assert_eq!(
        explained.len(),
        set(&explained).len(),
        "a code is explained twice"
    );
    assert_eq!(
        used.len(),
        set(&used).len(),
        "a code is used for two things"
    );
}
