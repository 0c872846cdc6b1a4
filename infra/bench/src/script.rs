//! The script that makes pgbench do what one call did: its statements, word for word and in its order, with what
//! differs from call to call put in the place of the captured parameters.
//!
//! So the script follows the code. What it has to find are the parameters that must change: the player and the key of
//! the call by their text, instants and UUIDs by their type, and the wallet's version and balance by their values,
//! which are read by an earlier statement of the call and advanced here as the call advanced them.

use std::error::Error;
use std::fmt::Write;

use bytes::BytesMut;
use rust_decimal::Decimal;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use crate::Result;
use crate::capture::Sent;
use crate::database::explain;

/// UUIDv7 of the clock and of chance, as the handler makes them: the index over them grows at its end.
const NEW_UUID: &str = "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' \
                        || substr(md5(random()::text), 1, 19))::uuid";

/// The call that was captured: a credit to a wallet, from the version below `version`.
#[derive(Debug)]
pub struct Call {
    pub player: String,
    pub key: String,
    pub amount: Decimal,
    /// After it.
    pub version: i64,
    /// After it.
    pub balance: Decimal,
}

/// Wants the variables `first` and `last`: the numbers of the players to choose from.
#[derive(Debug)]
pub struct Script {
    pub text: String,
    /// Variables that are the same in every transaction.
    pub constants: Vec<(String, String)>,
}

/// # Errors
/// When no statement of the call reads the wallet's version and balance in the one row it returns, or when a later one
/// does not use them: pgbench could not go on from one transaction to the next.
pub async fn write(client: &mut Client, sent: &[Sent], call: &Call) -> Result<Script> {
    let mut writer = Writer {
        call,
        wallet: None,
        advanced: false,
        constants: Vec::new(),
    };
    let mut text = String::from(
        "\\set player random(:first, :last)\n\\set key random(1000000000000000000, 9000000000000000000)\n",
    );
    for (number, sent) in sent.iter().enumerate() {
        match sent {
            Sent::Query(sql) if sql.is_empty() => {}
            Sent::Query(sql) => writeln!(text, "{sql};")?,
            Sent::Execute { sql, parameters } => {
                let statement = client.prepare(sql).await?;
                let parameters: Vec<Raw> = parameters.iter().cloned().map(Raw).collect();
                let body = writer.statement(client, number, sql, &statement, &parameters).await?;
                let wallet = if writer.wallet.is_none() {
                    wallet_columns(client, &statement, &parameters, call).await?
                } else {
                    None
                };
                let end = if wallet.is_some() { " \\gset wallet_" } else { ";" };
                writer.wallet = writer.wallet.or(wallet);
                writeln!(text, "{}{end}", body.trim())?;
            }
        }
    }
    if !writer.advanced {
        return Err(
            "the captured call does not read a wallet's version and balance in one row and write the next ones".into(),
        );
    }
    Ok(Script {
        text,
        constants: writer.constants,
    })
}

/// The columns in which a statement returns the wallet's state.
struct Wallet {
    version: String,
    balance: String,
}

/// Asks again, after the call: the state that it left must be there. Nothing that the statement does stays.
async fn wallet_columns(
    client: &mut Client,
    statement: &Statement,
    parameters: &[Raw],
    call: &Call,
) -> Result<Option<Wallet>> {
    // Not a transaction of the program: it is never committed, and so never retried.
    client.batch_execute("BEGIN").await?;
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|raw| raw as &(dyn ToSql + Sync)).collect();
    // A statement that wrote may be refused the second time.
    let rows = client.query(statement, &parameters).await.unwrap_or_default();
    client.batch_execute("ROLLBACK").await?;
    let [row] = rows.as_slice() else { return Ok(None) };
    let (mut version, mut balance) = (None, None);
    for (index, column) in row.columns().iter().enumerate() {
        if *column.type_() == Type::INT8 && row.try_get::<_, Option<i64>>(index)? == Some(call.version) {
            version = Some(column.name().to_owned());
        } else if *column.type_() == Type::NUMERIC && row.try_get::<_, Option<Decimal>>(index)? == Some(call.balance) {
            balance = Some(column.name().to_owned());
        }
    }
    Ok(version
        .zip(balance)
        .map(|(version, balance)| Wallet { version, balance }))
}

struct Writer<'a> {
    call: &'a Call,
    wallet: Option<Wallet>,
    /// A statement has used the version after the call.
    advanced: bool,
    constants: Vec<(String, String)>,
}

