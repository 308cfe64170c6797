//! PostgreSQL: rows put into a table and taken out of it. A call may be repeated: it ends in the same state.
//!
//! The table is the owner's; what it needs is a unique column that names a row. Values go as text and become what their
//! columns are, by the server's own rules. Names of tables and columns are quoted, values are parameters.
//!
//! A row that its table will not have costs itself only: a chunk with one is cut in halves until it stands alone
//! ([`Applied::rejected`]).

mod connect;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::Client;

use crate::Egress;
use crate::fault::{Fault, Why};
use connect::{Session, fault};
use statement::{Column, Table};

/// Rows of one call, at most.
pub const ROWS_MAX: usize = 10_000;
/// Columns of a row, at most.
pub const COLUMNS_MAX: usize = 200;
/// Bytes of a name of a table, schema or column, at most: as PostgreSQL has it.
pub const NAME_BYTES_MAX: usize = 63;
/// How long one statement may take there.
pub const STATEMENT_MAX: Duration = Duration::from_secs(30);
/// How long a call may take.
pub const CALL_MAX: Duration = Duration::from_secs(120);
/// Bytes that a server may send in a call; one that sends more is left.
pub const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Rows that their table will not have, in one call; with more the call fails.
pub const REJECTED_MAX: usize = 100;

/// A table of somebody's database.
#[derive(Clone)]
pub struct Postgres {
    /// `postgres://user:password@host[:port]/database[?sslmode=…]`. TLS is asked for and checked; without it
    /// (`sslmode=disable`) only a host is spoken to that the operator allows.
    pub url: String,
    /// `table` or `schema.table`.
    pub table: String,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("table", &self.table).finish_non_exhaustive()
    }
}

/// Rows of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The column that names a row; unique in the table.
    pub key: String,
    /// The other columns.
    pub columns: Vec<String>,
    /// Rows to put: the key, and a value for each of the other columns. No key stands twice.
    pub upserts: Vec<(String, Vec<Option<String>>)>,
    /// Keys of rows to take out.
    pub deletes: Vec<String>,
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Rows that are there now.
    pub upserted: u64,
    /// Rows that were there and are not any more.
    pub deleted: u64,
    /// Rows that their table will not have: which of the upserts, and the SQLSTATE.
    pub rejected: Vec<(usize, String)>,
}

impl Postgres {
    /// Whether it can be used at all: the address by the policy, the table's name. Nothing is resolved or sent.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(&self, egress: &Egress) -> Result<(), Fault> {
        connect::settings(egress.policy(), &self.url)?;
        Table::read(&self.table).map(drop)
    }

    /// Puts rows and takes rows out. The same call again changes nothing more.
    ///
    /// # Errors
    /// [`Fault`]; after one that may be retried, a part or all of it may have been done.
    pub async fn apply(&self, egress: &Egress, rows: Rows) -> Result<Applied, Fault> {
        self.within(egress, move |session, table| {
            Box::pin(async move {
                check_rows(&rows)?;
                let names: Vec<&str> =
                    std::iter::once(&rows.key).chain(&rows.columns).map(String::as_str).collect();
                let columns = columns(&session.client, &table, &names).await?;
                let mut applied = Applied::default();
                // Cut anew wherever a row is not taken; a stack of ranges instead of recursion.
                let mut todo = std::iter::once(0..rows.upserts.len()).collect::<Vec<_>>();
                while let Some(range) = todo.pop() {
                    if range.is_empty() {
                        continue;
                    }
                    match upsert(&session.client, &table, &columns, &rows.upserts[range.clone()]).await {
                        Ok(count) => applied.upserted += count,
                        Err(error) => match connect::rejects(&error) {
                            Some(state) if range.len() == 1 => {
                                applied.rejected.push((range.start, state));
                                if applied.rejected.len() > REJECTED_MAX {
                                    return Err(Fault::permanent(
                                        Why::Rejected,
                                        format!("the table takes none of more than {REJECTED_MAX} rows"),
                                    ));
                                }
                            }
                            Some(_) => {
                                let middle = range.start + range.len() / 2;
                                todo.push(middle..range.end);
                                todo.push(range.start..middle);
                            }
                            None => return Err(fault(&session.origin, &error)),
                        },
                    }
                }
                if !rows.deletes.is_empty() {
                    let statement = table.delete(&columns[0]);
                    let deleted = session.client.execute(&statement, &[&rows.deletes]).await;
                    applied.deleted = deleted.map_err(|error| fault(&session.origin, &error))?;
                }
                Ok(applied)
            })
        })
        .await
    }

    /// Connects and looks whether the table is there with these columns, a unique one first, and may be written.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn check(&self, egress: &Egress, key: &str, names: &[String]) -> Result<(), Fault> {
        let rows =
            Rows { key: key.to_owned(), columns: names.to_vec(), upserts: Vec::new(), deletes: Vec::new() };
        self.within(egress, move |session, table| {
            Box::pin(async move {
                check_rows(&rows)?;
                let names: Vec<&str> =
                    std::iter::once(&rows.key).chain(&rows.columns).map(String::as_str).collect();
                let columns = columns(&session.client, &table, &names).await?;
                // Of no row: the server reads names, types, the unique column and what we may, and changes nothing.
                upsert(&session.client, &table, &columns, &[])
                    .await
                    .map_err(|error| fault(&session.origin, &error))?;
                let none: Vec<String> = Vec::new();
                let deleted = session.client.execute(&table.delete(&columns[0]), &[&none]).await;
                deleted.map(drop).map_err(|error| fault(&session.origin, &error))
            })
        })
        .await
    }

    async fn within<T: Send + 'static>(
        &self,
        egress: &Egress,
        work: impl FnOnce(Session, Table) -> crate::network::Wait<'static, Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let settings = connect::settings(egress.policy(), &self.url)?;
        let table = Table::read(&self.table)?;
        let inner = std::sync::Arc::clone(&egress.0);
        let origin = settings.target.origin();
        egress
            .on_own_threads(async move {
                let destination = format!("{origin} {}", table.quoted());
                let _place = inner.places.take(&destination, &origin).await?;
                let whole = async {
                    let session = connect::open(&inner.dialler, settings).await?;
                    work(session, table).await
                };
                tokio::time::timeout(CALL_MAX, whole).await.map_err(|_| {
                    Fault::retry(Why::Timeout, format!("{origin} was not done within {CALL_MAX:?}"))
                })?
            })
            .await
    }
}

