//! Plugins by the console's forms: taken in with a signature, tried on a share of the events, ordered, and what each
//! version cost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::console::Browser;
use crate::guests::activate;
use crate::harness::{CDP, Server, Tenant, guest, run_to_end};

/// Somebody of this role, in the console.
fn somebody(server: &Server, shop: &Tenant, role: &str) -> Browser {
    let named = json!({"name": format!("{role}@shop.example"), "role": role});
    let link = shop.post("/v1/users", &named).expect_status(201)["link"].as_str().unwrap().to_owned();
    let mut browser = Browser::new(&server.url);
    browser.through(&link, &[("password", "correct horse battery")]);
    browser
}

fn event(who: usize) -> Value {
    json!({"id": format!("e{who}"), "source": "till", "type": "purchase", "time": "2026-03-01T12:00:00Z",
           "identifiers": [{"type": "customer_id", "value": format!("c-{who}")}],
           "properties": {"total": "1", "country": "EIRE"}, "traits": {"country": "EIRE"}})
}

#[test]
fn a_version_is_tried_on_a_share_of_the_events_and_taken_for_all() {
    let server = Server::fresh();
    let shop = server.tenant("shop");
    let mut developer = somebody(&server, &shop, "developer");
    let here = "/console/plugins/change";
    let taken = developer.upload("/console/plugins", &[("name", "change")], &guest("country_code.wasm"));
    assert_eq!(taken.location, format!("{here}?done=uploaded"), "{}", taken.text);
    let requests =
        |version: usize| shop.get("/v1/plugins/change").ok()["versions"][version]["requests"].to_string();
    let first = [("version", "1"), ("grants", &requests(0)), ("config", "{}")];
    let (_, page) = developer.through(&format!("{here}/activate"), &first);
    assert!(
        page.text.contains("Activated") && page.text.contains("On how many of the events"),
        "{}",
        page.text
    );
    developer.upload("/console/plugins", &[("name", "change")], &guest("misbehave.wasm"));
    let second = [("version", "2"), ("grants", &requests(1)), ("config", "{\"do\": \"echo\"}")];
    let with = |share: &'static str| [&second[..], &[("share", share)]].concat();
    let wrong = developer.post(&format!("{here}/activate"), &with("many"));
    assert!(wrong.status == 422 && wrong.text.contains("from 1 to 100"), "{}", wrong.text);
    let (to, page) = developer.through(&format!("{here}/activate"), &with("25"));
    assert_eq!(to, format!("{here}?done=tried"));
    assert!(page.text.contains("tried on 25 %") && page.text.contains("End the trial"), "{}", page.text);
    let events: Vec<_> = (0..80).map(event).collect();
    shop.post("/v1/events?wait=applied", &json!({ "events": events })).ok();
    let page = developer.get(here);
    for words in
        ["What versions cost", "How long calls take", "the version that runs: version 1", "version 2"]
    {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let counts = shop.get("/v1/plugins/change").ok()["health"]["1"]["call_us_counts"].clone();
    assert!(!counts.as_array().unwrap().is_empty(), "{counts}");
    // What the button for all of the events sends.
    let form = crate::harness::page::Shown::of(&page.text);
    let button = form.presses.iter().find_map(|press| match press {
        crate::harness::page::Press::Button { text, form, .. }
            if text == "Yes, take version 2 for all events" =>
        {
            Some(*form)
        }
        _ => None,
    });
    let button = button.expect("the trial is offered for all events");
    let sent = form.sent(button);
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (_, page) = developer.through(&form.forms[button].action, &sent);
    assert!(!page.text.contains("End the trial"), "{}", page.text);
    let seen = shop.get("/v1/plugins/change").ok();
    assert_eq!((&seen["active"]["version"], &seen["canary"]), (&json!(2), &Value::Null), "{seen}");
    assert_eq!(seen["active"]["config"], "{\"do\":\"echo\"}", "{seen}");
    server.finish();
}

#[test]
fn turns_change_by_one_and_whose_plugins_are_taken_is_said_by_admins() {
    let server = Server::fresh();
    let shop = server.tenant("shop");
    activate(&shop, "first", &guest("country_code.wasm"), &json!({}));
    activate(&shop, "second", &guest("misbehave.wasm"), &json!({"do": "echo"}));
    let mut developer = somebody(&server, &shop, "developer");
    let order = "/console/plugins/+order";
    assert!(developer.get("/console/plugins").text.contains("Order of transformers"));
    let (to, _) = developer.through(order, &[("plugin", "second"), ("to", "earlier")]);
    assert_eq!(to, "/console/plugins?done=ordered");
    assert_eq!(shop.get("/v1/plugin-order").ok()["names"], json!(["second", "first"]));
    for wrong in [[("plugin", "second"), ("to", "earlier")], [("plugin", "third"), ("to", "later")]] {
        assert_eq!(developer.post(order, &wrong).status, 404);
    }
    let trust = "/console/plugins/+trust";
    assert_eq!(developer.post(trust, &[("act", "require")]).status, 403, "that is for admins");

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let cdp = |arguments: &[&str]| {
        let mut command = std::process::Command::new(CDP);
        command.arg("plugin").args(arguments);
        let ended = run_to_end(command, Duration::from_secs(60));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.trim().to_owned()
    };
    let maker = cdp(&["keygen", &path("maker.key")]);
    std::fs::write(path("a.wasm"), guest("country_code.wasm")).unwrap();
    cdp(&["sign", &path("a.wasm"), "--signing-key", &path("maker.key")]);
    let signature = std::fs::read_to_string(path("a.wasm.sig")).unwrap();
    let mut admin = somebody(&server, &shop, "admin");
    let wrong = admin.post(trust, &[("whose", "Maker"), ("key", "abc")]);
    assert!(wrong.status == 422 && wrong.text.contains("Trust this key"), "{}", wrong.text);
    let (to, page) = admin.through(trust, &[("whose", "Maker"), ("key", &maker)]);
    assert_eq!(to, "/console/plugins?done=trust");
    assert!(page.text.contains("Take signed ones only"), "{}", page.text);
    admin.through(trust, &[("act", "require"), ("key", "")]);
    let upload = |browser: &mut Browser, signature: &str| {
        let fields = [("name", "signed"), ("signature", signature)];
        browser.upload("/console/plugins", &fields, &guest("country_code.wasm"))
    };
    let unsigned = upload(&mut developer, "");
    assert!(unsigned.status == 422 && unsigned.text.contains("must be signed by a key"), "{}", unsigned.text);
    let no_hex = upload(&mut developer, "abc");
    assert!(no_hex.status == 422 && no_hex.text.contains("128 digits of hex"), "{}", no_hex.text);
    assert_eq!(upload(&mut developer, &signature).location, "/console/plugins/signed?done=uploaded");
    assert!(developer.get("/console/plugins/signed").text.contains(&maker[..12]), "who signed it is told");
    // The last key stays as long as only signed ones are taken.
    let last = admin.post(trust, &[("act", "remove"), ("key", &maker)]);
    assert!(last.status == 422 && last.text.contains("must hold a key"), "{}", last.text);
    admin.through(trust, &[("act", "allow"), ("key", "")]);
    admin.through(trust, &[("act", "remove"), ("key", &maker)]);
    assert_eq!(shop.get("/v1/plugin-trust").ok(), json!({"keys": [], "required": false}));
    server.finish();
}
