//! What of the Office Open XML format a table of players needs, read in bounded memory.
//!
//! Not `calamine`: it keeps every shared string, style and relation of a workbook in memory before it shows a cell, and a
//! file of a few kilobytes can ask for gigabytes there. Here every part has a limit on its real unpacked size, every XML
//! token one on its length, and the sheet is never kept.

pub mod number;
pub mod package;
pub mod sheet;
pub mod strings;
pub mod workbook;
pub mod xml;
