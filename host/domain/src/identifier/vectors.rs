//! Real addresses and numbers, each with the outcome that it must have here.
//!
//! A small part is committed (`testdata/normalise`); the whole sets are read where they are,
//! in `CDP_SHARED_DATA` or `../shared/data`. Where this server reads an address otherwise than the set's author, it says so here.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Normaliser;
use super::phone::{self, Region};
use crate::json::{self, Options};
use crate::value::{Object, Value};

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/normalise")
}

fn whole(test: &str) -> Option<PathBuf> {
    let given = std::env::var_os("CDP_SHARED_DATA").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    if dir.join("normalise").is_dir() {
        return Some(dir.join("normalise"));
    }
    println!("SKIPPED the whole set of {test}: no data sets in CDP_SHARED_DATA or ../shared/data");
    None
}

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes(), Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_text)
}

fn objects(value: Option<&Value>) -> Vec<&Object> {
    let Some(Value::List(items)) = value else { panic!("a list was expected") };
    items.iter().map(|item| item.as_object().expect("an object")).collect()
}

/// Every number has the form that libphonenumber gives it when it is dialled in its region. Without a region those with a
/// country code have the same form and all others none: nothing is guessed.
fn check_phones(lines: &str) -> usize {
    let mut seen = 0;
    for line in lines.lines() {
        let value = parse(line);
        let row = value.as_object().expect("an object");
        let (input, want) = (text(row, "input").unwrap(), text(row, "e164"));
        let region = Region::parse(text(row, "region").unwrap()).unwrap();
        assert_eq!(phone::normalise(input.trim(), Some(region)).ok().as_deref(), want, "{line}");
        let has_code = input.contains(['+', '＋']);
        let alone = Normaliser::Phone.normalise(input).ok();
        assert_eq!(alone.as_deref(), want.filter(|_| has_code), "without a region: {line}");
        if let Some(form) = alone {
            assert!(phone::is_e164(&form), "{line}");
            assert_eq!(Normaliser::Phone.normalise(&form), Ok(form), "{line}");
        }
        seen += 1;
    }
    seen
}

#[test]
fn numbers_have_their_e164_form() {
    let lines = fs::read_to_string(committed().join("phones.ndjson")).unwrap();
    assert!(check_phones(&lines) > 60);
    let Some(dir) = whole("telephone numbers") else { return };
    let packed = fs::File::open(dir.join("phones.ndjson.gz")).unwrap();
    let mut lines = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut lines).unwrap();
    assert_eq!(check_phones(&lines), 3123);
}

/// Beginnings of what is refused there and read here, with the reason.
const READ_ANYWAY: [(&str, &str); 4] = [
    ("my@example.com\n", "white space around an address is cut"),
    ("\nmy@example.com", "white space around an address is cut"),
    ("me@bad.tld-2", "which top-level domains there are is not asked, only that they are no number"),
    (
        "my.s\u{323}\u{307}.address@",
        "an address is measured in its normal form, in which this one is 254 bytes long",
    ),
];

/// What has another spelling in the mail formats is refused: quoted local parts and display names.
fn is_quoted_or_named(input: &str) -> bool {
    input.contains(['"', '<'])
}

fn check_normal_forms(set: &str) -> (usize, usize) {
    // No Rust string holds a lone surrogate, so none reaches a normaliser; what is left has no local part.
    let value = parse(&set.replace("\\ud800", ""));
    let set = value.as_object().expect("an object");
    let (accepted, refused) = (objects(set.get("accepted")), objects(set.get("refused")));
    for row in &accepted {
        let input = text(row, "input").unwrap();
        let (local, domain) = (text(row, "local_part").unwrap(), text(row, "ascii_domain").unwrap());
        let want = format!("{}@{domain}", local.to_lowercase());
        let want = Some(want).filter(|_| !is_quoted_or_named(input));
        assert_eq!(Normaliser::Email.normalise(input).ok().as_deref(), want.as_deref(), "{input:?}");
    }
    for row in &refused {
        let (test, input) = (text(row, "test").unwrap(), text(row, "input").unwrap());
        // These are characters alone: they are tried on both sides.
        let tried = if test == "test_email_unsafe_character" {
            vec![format!("{input}@example.com"), format!("test@{input}.com")]
        } else {
            vec![input.to_owned()]
        };
        for input in tried {
            let read = READ_ANYWAY.iter().any(|(address, _)| input.starts_with(address));
            assert_eq!(Normaliser::Email.normalise(&input).is_ok(), read, "{test}: {input:?}");
        }
    }
    (accepted.len(), refused.len())
}

#[test]
fn addresses_have_their_normal_form() {
    let set = fs::read_to_string(committed().join("email_normal_forms.json")).unwrap();
    let (accepted, refused) = check_normal_forms(&set);
    assert!(accepted > 20 && refused > 40);
    let Some(dir) = whole("normal forms of addresses") else { return };
    let set = fs::read_to_string(dir.join("email_normal_forms.json")).unwrap();
    assert_eq!(check_normal_forms(&set), (27, 103));
}

/// The reading of each category of the syntax set:
///
/// | category | here |
/// | --- | --- |
/// | valid | read, when the domain has a dot |
/// | DNS warning | read: whether a domain exists is not asked |
/// | white space around an address, whatever its kind | read: it is cut |
/// | RFC 5321 (quoted strings, address literals, top-level domains, numeric ones) | refused |
/// | comments, folding inside, deprecated forms, RFC 5322 only (literals, too long), errors | refused |
fn is_read(address: &str, category: &str) -> bool {
    let alone = address.trim() == "test@iana.org";
    let plain = matches!(category, "ISEMAIL_VALID_CATEGORY" | "ISEMAIL_DNSWARN");
    let dotted = address.rsplit('@').next().is_some_and(|domain| domain.contains('.'));
    alone || (plain && dotted)
}

#[test]
fn the_edges_of_the_mail_formats_are_read_as_documented() {
    let Some(dir) = whole("the edges of the mail formats") else { return };
    let set = fs::read_to_string(dir.join("email_syntax.json")).unwrap();
    let value = parse(&set);
    let rows = objects(Some(&value));
    assert_eq!(rows.len(), 164);
    let mut read = 0;
    for row in rows {
        let (address, category) = (text(row, "address").unwrap(), text(row, "category").unwrap());
        let want = is_read(address, category).then(|| address.trim().to_ascii_lowercase());
        read += usize::from(want.is_some());
        assert_eq!(
            Normaliser::Email.normalise(address).ok().as_deref(),
            want.as_deref(),
            "{category}: {address:?}"
        );
    }
    assert!(read > 30, "{read}");
}

/// The numbering plans are part of what identities rest on, so a new release of them is a decision and never an accident.
#[test]
fn the_numbering_plans_are_the_ones_that_are_named() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock")).unwrap();
    let (library, version) = phone::LIBRARY;
    let built =
        lock.split("[[package]]").find(|package| package.contains(&format!("name = \"{library}\"\n")));
    let built = built.expect("the library is locked");
    assert!(
        built.contains(&format!("version = \"{version}\"\n")),
        "{library} changed: read in its Readme which plans it has, and correct LIBRARY and METADATA"
    );
}
