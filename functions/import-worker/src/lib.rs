//! Imports player files (CSV or XLSX) from the import bucket.

pub mod chunks;
pub mod csv_rows;
pub mod file_error;
pub mod rows;
pub mod sniff;
pub mod worker;
mod xlsx;
pub mod xlsx_rows;
