use super::*;
use crate::plan::Dialect;

fn field(name: &str, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        from: format!("trait.{name}"),
        source: cdp_engine::exports::Source::Trait(name.into()),
        hash: false,
        kind,
    }
}

fn plan(format: Format, compression: Compression) -> Plan {
    Plan {
        format,
        compression,
        fields: vec![field("email", Kind::Text), field("note", Kind::Text)],
        ..Plan::example()
    }
}

fn write(plan: &Plan, rows: &[Vec<Option<Value>>]) -> (Vec<u8>, Vec<u64>, Vec<(String, u64)>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut encoder = Encoder::new(NewFile::create(&path).unwrap(), plan).unwrap();
    let change = plan.is_incremental().then_some(Change::Add);
    let ends = rows.iter().map(|row| encoder.row(change, row).unwrap()).collect();
    let written = encoder.finish().unwrap();
    let (sha256, bytes) = (written.sha256, written.bytes);
    written.file.commit().unwrap();
    let held = std::fs::read(&path).unwrap();
    assert_eq!((sha256, bytes), (hex::encode(&Sha256::digest(&held)), held.len() as u64));
    (held, ends, written.unfit)
}

fn text(plan: &Plan, rows: &[Vec<Option<Value>>]) -> String {
    String::from_utf8(write(plan, rows).0).unwrap()
}

fn rows() -> Vec<Vec<Option<Value>>> {
    vec![
        vec![Some("a@x.eu".into()), Some("say \"hi\",\nbye".into())],
        vec![Some("=1+1".into()), Some("-12.50".into())],
        vec![None, Some(Value::from(5))],
        vec![Some("+37120000000".into()), Some("@cmd".into())],
        vec![Some("".into()), Some(Value::List(vec![Value::from(1), "x".into()]))],
    ]
}

#[test]
fn csv_quotes_what_needs_it_and_disarms_formulas() {
    let plan = plan(Format::Csv, Compression::None);
    let want = "email,note\r\na@x.eu,\"say \"\"hi\"\",\nbye\"\r\n'=1+1,-12.50\r\n,5\r\n+37120000000,'@cmd\r\n\
                \"\",\"[1,\"\"x\"\"]\"\r\n";
    let (held, ends, _) = write(&plan, &rows());
    assert_eq!(String::from_utf8(held).unwrap(), want);
    assert_eq!(ends, [38, 52, 56, 76, want.len() as u64]);
}

#[test]
fn csv_speaks_the_dialect_that_it_is_asked_for() {
    let mut plan = plan(Format::Csv, Compression::None);
    plan.csv = Dialect { delimiter: b';', neutral: false, header: false };
    let want = "a@x.eu;\"say \"\"hi\"\",\nbye\"\r\n=1+1;-12.50\r\n;5\r\n+37120000000;@cmd\r\n\"\";\"[1,\"\"x\"\"]\"\r\n";
    assert_eq!(text(&plan, &rows()), want);
    plan.csv = Dialect::default();
    plan.fields.truncate(1);
    assert_eq!(text(&plan, &[vec![None]]), "email\r\n\"\"\r\n", "a line of nothing would be no row");
    plan.mode = crate::plan::Mode::Incremental;
    assert_eq!(text(&plan, &[vec![None]]), "change,email\r\nadd,\r\n");
}

#[test]
fn an_independent_reader_gets_back_what_was_written() {
    let plan = plan(Format::Csv, Compression::None);
    let texts = ["ü\u{1f600}", "a\r\nb", "\"", ",", "\u{0}", " lead", "x\t", "\u{feff}", "''", "zwölf; drei"];
    let rows: Vec<_> = texts.iter().map(|text| vec![Some(Value::from(*text)), Some("n".into())]).collect();
    let held = text(&plan, &rows);
    let read: Vec<String> =
        ::csv::Reader::from_reader(held.as_bytes()).records().map(|row| row.unwrap()[0].to_owned()).collect();
    let disarmed = |text: &&str| if *text == "\u{0}" { "'\u{0}".to_owned() } else { (*text).to_owned() };
    assert_eq!(read, texts.iter().map(disarmed).collect::<Vec<_>>());
}

#[test]
fn ndjson_keeps_missing_values_as_null() {
    let plan = plan(Format::Ndjson, Compression::None);
    assert_eq!(text(&plan, &[vec![None, Some("ü\"".into())]]), "{\"email\":null,\"note\":\"ü\\\"\"}\n");
}

#[test]
fn packed_text_unpacks_to_the_same() {
    let rows: Vec<_> = (0..20_000)
        .map(|n| vec![Some(Value::from(n)), Some(Value::from(format!("row {n}").as_str()))])
        .collect();
    for format in [Format::Csv, Format::Ndjson] {
        let (plain, ends, _) = write(&plan(format, Compression::None), &rows);
        let (packed, packed_ends, _) = write(&plan(format, Compression::Gzip), &rows);
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed), &mut unpacked).unwrap();
        assert!(unpacked == plain && packed.len() < plain.len() / 2 && packed_ends == ends);
        let (packed, ..) = write(&plan(format, Compression::Zstd), &rows);
        assert!(zstd::decode_all(&*packed).unwrap() == plain && packed.len() < plain.len() / 2);
    }
}

#[test]
fn parquet_is_read_back_by_its_library_in_row_groups() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    let mut plan = plan(Format::Parquet, Compression::None);
    plan.fields = vec![
        field("text", Kind::Text),
        field("whole", Kind::Integer),
        field("money", Kind::Decimal(2)),
        field("yes", Kind::Boolean),
        field("at", Kind::Timestamp),
    ];
    let count = ROW_GROUP_ROWS as i64 + 1;
    let rows: Vec<_> = (0..count)
        .map(|n| {
            let odd = n % 2 == 1;
            vec![
                (!odd).then(|| Value::from(format!("ü{n}").as_str())),
                Some(Value::from(n)),
                Some(Value::from(format!("{n}.5").as_str())),
                Some(Value::Bool(odd)),
                Some(if n == 7 { "never".into() } else { "2026-11-26T00:00:00Z".into() }),
            ]
        })
        .collect();
    let (held, _, unfit) = write(&plan, &rows);
    assert_eq!(unfit, [("at".to_owned(), 1)]);
    let reader = SerializedFileReader::new(bytes::Bytes::from(held)).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    let read: Vec<String> =
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_json_value_text()).collect();
    assert_eq!(read.len() as i64, count);
    assert!(read[7].contains("null") && read[8].contains("ü8"), "{} {}", read[7], read[8]);
}

#[test]
fn a_row_group_ends_when_its_values_are_many_bytes() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    let mut plan = plan(Format::Parquet, Compression::None);
    plan.fields.truncate(1);
    let part = ROW_GROUP_BYTES / 8;
    let row = || vec![Some(Value::from("x".repeat(part).as_str()))];
    for (rows, groups) in [(7, 1), (8, 1), (9, 2)] {
        let (held, ..) = write(&plan, &vec![row(); rows]);
        let reader = SerializedFileReader::new(bytes::Bytes::from(held)).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), groups, "{rows} rows");
    }
}

/// For the test above: a row as text, without the feature that makes JSON of it.
trait RowText {
    fn to_json_value_text(&self) -> String;
}

impl RowText for ::parquet::record::Row {
    fn to_json_value_text(&self) -> String {
        self.to_string()
    }
}
