//! Reads the part of Office Open XML that a table of players needs, in bounded memory.
//!
//! Not `calamine`: it loads every shared string, style and relation before it yields a cell, so a file of a few
//! kilobytes can claim gigabytes. Here the unpacked size of every part and the length of every XML token are limited,
//! and the sheet is streamed.

pub mod number;
pub mod package;
pub mod sheet;
pub mod strings;
pub mod workbook;
pub mod xml;
