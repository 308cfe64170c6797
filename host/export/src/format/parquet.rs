//! Parquet: typed columns, zstd, every column optional.
//!
//! | type | stored as | takes |
//! | --- | --- | --- |
//! | text | UTF-8 | anything; what is no text as in CSV |
//! | integer | INT64 | whole numbers, also spelt as text |
//! | decimal | DECIMAL(38, scale) | numbers, also spelt as text, with at most so many decimals |
//! | boolean | BOOLEAN | `true` and `false`, also spelt as text |
//! | timestamp | TIMESTAMP(ms, UTC) | RFC 3339 texts |
//!
//! A value that its column cannot take is missing there and counted; nothing is rounded.

use std::sync::Arc;

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Value};
use cdp_engine::{Refused, Result};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::{Column, Hashed, ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use crate::ledger::Change;
use crate::plan::Kind;

/// Digits of a decimal.
const PRECISION: i32 = 38;
/// Bytes of a decimal.
const DECIMAL_BYTES: i32 = 16;

pub(super) struct Parquet {
    writer: SerializedFileWriter<Hashed>,
    columns: Vec<Gathered>,
    rows: usize,
    bytes: usize,
}

/// The values of a column that are not written yet.
struct Gathered {
    name: String,
    kind: Kind,
    levels: Vec<i16>,
    values: Values,
    unfit: u64,
}

enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Decimal(Vec<FixedLenByteArray>),
    Truth(Vec<bool>),
}

fn failed(error: parquet::errors::ParquetError) -> Refused {
    Refused::internal(error)
}

impl Parquet {
    pub(super) fn new(out: Hashed, columns: &[Column]) -> Result<Self> {
        let fields = columns.iter().map(|column| field(column).map(Arc::new)).collect::<Result<_>>()?;
        let schema = Type::group_type_builder("audience").with_fields(fields).build().map_err(failed)?;
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("ResultFly CDP".to_owned())
            .build();
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let columns = columns.iter().map(Gathered::new).collect();
        Ok(Self { writer, columns, rows: 0, bytes: 0 })
    }

    pub(super) fn row(&mut self, change: Option<Change>, values: &[Option<Value>]) -> Result<()> {
        let change = change.map(|change| Some(Value::from(change.as_str())));
        let all = change.iter().chain(values);
        for (column, value) in self.columns.iter_mut().zip(all) {
            self.bytes += column.push(value.as_ref());
        }
        self.rows += 1;
        if self.rows >= ROW_GROUP_ROWS || self.bytes >= ROW_GROUP_BYTES {
            self.group()?;
        }
        Ok(())
    }

    /// Writes what is gathered as a row group.
    fn group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for column in &mut self.columns {
            let mut writer = group
                .next_column()
                .map_err(failed)?
                .ok_or_else(|| Refused::internal("a column is missing"))?;
            let levels = Some(column.levels.as_slice());
            match &column.values {
                Values::Text(values) => writer.typed::<ByteArrayType>().write_batch(values, levels, None),
                Values::Whole(values) => writer.typed::<Int64Type>().write_batch(values, levels, None),
                Values::Decimal(values) => {
                    writer.typed::<FixedLenByteArrayType>().write_batch(values, levels, None)
                }
                Values::Truth(values) => writer.typed::<BoolType>().write_batch(values, levels, None),
            }
            .map_err(failed)?;
            writer.close().map_err(failed)?;
            column.clear();
        }
        group.close().map_err(failed)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(Hashed, Vec<(String, u64)>)> {
        if self.rows > 0 {
            self.group()?;
        }
        let unfit = self.columns.iter().filter(|column| column.unfit > 0);
        let unfit = unfit.map(|column| (column.name.clone(), column.unfit)).collect();
        Ok((self.writer.into_inner().map_err(failed)?, unfit))
    }
}

fn field(column: &Column) -> Result<Type> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Integer => (Physical::INT64, None),
        Kind::Decimal(scale) => {
            (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(i32::from(scale), PRECISION)))
        }
        Kind::Boolean => (Physical::BOOLEAN, None),
        Kind::Timestamp => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
    };
    let mut builder = Type::primitive_type_builder(&column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    if let Kind::Decimal(scale) = column.kind {
        builder = builder.with_length(DECIMAL_BYTES).with_precision(PRECISION).with_scale(scale.into());
    }
    builder.build().map_err(failed)
}

