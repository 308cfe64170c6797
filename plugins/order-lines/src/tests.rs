use cdp_plugin_sdk::testing::{Answer, Cell, TestRow, check_config, run};

use super::*;

fn lines(answer: &Answer) -> Vec<(&str, i64, &str)> {
    let Answer::Kept { children, .. } = answer else { panic!("{answer:?}") };
    children.iter().map(|(kind, at, document)| (kind.as_str(), *at, document.as_str())).collect()
}

#[test]
fn each_line_becomes_an_event_with_what_the_order_says() {
    let order = TestRow::new("Order Completed")
        .at(7)
        .with(
            "/properties/products",
            r#"[{"sku":"a","price":1.50,"quantity":2},{"sku":"b","order_id":"own","line":9}]"#,
        )
        .with("/properties/order_id", "\"o-1\"")
        .with("/properties/currency", "\"EUR\"");
    let answers = run::<OrderLines>("", &[TestRow::new("visit"), order]);
    assert_eq!(answers[0], Answer::Kept { changes: vec![], children: vec![] });
    assert_eq!(
        lines(&answers[1]),
        [
            (
                "Product Ordered",
                7,
                r#"{"properties":{"sku":"a","price":1.50,"quantity":2,"order_id":"o-1","currency":"EUR","line":1}}"#
            ),
            (
                "Product Ordered",
                7,
                r#"{"properties":{"sku":"b","order_id":"own","line":9,"currency":"EUR"}}"#
            ),
        ]
    );
    let Answer::Kept { changes, .. } = &answers[1] else { panic!() };
    assert_eq!(changes[..], [("/properties/line_events".to_owned(), Some(Cell::Integer(2)))]);
}

#[test]
fn only_orders_are_split_and_lines_never_again() {
    let products = |kind: &str| TestRow::new(kind).with("/properties/products", r#"[{"sku":"a"}]"#);
    let rows = [products("order"), products("cart"), products("line")];
    let config = r#"{"event":"line","only":"order"}"#;
    let born: Vec<usize> =
        run::<OrderLines>(config, &rows).iter().map(|answer| lines(answer).len()).collect();
    assert_eq!(born, [1, 0, 0]);
    let born: Vec<usize> =
        run::<OrderLines>(r#"{"event":"line"}"#, &rows).iter().map(|answer| lines(answer).len()).collect();
    assert_eq!(born, [1, 1, 0]);
}

#[test]
fn so_many_lines_become_events_and_the_order_says_how_many() {
    for (lines_sent, made) in [(LINES_MAX, LINES_MAX), (LINES_MAX + 1, LINES_MAX)] {
        let list = vec![r#"{"sku":"a"}"#; lines_sent].join(",");
        let order = TestRow::new("order").with("/properties/products", format!("[{list}]").as_str());
        let answers = run::<OrderLines>("", &[order]);
        assert_eq!(lines(&answers[0]).len(), made);
        let Answer::Kept { changes, .. } = &answers[0] else { panic!() };
        assert_eq!(changes[0].1, Some(Cell::Integer(made as i64)));
    }
}

#[test]
fn settings_are_judged() {
    assert_eq!(check_config::<OrderLines>(""), Ok(()));
    assert_eq!(check_config::<OrderLines>(r#"{"event":"line","only":"order"}"#), Ok(()));
    let wrong = |config: &str| check_config::<OrderLines>(config).unwrap_err().join(" ");
    assert!(wrong(r#"{"event":""}"#).contains("/event"));
    assert!(wrong(r#"{"only":7}"#).contains("/only"));
    assert!(wrong(r#"{"event":"a","only":"a"}"#).contains("/event"));
    assert!(wrong(r#"{"kind":"a"}"#).contains("/kind"));
}
