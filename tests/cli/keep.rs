//! Encrypted backups, as people meet them.

use std::fs;

use super::{
    check,
    lab::{Lab, records},
};

/// The one file in the folder of backups.
fn only_file(lab: &Lab) -> String {
    let mut files = fs::read_dir(lab.path("backups")).expect("the folder is there");
    let file = files.next().expect("a backup was written");
    let file = file.expect("its name can be read");
    assert!(files.next().is_none());
    file.path().display().to_string()
}

#[test]
fn an_encrypted_backup_is_restored_by_its_key_alone() {
    let mut lab = Lab::after_a_morning();
    let public = check(&lab.labwire(&["backup", "--new-key", "key"]), 0);
    check(&lab.labwire(&["backup", "--new-key", "key"]), 2);
    check(&lab.labwire(&["backup", "--new-key", "other"]), 0);
    let told = lab.labwire(&["backup"]);
    check(&told, 2);
    assert!(told.err.contains("[backup] folder"), "{}", told.err);
    let mut toml = fs::read_to_string(lab.path("lab.toml")).unwrap();
    toml.push_str(&format!(
        "\n[backup]\nfolder = \"backups\"\nrecipients = [\"{}\"]\n",
        public.trim()
    ));
    fs::write(lab.path("lab.toml"), toml).unwrap();
    let out = check(&lab.labwire(&["backup"]), 0);
    assert!(out.contains("encrypted"), "{out}");
    let file = only_file(&lab);
    assert!(file.ends_with(".jsonl.gz.age"), "{file}");
    // Also into a file, and beside another store: a site with recipients writes nothing plain.
    let url = lab.url();
    let out = check(&lab.labwire(&["backup", "named", "--store", &url]), 0);
    assert!(out.contains("encrypted"), "{out}");
    let refused = |args: &[&str], code: &str| {
        let told = lab.labwire(args);
        check(&told, 2);
        assert!(told.err.contains(code), "{}", told.err);
    };
    refused(&["restore", &file, "--check"], "STORE-0116");
    refused(
        &["restore", &file, "--check", "--identity", "other"],
        "STORE-0117",
    );
    refused(
        &["restore", &file, "--check", "--identity", "lab.toml"],
        "STORE-0118",
    );
    check(
        &lab.labwire(&["restore", "named", "--check", "--identity", "key"]),
        0,
    );
    lab.measure(&records("T9", &[("GLU", "6.00", "mmol/L")]));
    let lab = lab.close();
    let whole = fs::read(&file).unwrap();
    fs::write(lab.path("cut"), &whole[..whole.len() / 2]).unwrap();
    let told = lab.labwire(&["restore", "cut", "--replace", "--identity", "key"]);
    check(&told, 2);
    assert!(told.err.contains("STORE-0203"), "{}", told.err);
    assert!(check(&lab.labwire(&["ledger"]), 0).contains("5 messages"));
    check(
        &lab.labwire(&["restore", &file, "--replace", "--identity", "key"]),
        0,
    );
    assert!(check(&lab.labwire(&["ledger"]), 0).contains("4 messages"));
    check(&lab.labwire(&["audit", "verify"]), 0);
    let secret = fs::read_to_string(lab.path("key")).unwrap();
    let secret = secret.lines().last().unwrap().to_owned();
    assert!(secret.starts_with("AGE-SECRET-KEY-1") && !told.err.contains(&secret));
}
