//! Checks that belong to no single crate: the walls between crates, the template, and the main job over the running
//! stack. All of it is in `tests/`.
