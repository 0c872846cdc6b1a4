//! Set-based statements send one array per column. [`columns!`](crate::columns) declares the columns of such a
//! statement once: their names, their PostgreSQL types and their Rust types.

use domain::access::Role;
use domain::activity::EventType;
use domain::bonus::GrantStatus;
use domain::event;
use domain::id::{
    EvaluationId, EventId, GrantId, ImportId, PlayerId, RedemptionId, RedemptionRuleId, RuleId, RunId, ScheduleRunId,
    SignalId, TransactionId, TriggerBatchId,
};
use domain::ledger::{Direction, House, Kind};
use domain::money::Asset;
use domain::redemption::Target;
use domain::risk::{SignalType, TraceKind};
use domain::rule::{RewardType, Trigger};
use domain::run::{RunKind, RunStatus, Scope};
use domain::schedule::Job;
use domain::segment::Segment;
use domain::tier::MoveReason;
use domain::webhook::DeliveryStatus;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

/// A parameter of a statement.
pub type Param<'a> = &'a (dyn ToSql + Sync);

/// The PostgreSQL types that columns have.
#[allow(non_camel_case_types, reason = "PostgreSQL writes them so")]
pub mod pg {
    pub enum bigint {}
    pub enum boolean {}
    pub enum bytea {}
    pub enum date {}
    pub enum integer {}
    pub enum json {}
    pub enum jsonb {}
    pub enum numeric {}
    pub enum smallint {}
    pub enum text {}
    pub enum timestamptz {}
    pub enum uuid {}
}

/// A value that fits a column of type `Pg`.
pub trait Column<Pg> {
    /// The type that is sent to PostgreSQL.
    type Sql;

    fn sql(self) -> Self::Sql;
}

impl<Pg, T: Column<Pg>> Column<Pg> for Option<T> {
    type Sql = Option<T::Sql>;

    fn sql(self) -> Self::Sql {
        self.map(T::sql)
    }
}

impl<Pg, T> Column<Pg> for Json<T> {
    type Sql = Self;

    fn sql(self) -> Self {
        self
    }
}

macro_rules! column {
    ($( $pg:ident: $($type:ty),+ => $sql:ty, $value:ident => $convert:expr; )+) => {
        $($(
            impl<'a> Column<pg::$pg> for $type {
                type Sql = $sql;

                fn sql(self) -> $sql {
                    let $value = self;
                    $convert
                }
            }
        )+)+
    };
}

column! {
    bigint: i64 => i64, value => value;
    boolean: bool => bool, value => value;
    bytea: &'a [u8] => &'a [u8], value => value;
    date: Date => Date, value => value;
    integer: i32 => i32, value => value;
    json: &'a Value => &'a Value, value => value;
    jsonb: &'a Value => &'a Value, value => value;
    numeric: Decimal => Decimal, value => value;
    smallint: i16 => i16, value => value;
    smallint: u8 => i16, value => value.into();
    smallint: Direction => i16, value => value.sign();
    text: &'a str => &'a str, value => value;
    text: String => String, value => value;
    text: Asset, DeliveryStatus, EventType, GrantStatus, House, Job, Kind, RewardType, Role, RunKind, RunStatus, Scope,
        Segment, SignalType, Target, TraceKind, Trigger, MoveReason,
        event::EventType => &'static str, word => word.as_str();
    text: &'a PlayerId, &'a RuleId, &'a EventId, &'a RedemptionRuleId => &'a str, id => id.as_str();
    timestamptz: Timestamp => Timestamp, value => value;
    uuid: Uuid => Uuid, value => value;
    uuid: GrantId, TransactionId, RedemptionId, EvaluationId, RunId, ImportId, SignalId, TriggerBatchId,
        ScheduleRunId => Uuid, id => id.0;
}

