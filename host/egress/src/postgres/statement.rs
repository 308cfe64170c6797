//! The statements, with every name quoted.

use std::fmt::Write as _;

use super::NAME_BYTES_MAX;
use crate::fault::{Fault, Why};

/// Columns of a table and their types, of whatever schema the name leads to.
pub(super) const COLUMNS: &str = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    schema: Option<String>,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// As the server writes it in a statement.
    pub(super) kind: String,
}

pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains('\0') {
        return Ok(());
    }
    Err(Fault::permanent(
        Why::Definition,
        format!("a name of a table or column has 1 to {NAME_BYTES_MAX} bytes, none of them zero"),
    ))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        schema.map_or(Ok(()), check_name)?;
        check_name(name)?;
        if name.contains('.') {
            return Err(Fault::permanent(Why::Definition, "a table is named table or schema.table"));
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
    }

    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }

    /// Puts rows that come as one array of texts a column; the first names the row.
    pub(super) fn upsert(&self, columns: &[Column]) -> String {
        let list = |part: &dyn Fn(usize, &Column) -> String| {
            let parts: Vec<String> = columns.iter().enumerate().map(|(n, column)| part(n, column)).collect();
            parts.join(", ")
        };
        let mut sql = format!(
            "INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS u({}) ON CONFLICT ({}) DO ",
            self.quoted(),
            list(&|_, column| quoted(&column.name)),
            list(&|n, column| format!("u.c{n}::{}", column.kind)),
            list(&|n, _| format!("${}::text[]", n + 1)),
            list(&|n, _| format!("c{n}")),
            quoted(&columns[0].name),
        );
        if columns.len() == 1 {
            sql.push_str("NOTHING");
            return sql;
        }
        sql.push_str("UPDATE SET ");
        for (n, column) in columns[1..].iter().enumerate() {
            let name = quoted(&column.name);
            let comma = if n == 0 { "" } else { ", " };
            write!(sql, "{comma}{name} = excluded.{name}").expect("a text takes all");
        }
        sql
    }

    /// Takes rows out whose names come as one array of texts.
    pub(super) fn delete(&self, key: &Column) -> String {
        format!(
            "DELETE FROM {} WHERE {} IN (SELECT c::{} FROM unnest($1::text[]) AS u(c))",
            self.quoted(),
            quoted(&key.name),
            key.kind
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_bounded() {
        assert_eq!(Table::read("people").unwrap().quoted(), "\"people\"");
        assert_eq!(Table::read("crm.people").unwrap().quoted(), "\"crm\".\"people\"");
        let nasty = Table::read("a\"; DROP TABLE x; --").unwrap();
        assert_eq!(nasty.quoted(), "\"a\"\"; DROP TABLE x; --\"");
        assert!(Table::read(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        for bad in ["", ".", "a.", ".a", "a.b.c", "a\0b", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(Table::read(bad).unwrap_err().code(), "definition", "{bad:?}");
        }
    }

    #[test]
    fn the_statements_are_these() {
        let column = |name: &str, kind: &str| Column { name: name.into(), kind: kind.into() };
        let table = Table::read("crm.people").unwrap();
        let columns = [column("id", "text"), column("sp\"end", "numeric(12,2)")];
        assert_eq!(
            table.upsert(&columns),
            "INSERT INTO \"crm\".\"people\" (\"id\", \"sp\"\"end\") SELECT u.c0::text, u.c1::numeric(12,2) \
             FROM unnest($1::text[], $2::text[]) AS u(c0, c1) ON CONFLICT (\"id\") DO UPDATE SET \
             \"sp\"\"end\" = excluded.\"sp\"\"end\""
        );
        assert!(table.upsert(&columns[..1]).ends_with("DO NOTHING"));
        assert_eq!(
            table.delete(&columns[0]),
            "DELETE FROM \"crm\".\"people\" WHERE \"id\" IN (SELECT c::text FROM unnest($1::text[]) AS u(c))"
        );
    }
}
