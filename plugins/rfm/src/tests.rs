use cdp_plugin_sdk::testing::{Cell, Derived, TestRow, check_deriver_config, derive};

use super::*;

const START: i64 = 1_735_689_600_000;

fn day(days: i64) -> i64 {
    START + days * DAY_MS
}

fn purchase(days: i64, revenue: &str) -> TestRow {
    TestRow::new("Order Completed").at(day(days)).with("/properties/revenue", revenue)
}

fn read(rows: &[TestRow], days: i64) -> Derived {
    derive::<Rfm>("", rows, day(days)).unwrap()
}

#[test]
fn a_customer_is_recent_frequent_and_worth_something() {
    let rows = [
        purchase(0, "139.12"),
        purchase(20, "22.2"),
        TestRow::new("Order Refunded").at(day(21)).with("/properties/revenue", "27.5"),
        TestRow::new("purchase").at(day(22)).with("/properties/total", "100"),
        TestRow::new("visit").at(day(40)),
    ];
    let derived = read(&rows, 52);
    assert_eq!(derived.get("recency_days"), Some(&Cell::Integer(30)));
    assert_eq!(derived.get("frequency"), Some(&Cell::Integer(3)));
    assert_eq!(derived.get("monetary"), Some(&Cell::Text("233.82".into())));
    assert_eq!(derived.get("score"), Some(&Cell::Text("423".into())));
    assert_eq!(derived.valid_until, Some(day(53)));
}

#[test]
fn nobody_has_spent_nothing_and_has_no_score() {
    let derived = read(&[TestRow::new("visit")], 1);
    assert_eq!(derived.get("frequency"), Some(&Cell::Integer(0)));
    assert_eq!(derived.get("monetary"), Some(&Cell::Text("0".into())));
    assert_eq!(derived.get("score"), None);
    assert_eq!(derived.get("recency_days"), None);
    assert_eq!(derived.valid_until, None);
}

#[test]
fn the_score_falls_at_its_bounds() {
    let rows = [purchase(0, "50")];
    for (days, score) in [(0, "512"), (29, "512"), (30, "412"), (90, "312"), (180, "212"), (365, "112")] {
        assert_eq!(read(&rows, days).get("score"), Some(&Cell::Text(score.into())), "{days}");
    }
    assert_eq!(read(&[purchase(10, "49.999999")], 0).get("score"), Some(&Cell::Text("511".into())));
}

#[test]
fn amounts_are_exact() {
    for (text, value, back) in [
        ("0", 0, "0"),
        ("-3.5", -3_500_000, "-3.5"),
        ("64.20", 64_200_000, "64.2"),
        ("0.000001", 1, "0.000001"),
        ("1.1000000000", 1_100_000, "1.1"),
    ] {
        assert_eq!(millionths(text), Some(value), "{text}");
        assert_eq!(digits(value), back);
    }
    for bad in ["", "-", ".5", "1e3", "1.0000001", "1,2", "9999999999999999999999999"] {
        assert_eq!(millionths(bad), None, "{bad}");
    }
    let why = derive::<Rfm>("", &[purchase(0, "0.1234567")], START).unwrap_err();
    assert_eq!(why, "the amount has more than 6 decimals");
}

#[test]
fn the_configuration_says_what_counts() {
    let config = r#"{"purchases":"sale, till","refunds":"","monetary":"1,2,3,4.5"}"#;
    let rows =
        [TestRow::new("till").with("/properties/total", "4.5"), purchase(0, "9"), TestRow::new("refund")];
    let derived = derive::<Rfm>(config, &rows, START).unwrap();
    assert_eq!(derived.get("monetary"), Some(&Cell::Text("4.5".into())));
    assert_eq!(derived.get("score"), Some(&Cell::Text("515".into())));
    assert_eq!(check_deriver_config::<Rfm>(""), Ok(()));
    let problems = check_deriver_config::<Rfm>(
        r#"{"purchases":",","recency":"1,2,3","frequency":"4,3,2,1","monetary":5,"other":"x"}"#,
    );
    let pointers: Vec<String> =
        problems.unwrap_err().iter().map(|p| p.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(pointers, ["/purchases", "/recency", "/frequency", "/monetary", "/other"]);
}
