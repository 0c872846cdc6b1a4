//! Checks that belong to no single crate, all in `tests/`: the dependencies between crates, the template, and the
//! main job on the running stack.
