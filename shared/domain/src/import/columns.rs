//! Maps the header of a file to columns.

use super::{Warning, shown};
use crate::text_enum;

/// Most columns a file may have.
pub const COLUMNS_MAX: usize = 256;

text_enum! {
    /// A column that is imported.
    pub enum Column as "column" {
        PlayerId = "player_id",
        TotalDeposited = "total_deposited",
        TotalWagered = "total_wagered",
        TotalWon = "total_won",
        TotalWithdrawn = "total_withdrawn",
        SessionCount = "session_count",
        PlaytimeHours = "playtime_hours",
        TotalBets = "total_bets",
        LastDepositDate = "last_deposit_date",
        RegisteredAt = "registered_at",
        Email = "email",
        Name = "name",
    }
}

impl Column {
    /// A file must have these columns.
    pub const REQUIRED: [Column; 4] = [
        Column::PlayerId,
        Column::TotalDeposited,
        Column::TotalWagered,
        Column::TotalWon,
    ];

    /// Accepted headings besides the column's name.
    const fn other_headings(self) -> &'static [&'static str] {
        match self {
            Column::TotalDeposited => &["deposit"],
            Column::TotalWagered => &["wagered"],
            Column::TotalWon => &["won"],
            Column::SessionCount => &["sessions", "total_sessions"],
            Column::PlaytimeHours => &["total_playtime_hours"],
            _ => &[],
        }
    }

    pub fn is_required(self) -> bool {
        Self::REQUIRED.contains(&self)
    }

    /// Whether the column holds dates. Spreadsheets store them as day numbers, which the reader has to convert.
    pub fn is_date(self) -> bool {
        matches!(self, Column::LastDepositDate | Column::RegisteredAt)
    }

    /// Ignores case, whitespace, dashes and underscores: `Total Deposited` is `total_deposited`.
    fn find(heading: &str) -> Option<Self> {
        let wanted = letters(heading);
        let is_headed = |column: &Self| {
            let mut headings = column.other_headings().iter().copied().chain([column.as_str()]);
            headings.any(|known| letters(known) == wanted)
        };
        Self::ALL.into_iter().find(is_headed)
    }
}

fn letters(heading: &str) -> String {
    let counts = |c: &char| !c.is_whitespace() && !matches!(c, '_' | '-' | '\u{feff}');
    heading.chars().filter(counts).flat_map(char::to_lowercase).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error(
        "the header lacks the column{} {}; it has {}",
        if missing.len() == 1 { "" } else { "s" },
        list(missing),
        found_list(found)
    )]
    Missing { missing: Vec<Column>, found: Vec<String> },
    #[error(
        "the header has {column} twice: column {first} \"{first_heading}\" and column {second} \"{second_heading}\""
    )]
    Twice {
        column: Column,
        first: usize,
        first_heading: String,
        second: usize,
        second_heading: String,
    },
    #[error("the header has {found} columns, more than {COLUMNS_MAX}; this is not a table of players")]
    TooWide { found: usize },
}