/// Declares the columns of a set-based statement: a row with named fields, and a struct of arrays. Fill the arrays
/// with `collect()` or `push`, and send them with `params`.
///
/// The names in parentheses are the parameters before the arrays, `$1` and on. `NAMES` is the list of columns,
/// `UNNEST` turns the arrays into the rows of `n`, and `SELECT` selects them. A field `type_` is the column `type`.
///
/// ```
/// use domain::id::{EventId, PlayerId};
///
/// store::columns! {
///     /// An event that was seen.
///     pub struct Seen<'a> => SeenColumns (now) {
///         player_id: text = &'a PlayerId,
///         event_id: text = &'a EventId,
///     }
/// }
///
/// assert_eq!(SeenColumns::NAMES, "player_id, event_id");
/// assert_eq!(SeenColumns::UNNEST, "unnest($2::text[], $3::text[]) AS n (player_id, event_id)");
/// let (player_id, event_id) = (PlayerId::parse("P001").unwrap(), EventId::parse("E1").unwrap());
/// let seen: SeenColumns<'_> = [Seen { player_id: &player_id, event_id: &event_id }].into_iter().collect();
/// assert_eq!(seen.params([&"now"]).len(), 3);
/// ```
///
/// Two text columns cannot be swapped:
///
/// ```compile_fail,E0308
/// use domain::id::{EventId, PlayerId};
///
/// store::columns! {
///     /// An event that was seen.
///     pub struct Seen<'a> => SeenColumns (now) {
///         player_id: text = &'a PlayerId,
///         event_id: text = &'a EventId,
///     }
/// }
///
/// let (player_id, event_id) = (PlayerId::parse("P001").unwrap(), EventId::parse("E1").unwrap());
/// let seen: SeenColumns<'_> = [Seen { player_id: &event_id, event_id: &player_id }].into_iter().collect();
/// ```
///
/// Nor can a column have a Rust type that does not fit its PostgreSQL type:
///
/// ```compile_fail,E0277
/// store::columns! {
///     /// Somebody's day.
///     pub struct Day => Days () {
///         day: date = jiff::Timestamp,
///     }
/// }
/// ```
#[macro_export]
macro_rules! columns {
    (@name type_) => { "type" };
    (@name $name:ident) => { stringify!($name) };
    (@names $first:ident $($name:ident)*) => {
        concat!($crate::columns!(@name $first) $(, ", ", $crate::columns!(@name $name))*)
    };
    // Skips the numbers of the parameters before the arrays.
    (@arrays [] [$before:ident $($more:ident)*] [$number:literal $($numbers:literal)*] $($pg:ident)+) => {
        $crate::columns!(@arrays [] [$($more)*] [$($numbers)*] $($pg)+)
    };
    (@arrays [$($text:tt)*] [] [$number:literal $($numbers:literal)*] $pg:ident) => {
        concat!($($text)* "$", $number, "::", stringify!($pg), "[]")
    };
    (@arrays [$($text:tt)*] [] [$number:literal $($numbers:literal)*] $pg:ident $($more:ident)+) => {
        $crate::columns!(
            @arrays [$($text)* "$", $number, "::", stringify!($pg), "[], ",] [] [$($numbers)*] $($more)+
        )
    };
    (@unnest [$($before:ident)*] [$($name:ident)+] [$($pg:ident)+]) => {
        concat!(
            "unnest(",
            $crate::columns!(
                @arrays [] [$($before)*]
                [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32] $($pg)+
            ),
            ") AS n (",
            $crate::columns!(@names $($name)+),
            ")"
        )
    };
    (
        $(#[$meta:meta])*
        $visibility:vis struct $Row:ident $(<$life:lifetime>)? => $Columns:ident ($($before:ident),*) {
            $( $name:ident: $pg:ident = $type:ty ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $visibility struct $Row $(<$life>)? {
            $( pub $name: $type, )+
        }

        /// The rows, one array per column.
        $visibility struct $Columns $(<$life>)? {
            $( $name: Vec<<$type as $crate::columns::Column<$crate::columns::pg::$pg>>::Sql>, )+
        }

        #[allow(dead_code, reason = "a statement need not use all of it")]
        impl $(<$life>)? $Columns $(<$life>)? {
            pub const NAMES: &'static str = $crate::columns!(@names $($name)+);
            pub const UNNEST: &'static str = $crate::columns!(@unnest [$($before)*] [$($name)+] [$($pg)+]);
            pub const SELECT: &'static str = concat!(
                "SELECT ",
                $crate::columns!(@names $($name)+),
                "\nFROM ",
                $crate::columns!(@unnest [$($before)*] [$($name)+] [$($pg)+])
            );

            pub fn with_capacity(rows: usize) -> Self {
                Self { $( $name: Vec::with_capacity(rows), )+ }
            }

            pub fn push(&mut self, row: $Row $(<$life>)?) {
                $( self.$name.push($crate::columns::Column::<$crate::columns::pg::$pg>::sql(row.$name)); )+
            }

            pub fn is_empty(&self) -> bool {
                $( self.$name.is_empty() )&&+
            }

            /// All parameters of the statement: those before the arrays, then the arrays.
            pub fn params<'p>(
                &'p self,
                before: [$crate::columns::Param<'p>; <[&str]>::len(&[$( stringify!($before) ),*])],
            ) -> Vec<$crate::columns::Param<'p>> {
                before.into_iter().chain([$( &self.$name as $crate::columns::Param<'p> ),+]).collect()
            }
        }

        impl $(<$life>)? FromIterator<$Row $(<$life>)?> for $Columns $(<$life>)? {
            fn from_iter<Rows: IntoIterator<Item = $Row $(<$life>)?>>(rows: Rows) -> Self {
                let rows = rows.into_iter();
                let mut columns = Self::with_capacity(rows.size_hint().0);
                for row in rows {
                    columns.push(row);
                }
                columns
            }
        }
    };
}
