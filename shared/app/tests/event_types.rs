//! The list of event types against the code that writes them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use domain::webhook::EVENT_TYPES;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The texts behind `event_type: `, and those that a `match` gives to an `event_type`.
fn written(source: &str) -> Vec<&str> {
    let mut in_match = false;
    let mut found = Vec::new();
    for line in source.lines() {
        in_match = (in_match && !line.trim_start().starts_with('}')) || line.contains("event_type = match");
        if line.contains("event_type: \"") || (in_match && line.contains("=> \"")) {
            let place = if in_match { "=> \"" } else { "event_type: \"" };
            found.extend(line.split(place).nth(1).and_then(|rest| rest.split('"').next()));
        }
    }
    found
}

/// Who registers a webhook chooses from the list: what is missing in it could not be chosen, and what nobody writes would
/// never come.
#[test]
fn every_event_that_is_written_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        found.extend(written(&source).into_iter().map(str::to_owned));
    }
    let listed: BTreeSet<String> = EVENT_TYPES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(found.contains("bonus.completed") && found.contains("reward.granted") && found.len() >= 10, "{found:?}");
}
