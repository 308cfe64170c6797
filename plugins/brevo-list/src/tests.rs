use super::*;

fn row(id: &str, change: Change, document: &str) -> Delivery {
    Delivery { id: id.to_owned(), change, document: document.to_owned(), attempt: 0 }
}

fn reply(status: u16, headers: &[(&str, &str)]) -> Result<Response, HttpError> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Response { status, headers, body: Vec::new(), truncated: false })
}

#[test]
fn the_list_is_asked_for() {
    assert_eq!(BrevoList::configure(r#"{"list": 7}"#), Ok(7));
    for bad in ["", "{}", r#"{"list": 0}"#, r#"{"list": 1.5}"#, r#"{"list": "7"}"#, r#"{"list": 7, "x": 1}"#]
    {
        assert!(BrevoList::configure(bad).is_err(), "{bad}");
    }
}

#[test]
fn who_joins_is_put_on_the_list_with_all_fields() {
    let rows = [
        row(
            "r1",
            Change::Added,
            r#"{"email":"a@x.example","first_name":"Zo\"e\u0301","spend":12.5,"vip":true,"gone":null}"#,
        ),
        row("r2", Change::Updated, r#"{"email":"b@x.example"}"#),
    ];
    let planned = BrevoList::plan(&rows, &7).unwrap();
    assert_eq!(planned.len(), 2);
    let first = &planned[0].request;
    assert_eq!((first.method.as_str(), first.url.as_str()), ("POST", "https://api.brevo.com/v3/contacts"));
    assert_eq!(
        String::from_utf8(first.body.clone()).unwrap(),
        "{\"email\":\"a@x.example\",\"updateEnabled\":true,\"listIds\":[7],\"attributes\":\
         {\"FIRST_NAME\":\"Zo\\\"e\u{301}\",\"SPEND\":12.5,\"VIP\":true,\"GONE\":\"\"}}"
    );
    assert_eq!(first.idempotency_key.as_deref(), Some("r1"));
    assert!(
        matches!(&first.headers[1], (name, HeaderValue::Secret(secret)) if name == "api-key" && secret == "api-key")
    );
    assert_eq!(planned[1].covers, [1]);
}

#[test]
fn who_leaves_is_taken_off_in_chunks() {
    let rows: Vec<Delivery> = (0..=REMOVED_MAX)
        .map(|n| row(&format!("r{n}"), Change::Removed, &format!(r#"{{"email":"{n}@x.example"}}"#)))
        .collect();
    let planned = BrevoList::plan(&rows, &7).unwrap();
    assert_eq!(planned.iter().map(|one| one.covers.len()).collect::<Vec<_>>(), [REMOVED_MAX, 1]);
    assert!(planned[1].request.url.ends_with("/v3/contacts/lists/7/contacts/remove"));
    assert_eq!(planned[1].request.body, br#"{"emails":["150@x.example"]}"#);
}

#[test]
fn rows_without_an_address_are_rejected() {
    for document in ["{}", r#"{"email":""}"#, r#"{"email":null}"#, r#"{"email":"a@x.example","tags":["a"]}"#]
    {
        let failed = BrevoList::plan(&[row("r1", Change::Added, document)], &7).err();
        assert!(failed.is_some_and(|why| why.starts_with("row r1: ")), "{document}");
    }
}

#[test]
fn answers_have_their_verdicts() {
    let joins = [row("r1", Change::Added, "{}")];
    let leaves = [row("r1", Change::Removed, "{}"), row("r2", Change::Removed, "{}")];
    let settle = |rows: &[Delivery], reply| BrevoList::settle(rows, &reply, &7);
    let is = |verdicts: Vec<Verdict>, expected: &str| {
        let words: Vec<String> = verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::Delivered => "delivered".to_owned(),
                Verdict::Retry(ms) => format!("retry {ms:?}"),
                Verdict::Rejected(_) => "rejected".to_owned(),
            })
            .collect();
        assert_eq!(words.join(", "), expected);
    };
    is(settle(&joins, reply(201, &[])), "delivered");
    is(settle(&joins, reply(204, &[])), "delivered");
    is(settle(&joins, reply(400, &[])), "rejected");
    is(settle(&leaves, reply(400, &[])), "delivered, delivered");
    is(settle(&joins, reply(401, &[])), "retry None");
    is(settle(&joins, reply(429, &[("x-sib-ratelimit-reset", "9")])), "retry Some(9000)");
    is(settle(&joins, reply(429, &[])), "retry None");
    is(settle(&joins, reply(500, &[])), "retry None");
    is(settle(&leaves, Err(HttpError::Timeout)), "retry None, retry None");
}