impl Gathered {
    fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Integer | Kind::Timestamp => Values::Whole(Vec::new()),
            Kind::Decimal(_) => Values::Decimal(Vec::new()),
            Kind::Boolean => Values::Truth(Vec::new()),
        };
        let (name, kind) = (column.name.clone(), column.kind);
        Self { name, kind, levels: Vec::new(), values, unfit: 0 }
    }

    /// Takes a value in; how many bytes it has about.
    fn push(&mut self, value: Option<&Value>) -> usize {
        let Some(value) = value.filter(|value| **value != Value::Null) else {
            self.levels.push(0);
            return 2;
        };
        let bytes = match (&mut self.values, self.kind) {
            (Values::Text(values), _) => {
                let text = match value {
                    Value::Text(text) => text.as_bytes().to_vec(),
                    Value::Number(number) => number.plain().as_bytes().to_vec(),
                    other => json::to_string(other).into_bytes(),
                };
                let bytes = text.len();
                values.push(text.into());
                Some(bytes)
            }
            (Values::Whole(values), Kind::Timestamp) => instant(value).map(|at| values.push(at)).map(|()| 8),
            (Values::Whole(values), _) => whole(value).map(|whole| values.push(whole)).map(|()| 8),
            (Values::Decimal(values), Kind::Decimal(scale)) => {
                let units = decimal(value, scale);
                units
                    .map(|units| values.push(ByteArray::from(units.to_be_bytes().to_vec()).into()))
                    .map(|()| 16)
            }
            (Values::Decimal(_), _) => None,
            (Values::Truth(values), _) => truth(value).map(|truth| values.push(truth)).map(|()| 1),
        };
        self.levels.push(i16::from(bytes.is_some()));
        self.unfit += u64::from(bytes.is_none());
        bytes.unwrap_or(0) + 2
    }

    fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Text(values) => values.clear(),
            Values::Whole(values) => values.clear(),
            Values::Decimal(values) => values.clear(),
            Values::Truth(values) => values.clear(),
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::Text(text) => Number::parse(text),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    if let Number::Int(whole) = number(value)? { Some(whole) } else { None }
}

/// So many units of 10^-scale, if that is what the value is.
fn decimal(value: &Value, scale: u8) -> Option<i128> {
    let decimal = number(value)?.to_decimal()?.normalize();
    let missing = u32::from(scale).checked_sub(decimal.scale())?;
    let units = decimal.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
    (units.unsigned_abs() < 10_u128.pow(PRECISION.unsigned_abs())).then_some(units)
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Text(text) if text == "true" => Some(true),
        Value::Text(text) if text == "false" => Some(false),
        _ => None,
    }
}

fn instant(value: &Value) -> Option<i64> {
    Timestamp::parse(value.as_text()?).ok().map(|at| at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_its_type_exactly_or_not_at_all() {
        let number = |text: &str| Value::Number(Number::parse(text).unwrap());
        assert_eq!(whole(&"12".into()), Some(12));
        assert_eq!(whole(&number("12.0")), Some(12));
        for other in [number("12.5"), "x".into(), Value::Bool(true), "".into(), " 1".into()] {
            assert_eq!(whole(&other), None, "{other:?}");
        }
        assert_eq!(decimal(&"64.20".into(), 2), Some(6420));
        assert_eq!(decimal(&number("-0.05"), 9), Some(-50_000_000));
        assert_eq!(decimal(&number("0.125"), 2), None, "nothing is rounded");
        assert_eq!(
            decimal(&number("9999999999999999999999999999"), 10),
            Some(99_999_999_999_999_999_999_999_999_990_000_000_000)
        );
        assert_eq!(decimal(&number("9999999999999999999999999999"), 11), None, "38 digits");
        assert_eq!(
            (truth(&Value::Bool(false)), truth(&"true".into()), truth(&"yes".into())),
            (Some(false), Some(true), None)
        );
        assert_eq!(instant(&"2026-11-26T01:02:03.004Z".into()), Some(1_795_654_923_004));
        assert_eq!(instant(&"2026".into()), None);
    }
}