impl Writer<'_> {
    /// The statement with an expression in the place of each `$1`.
    async fn statement(
        &mut self,
        client: &Client,
        number: usize,
        sql: &str,
        statement: &Statement,
        parameters: &[Raw],
    ) -> Result<String> {
        if takes_for_variable(sql) {
            return Err(format!("pgbench would take a part of this statement for a variable:\n{sql}").into());
        }
        let mut expressions = Vec::new();
        for (index, (kind, value)) in statement.params().iter().zip(parameters).enumerate() {
            expressions.push(
                self.expression(client, &format!("c{number}_{index}"), kind, value)
                    .await?,
            );
        }
        let mut parts = sql.split('$');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.chars().take_while(char::is_ascii_digit).count();
            let (index, rest) = part.split_at(digits);
            let index: usize = index.parse().map_err(|_| format!("a $ that is no parameter:\n{sql}"))?;
            text.push_str(
                expressions
                    .get(index - 1)
                    .ok_or_else(|| format!("${index} is not bound:\n{sql}"))?,
            );
            text.push_str(rest);
        }
        Ok(text)
    }

    async fn expression(&mut self, client: &Client, name: &str, kind: &Type, value: &Raw) -> Result<String> {
        if value.0.is_none() {
            return Ok(format!("NULL::{}", type_name(kind)));
        }
        if let Kind::Array(element) = kind.kind() {
            let sql = format!("SELECT cardinality($1::{0}), ($1::{0})[1]::text", type_name(kind));
            let row = client
                .query_one(&sql, &[value])
                .await
                .map_err(|problem| explain(&problem))?;
            let (length, first): (i32, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
            if let (1, Some(changing)) = (length, first.and_then(|first| self.changing(element, &first))) {
                return Ok(format!("ARRAY[{changing}]::{}", type_name(kind)));
            }
        }
        let sql = format!("SELECT $1::{}::text", type_name(kind));
        let text: String = client
            .query_one(&sql, &[value])
            .await
            .map_err(|problem| explain(&problem))?
            .try_get(0)?;
        if let Some(changing) = self.changing(kind, &text) {
            return Ok(changing);
        }
        if text.is_empty() {
            return Ok(format!("''::{}", type_name(kind)));
        }
        self.constants.push((name.to_owned(), text));
        Ok(format!(":{name}::{}", type_name(kind)))
    }

    /// What stands for a value that differs from call to call.
    fn changing(&mut self, kind: &Type, text: &str) -> Option<String> {
        let is_text = [Type::TEXT, Type::VARCHAR].contains(kind);
        if is_text && text == self.call.player {
            return Some(":player::text".to_owned());
        }
        if is_text && text == self.call.key {
            return Some(":key::text".to_owned());
        }
        if *kind == Type::TIMESTAMPTZ {
            return Some("clock_timestamp()".to_owned());
        }
        if *kind == Type::UUID {
            return Some(NEW_UUID.to_owned());
        }
        let wallet = self.wallet.as_ref()?;
        let (version, balance) = (
            format!(":wallet_{}::bigint", wallet.version),
            format!(":wallet_{}::numeric", wallet.balance),
        );
        if *kind == Type::INT8 && text.parse() == Ok(self.call.version) {
            self.advanced = true;
            return Some(format!("({version} + 1)"));
        }
        if *kind == Type::INT8 && text.parse() == Ok(self.call.version - 1) {
            return Some(version);
        }
        if *kind == Type::NUMERIC && text.parse() == Ok(self.call.balance) {
            return Some(format!("({balance} + {})", self.call.amount));
        }
        None
    }
}

fn type_name(kind: &Type) -> String {
    match kind.kind() {
        Kind::Array(element) => format!("{}[]", element.name()),
        _ => kind.name().to_owned(),
    }
}

/// pgbench looks for `:name` everywhere, in quotes too; only a cast it lets be.
fn takes_for_variable(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    bytes.windows(2).enumerate().any(|(at, pair)| {
        let begins = pair[0] == b':' && (pair[1].is_ascii_alphanumeric() || pair[1] == b'_');
        begins && (at == 0 || bytes[at - 1] != b':')
    })
}

/// A parameter as it was sent, whatever its type.
#[derive(Clone, Debug)]
struct Raw(Option<Vec<u8>>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
