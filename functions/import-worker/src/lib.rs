//! Reads files of players from the import bucket.

pub mod csv_rows;
pub mod file_error;
pub mod rows;
pub mod sniff;
mod xlsx;
pub mod xlsx_rows;
pub mod chunks;
pub mod worker;
