//! The migrations are embedded at compile time, so a new file must recompile this crate.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