fn list(columns: &[Column]) -> String {
    columns
        .iter()
        .map(|column| column.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn found_list(found: &[String]) -> String {
    const NAMED_MAX: usize = 20;
    if found.is_empty() {
        return "no headings".into();
    }
    let mut named = found
        .iter()
        .take(NAMED_MAX)
        .map(|heading| format!("\"{heading}\""))
        .collect::<Vec<_>>()
        .join(", ");
    if found.len() > NAMED_MAX {
        named.push_str(" and more");
    }
    named
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// `None`: an unknown column, whose cells are ignored.
    column: Option<Column>,
    /// As in the file, but safe to show and store.
    heading: String,
}

/// The columns of one file, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    positions: Vec<Position>,
}

impl Columns {
    /// Reads a header, without its trailing empty headings.
    ///
    /// # Errors
    /// A required column is missing, a column appears more than once, or there are more than [`COLUMNS_MAX`] columns.
    pub fn from_header<S: AsRef<str>>(headings: &[S]) -> Result<(Self, Vec<Warning>), HeaderError> {
        let width = headings
            .iter()
            .rposition(|heading| !letters(heading.as_ref()).is_empty())
            .map_or(0, |last| last + 1);
        if width > COLUMNS_MAX {
            return Err(HeaderError::TooWide { found: width });
        }
        let position = |heading: &S| {
            let heading = heading.as_ref().trim_start_matches('\u{feff}').trim();
            Position {
                column: Column::find(heading),
                heading: shown(heading),
            }
        };
        let columns = Self {
            positions: headings.iter().take(width).map(position).collect(),
        };
        columns.refuse_twice()?;
        columns.refuse_missing()?;
        let warnings = columns.warnings();
        Ok((columns, warnings))
    }

    fn refuse_twice(&self) -> Result<(), HeaderError> {
        for (second, position) in self.positions.iter().enumerate() {
            let Some(column) = position.column else { continue };
            let first = self
                .positions
                .iter()
                .take(second)
                .position(|earlier| earlier.column == Some(column));
            if let Some(first) = first {
                return Err(HeaderError::Twice {
                    column,
                    first: first + 1,
                    first_heading: self.heading(first).to_owned(),
                    second: second + 1,
                    second_heading: position.heading.clone(),
                });
            }
        }
        Ok(())
    }

    fn refuse_missing(&self) -> Result<(), HeaderError> {
        let has = |column: &Column| self.positions.iter().any(|position| position.column == Some(*column));
        let missing: Vec<Column> = Column::REQUIRED.into_iter().filter(|column| !has(column)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self
            .positions
            .iter()
            .map(|position| position.heading.clone())
            .filter(|heading| !heading.is_empty())
            .collect();
        Err(HeaderError::Missing { missing, found })
    }

    fn warnings(&self) -> Vec<Warning> {
        let unknown = self
            .positions
            .iter()
            .enumerate()
            .filter(|(_, position)| position.column.is_none());
        unknown
            .map(|(index, Position { heading, .. })| match heading.as_str() {
                "" => Warning::UnnamedColumn { position: index + 1 },
                heading => Warning::UnknownColumn {
                    position: index + 1,
                    header: heading.to_owned(),
                },
            })
            .collect()
    }

    /// Number of columns, including unknown ones.
    pub fn width(&self) -> usize {
        self.positions.len()
    }

    /// The column at `index` (from 0); `None` if it is unknown or beyond the header.
    pub fn at(&self, index: usize) -> Option<Column> {
        self.positions.get(index)?.column
    }

    /// The heading at `index` (from 0) as in the file; empty beyond the header.
    pub fn heading(&self, index: usize) -> &str {
        self.positions.get(index).map_or("", |position| &position.heading)
    }

    pub(super) fn position_of(&self, column: Column) -> Option<usize> {
        self.positions
            .iter()
            .position(|position| position.column == Some(column))
    }
}

/// Number of known headings; the CSV reader uses it to detect the delimiter.
pub fn known_headings<'a>(headings: impl IntoIterator<Item = &'a str>) -> usize {
    headings
        .into_iter()
        .filter(|heading| Column::find(heading).is_some())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str) -> Result<(Columns, Vec<Warning>), HeaderError> {
        Columns::from_header(&header.split(',').collect::<Vec<_>>())
    }

    fn found(header: &str) -> Vec<Option<Column>> {
        let (columns, _) = columns(header).unwrap();
        (0..columns.width()).map(|index| columns.at(index)).collect()
    }

    #[test]
    fn every_heading_and_alias_is_found() {
        use Column::*;
        let all = "player_id,total_deposited,total_wagered,total_won,total_withdrawn,session_count,playtime_hours,\
            total_bets,last_deposit_date,registered_at,email,name";
        assert_eq!(found(all), Column::ALL.map(Some));
        let required = [PlayerId, TotalDeposited, TotalWagered, TotalWon];
        assert_eq!(found("player_id,deposit,wagered,won,sessions,total_playtime_hours"), {
            required
                .into_iter()
                .chain([SessionCount, PlaytimeHours])
                .map(Some)
                .collect::<Vec<_>>()
        });
        assert_eq!(
            found("player_id,deposit,wagered,won,total_sessions")[4],
            Some(SessionCount)
        );
    }

    #[test]
    fn case_blanks_dashes_and_a_bom_do_not_count() {
        assert_eq!(
            found("\u{feff}PLAYER ID, Total-Deposited ,TotalWagered,\u{a0}WON\t"),
            [
                Column::PlayerId,
                Column::TotalDeposited,
                Column::TotalWagered,
                Column::TotalWon
            ]
            .map(Some)
        );
    }

    #[test]
    fn unknown_columns_are_named_and_trailing_empty_headings_are_not_columns() {
        let (columns, warnings) = columns(",player_id,deposit,Favourite Colour,wagered,won,,").unwrap();
        assert_eq!(columns.width(), 6);
        assert_eq!(
            warnings,
            [
                Warning::UnnamedColumn { position: 1 },
                Warning::UnknownColumn {
                    position: 4,
                    header: "Favourite Colour".into()
                }
            ]
        );
        assert_eq!(
            warnings[1].to_string(),
            "column 4 \"Favourite Colour\" is unknown and was ignored"
        );
    }

    #[test]
    fn all_missing_columns_are_one_error_that_says_what_was_found() {
        let error = columns("player_id,Turnover,total_won").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the header lacks the columns total_deposited, total_wagered; \
             it has \"player_id\", \"Turnover\", \"total_won\""
        );
        let error = columns("player_id,deposit,wagered").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the header lacks the column total_won; it has \"player_id\", \"deposit\", \"wagered\""
        );
        assert!(columns("").unwrap_err().to_string().ends_with("it has no headings"));
    }

    #[test]
    fn a_column_twice_is_refused_also_under_its_alias() {
        let error = columns("player_id,deposit,wagered,won,Total Deposited").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the header has total_deposited twice: column 2 \"deposit\" and column 5 \"Total Deposited\""
        );
    }

    #[test]
    fn a_header_of_257_columns_is_refused() {
        let header = "player_id,deposit,wagered,won".to_owned() + &",x".repeat(COLUMNS_MAX - 4);
        assert!(columns(&header).is_ok());
        assert_eq!(columns(&(header + ",x")), Err(HeaderError::TooWide { found: 257 }));
    }
}
