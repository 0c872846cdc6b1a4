//! What a file of players may hold: its columns and the values of its rows.
