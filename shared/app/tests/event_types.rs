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

fn sources(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![fs::read_to_string(path).unwrap()]
            }
        })
        .collect()
}

/// Who registers a webhook chooses from the list: what is missing in it could not be chosen, and what nobody writes would
/// never come.
#[test]
fn every_event_that_is_written_is_in_the_list_and_no_other() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let found: BTreeSet<&str> = sources.iter().flat_map(|source| written(source)).collect();
    assert_eq!(found, EVENT_TYPES.into());
}
