use cdp_plugin_sdk::testing::{Answer, Cell, TestRow, check_config, run};

use super::*;

/// Every value of the column `country` of the Online Retail II data.
const ONLINE_RETAIL: [(&str, Option<&str>); 38] = [
    ("Australia", Some("AU")),
    ("Austria", Some("AT")),
    ("Bahrain", Some("BH")),
    ("Belgium", Some("BE")),
    ("Brazil", Some("BR")),
    ("Canada", Some("CA")),
    ("Channel Islands", None),
    ("Cyprus", Some("CY")),
    ("Czech Republic", Some("CZ")),
    ("Denmark", Some("DK")),
    ("EIRE", Some("IE")),
    ("European Community", None),
    ("Finland", Some("FI")),
    ("France", Some("FR")),
    ("Germany", Some("DE")),
    ("Greece", Some("GR")),
    ("Hong Kong", Some("HK")),
    ("Iceland", Some("IS")),
    ("Israel", Some("IL")),
    ("Italy", Some("IT")),
    ("Japan", Some("JP")),
    ("Lebanon", Some("LB")),
    ("Lithuania", Some("LT")),
    ("Malta", Some("MT")),
    ("Netherlands", Some("NL")),
    ("Norway", Some("NO")),
    ("Poland", Some("PL")),
    ("Portugal", Some("PT")),
    ("RSA", Some("ZA")),
    ("Saudi Arabia", Some("SA")),
    ("Singapore", Some("SG")),
    ("Spain", Some("ES")),
    ("Sweden", Some("SE")),
    ("Switzerland", Some("CH")),
    ("USA", Some("US")),
    ("United Arab Emirates", Some("AE")),
    ("United Kingdom", Some("GB")),
    ("Unspecified", None),
];

#[test]
fn every_country_of_the_online_retail_data_has_the_code_it_should_have() {
    for (name, expected) in ONLINE_RETAIL {
        assert_eq!(code(name), expected, "{name}");
    }
}

#[test]
fn spelling_does_not_matter() {
    for (name, expected) in [
        ("united kingdom", "GB"),
        ("The Netherlands", "NL"),
        ("U.S.A.", "US"),
        ("Côte d’Ivoire", "CI"),
        ("COTE D'IVOIRE", "CI"),
        ("Co\u{302}te d'Ivoire", "CI"),
        ("Trinidad & Tobago", "TT"),
        ("Bosnia-Herzegovina", "BA"),
        ("Korea, Republic of", "KR"),
        ("  Türkiye ", "TR"),
        ("de", "DE"),
        ("UK", "GB"),
        ("US", "US"),
    ] {
        assert_eq!(code(name), Some(expected), "{name}");
    }
    for name in ["", "XX", "Atlantis", "12", "日本", "EU", "&", "x".repeat(100).as_str()] {
        assert_eq!(code(name), None, "{name}");
    }
}

#[test]
fn the_table_is_sorted_normalised_and_complete() {
    let names: Vec<_> = names::NAMES.iter().map(|(name, _)| *name).collect();
    assert!(names.is_sorted_by(|a, b| a < b));
    for name in &names {
        assert_eq!(normalise(name).unwrap().bytes(), name.as_bytes());
    }
    let codes: std::collections::BTreeSet<_> = names::NAMES.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes.len(), 249);
}

#[test]
fn codes_stand_beside_the_names_they_belong_to() {
    let answers = run::<CountryCode>(
        "",
        &[
            TestRow::new("purchase").with("/properties/country", "EIRE").with("/traits/country", "France"),
            TestRow::new("purchase").with("/properties/country", "Unspecified"),
            TestRow::new("visit"),
            TestRow::new("visit").with("/traits/country", Cell::Mistyped),
        ],
    );
    assert_eq!(
        answers,
        [
            Answer::kept([("/properties/country_code", "IE"), ("/traits/country_code", "FR")]),
            Answer::untouched(),
            Answer::untouched(),
            Answer::untouched(),
        ]
    );
}

#[test]
fn unknown_names_are_treated_as_configured() {
    let rows = [TestRow::new("purchase").with("/properties/country", "Channel Islands")];
    assert_eq!(run::<CountryCode>(r#"{"unknown":"keep"}"#, &rows), [Answer::untouched()]);
    let removed = Answer::Kept { changes: vec![("/properties/country_code".into(), None)], children: vec![] };
    assert_eq!(run::<CountryCode>(r#"{"unknown":"drop_field"}"#, &rows), [removed]);
    let rejected = Answer::Rejected("/properties/country names no country that has a code".into());
    assert_eq!(run::<CountryCode>(r#"{"unknown":"reject"}"#, &rows), [rejected]);
}

#[test]
fn a_wrong_configuration_is_named_in_full() {
    assert_eq!(check_config::<CountryCode>(""), Ok(()));
    let problems = check_config::<CountryCode>(r#"{"unknown":"perhaps","other":1}"#).unwrap_err();
    assert_eq!(
        problems,
        ["/unknown: is one of keep, drop_field and reject", "/other: is no setting of this plugin"]
    );
    let answers = run::<CountryCode>("[]", &[TestRow::new("purchase")]);
    assert!(matches!(&answers[0], Answer::Misconfigured(_)));
}
