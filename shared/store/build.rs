//! The migrations are embedded at compile time: a new file compiles this crate anew.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