fn check_rows(rows: &Rows) -> Result<(), Fault> {
    let wrong = |sentence: String| Err(Fault::permanent(Why::Definition, sentence));
    if rows.upserts.len() + rows.deletes.len() > ROWS_MAX {
        let count = rows.upserts.len() + rows.deletes.len();
        return wrong(format!("{count} rows in one call, {ROWS_MAX} are allowed"));
    }
    if rows.columns.len() + 1 > COLUMNS_MAX {
        return wrong(format!("{} columns, {COLUMNS_MAX} are allowed", rows.columns.len() + 1));
    }
    let mut names = BTreeSet::new();
    for name in std::iter::once(&rows.key).chain(&rows.columns) {
        statement::check_name(name)?;
        if !names.insert(name) {
            return wrong(format!("the column {name} stands twice"));
        }
    }
    let keys: BTreeSet<&String> = rows.upserts.iter().map(|(key, _)| key).collect();
    if keys.len() != rows.upserts.len() {
        return wrong("a key stands twice".to_owned());
    }
    if rows.upserts.iter().any(|(_, values)| values.len() != rows.columns.len()) {
        return wrong("a row has another number of values than there are columns".to_owned());
    }
    Ok(())
}

/// The columns with their types, as the server names them.
async fn columns(client: &Client, table: &Table, names: &[&str]) -> Result<Vec<Column>, Fault> {
    let lost = |error| fault("the server", &error);
    let found = client.query(statement::COLUMNS, &[&table.quoted()]).await.map_err(lost)?;
    if found.is_empty() {
        return Err(Fault::retry(Why::NotFound, format!("there is no table {}", table.quoted())));
    }
    let known: Vec<(String, String)> = found
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, _>>()
        .map_err(lost)?;
    names
        .iter()
        .map(|name| match known.iter().find(|(known, _)| known == name) {
            Some((name, kind)) => Ok(Column { name: name.clone(), kind: kind.clone() }),
            None => {
                Err(Fault::retry(Why::NotFound, format!("the table {} has no column {name}", table.quoted())))
            }
        })
        .collect()
}

async fn upsert(
    client: &Client,
    table: &Table,
    columns: &[Column],
    rows: &[(String, Vec<Option<String>>)],
) -> Result<u64, tokio_postgres::Error> {
    let mut values: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(rows.len()); columns.len()];
    for (key, others) in rows {
        values[0].push(Some(key));
        for (column, value) in values[1..].iter_mut().zip(others) {
            column.push(value.as_deref());
        }
    }
    let parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|column| column as _).collect();
    client.execute(&table.upsert(columns), &parameters).await
}
