//! Signals: what a browser or a consent dialogue says about its user, as decisions of the tenant's purposes.
//!
//! | signal | where | means |
//! | --- | --- | --- |
//! | Global Privacy Control | the header `Sec-GPC: 1`, or `signals.gpc` | no to the purposes under `gpc` |
//! | TC string, version 2 | `signals.tcf`, or section 2 of `signals.gpp` | yes or no to each purpose under `tcf`, as of its last change |
//! | U.S. Privacy string | section 6 of `signals.gpp` | no to the purposes under `usp_sale`, where it opts out |
//! | categories | `context.consent.categoryPreferences` | yes or no to each purpose under `categories`; one that is missing is no |
//! | `integrations` | beside the event | no to the purposes under `integrations` that are `false` |
//!
//! A signal concerns the event's contact points; where it names none, the device: channel [`DEVICE`], the value of an
//! `anonymous_id` or `device_id`. A signal that cannot be read changes nothing and is counted.
//! Nothing is derived twice: the decisions stand in the event's record from then on.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{gpp, tcf};
use crate::limits::CONSENTS_MAX;
use crate::time::Timestamp;
use crate::value::{Object, Value};

/// The channel of a device that tells no address.
pub const DEVICE: &str = "device";
/// Identifier types that name a device.
pub const DEVICES: [&str; 2] = ["anonymous_id", "device_id"];

/// Which purposes a signal is about. Empty lists and maps hear nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Purposes that Global Privacy Control says no to.
    pub gpc: Vec<CompactString>,
    /// Purposes that an opt-out of sale says no to.
    pub usp_sale: Vec<CompactString>,
    /// By the number of a purpose of the TCF.
    pub tcf: BTreeMap<u8, CompactString>,
    /// By the id of a category.
    pub categories: BTreeMap<CompactString, CompactString>,
    /// By the name of an integration.
    pub integrations: BTreeMap<CompactString, CompactString>,
}

impl Mapping {
    /// Whether nothing is heard.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every purpose that it names, with where.
    #[must_use]
    pub fn purposes(&self) -> Vec<(String, &CompactString)> {
        let lists = [("gpc", &self.gpc), ("usp_sale", &self.usp_sale)];
        let listed = lists.into_iter().flat_map(|(name, list)| {
            list.iter().enumerate().map(move |(n, purpose)| (format!("/{name}/{n}"), purpose))
        });
        let of = |name: &'static str, key: String, purpose| {
            (format!("/{name}{}", crate::problem::step(&key)), purpose)
        };
        let tcf = self.tcf.iter().map(move |(no, purpose)| of("tcf", no.to_string(), purpose));
        let categories =
            self.categories.iter().map(move |(key, purpose)| of("categories", key.to_string(), purpose));
        let integrations =
            self.integrations.iter().map(move |(key, purpose)| of("integrations", key.to_string(), purpose));
        listed.chain(tcf).chain(categories).chain(integrations).collect()
    }
}

/// What was heard in one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// Decisions that were added to the event.
    pub decisions: u32,
    /// Signals that could not be read.
    pub malformed: u32,
}

struct Said {
    purpose: CompactString,
    granted: bool,
    method: &'static str,
    at: Option<Timestamp>,
}

/// Adds the decisions that an event's signals come to, to its `consents`. `gpc`: the request said so in its header.
pub fn hear(event: &mut Object, mapping: &Mapping, gpc: bool) -> Heard {
    if mapping.is_empty() {
        return Heard::default();
    }
    let mut heard = Heard::default();
    let said = listen(event, mapping, gpc, &mut heard);
    if said.is_empty() {
        return heard;
    }
    let points = points(event);
    let mut consents = match event.remove("consents") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(consents)) => consents,
        Some(other) => {
            // Not acceptable anyway; who reads it next says so.
            event.insert("consents", other);
            return heard;
        }
    };
    let mut ordered: Vec<&Said> = said.iter().collect();
    // Where there is no room for all, what restricts comes first.
    ordered.sort_by_key(|said| said.granted);
    for said in ordered {
        for (channel, address) in &points {
            if consents.len() == CONSENTS_MAX {
                heard.malformed += 1;
                break;
            }
            let status = if said.granted { "granted" } else { "denied" };
            let mut consent = Object::from_iter([
                ("channel".into(), channel.as_str().into()),
                ("address".into(), address.as_str().into()),
                ("purpose".into(), said.purpose.as_str().into()),
                ("status".into(), status.into()),
                ("method".into(), said.method.into()),
            ]);
            if let Some(at) = said.at {
                consent.insert("time", at.to_string().as_str().into());
            }
            consents.push(Value::Object(consent));
            heard.decisions += 1;
        }
    }
    event.insert("consents", Value::List(consents));
    heard
}

fn listen(event: &Object, mapping: &Mapping, gpc: bool, heard: &mut Heard) -> Vec<Said> {
    let mut said = Vec::new();
    let mut say = |purpose: &CompactString, granted, method, at| {
        said.push(Said { purpose: purpose.clone(), granted, method, at });
    };
    let signals = event.get("signals").and_then(Value::as_object);
    let signal =
        |name: &str| signals.and_then(|signals| signals.get(name)).filter(|value| **value != Value::Null);
    let gpc = match signal("gpc") {
        None => gpc,
        // Exactly this: other values are no signal.
        Some(Value::Bool(true)) => true,
        Some(Value::Text(text)) if text == "1" => true,
        Some(Value::Bool(false)) => gpc,
        Some(_) => {
            heard.malformed += 1;
            gpc
        }
    };
    if gpc {
        mapping.gpc.iter().for_each(|purpose| say(purpose, false, "gpc", None));
    }
    let mut tc = signal("tcf");
    let sections;
    if let Some(text) = signal("gpp") {
        match text.as_text().and_then(gpp::read) {
            None => heard.malformed += 1,
            Some(read) => {
                sections = read;
                for (id, section) in &sections {
                    match (*id, gpp::usp_opts_out(section)) {
                        (gpp::USP, Some(true)) => {
                            mapping.usp_sale.iter().for_each(|purpose| say(purpose, false, "gpp", None));
                        }
                        (gpp::USP, None) => heard.malformed += 1,
                        _ => {}
                    }
                }
                let eu = sections.iter().find(|(id, _)| *id == gpp::TCF_EU).map(|(_, section)| *section);
                if let Some(section) = eu.filter(|_| tc.is_none()) {
                    tell_tcf(section, mapping, heard, &mut say);
                }
            }
        }
    }
    if let Some(text) = tc.take() {
        match text.as_text() {
            Some(text) => tell_tcf(text, mapping, heard, &mut say),
            None => heard.malformed += 1,
        }
    }
    let preferences = ["categoryPreferences", "categoryPreference"]
        .iter()
        .find_map(|name| event.get("context")?.pointer(&format!("/consent/{name}")));
    match preferences {
        None | Some(Value::Null) => {}
        Some(Value::Object(preferences)) => {
            for (category, purpose) in &mapping.categories {
                match preferences.get(category) {
                    Some(Value::Bool(granted)) => say(purpose, *granted, "categories", None),
                    None => say(purpose, false, "categories", None),
                    Some(_) => heard.malformed += 1,
                }
            }
        }
        Some(_) => heard.malformed += 1,
    }
    if let Some(Value::Object(integrations)) = event.get("integrations") {
        for (name, purpose) in &mapping.integrations {
            if integrations.get(name) == Some(&Value::Bool(false)) {
                say(purpose, false, "integrations", None);
            }
        }
    }
    said
}

fn tell_tcf(
    text: &str,
    mapping: &Mapping,
    heard: &mut Heard,
    say: &mut impl FnMut(&CompactString, bool, &'static str, Option<Timestamp>),
) {
    match tcf::read(text) {
        None => heard.malformed += 1,
        Some(tcf) => {
            for (no, purpose) in &mapping.tcf {
                say(purpose, tcf.purposes.contains(no), "tcf", Some(tcf.last_updated));
            }
        }
    }
}

/// The contact points that an event names, or the devices where it names none.
fn points(event: &Object) -> Vec<(CompactString, CompactString)> {
    let listed = |name: &str, first: &str, second: &str| -> Vec<(CompactString, CompactString)> {
        let Some(Value::List(items)) = event.get(name) else { return Vec::new() };
        let text = |item: &Value, name: &str| item.as_object()?.get(name)?.as_text().map(CompactString::from);
        items.iter().filter_map(|item| Some((text(item, first)?, text(item, second)?))).collect()
    };
    let mut points = listed("channels", "channel", "address");
    points.extend(listed("consents", "channel", "address"));
    if points.is_empty() {
        points = listed("identifiers", "type", "value");
        points.retain(|(kind, _)| DEVICES.contains(&kind.as_str()));
        points.iter_mut().for_each(|(kind, _)| *kind = DEVICE.into());
    }
    points.sort_unstable();
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn mapping() -> Mapping {
        Mapping {
            gpc: vec!["ads".into(), "sharing".into()],
            usp_sale: vec!["sharing".into()],
            tcf: BTreeMap::from([(1, "storage".into()), (2, "ads".into()), (3, "profiling".into())]),
            categories: BTreeMap::from([
                ("Advertising".into(), "ads".into()),
                ("Analytics".into(), "analytics".into()),
            ]),
            integrations: BTreeMap::from([("facebook".into(), "to_facebook".into())]),
        }
    }

    fn heard(rest: &str, gpc: bool) -> (Vec<String>, u32) {
        let text = format!(r#"{{"identifiers":[{{"type":"anonymous_id","value":"d1"}}],{rest}"x":1}}"#);
        let Value::Object(mut event) = json::parse(text.as_bytes(), json::Options::default()).unwrap() else {
            panic!()
        };
        let heard = hear(&mut event, &mapping(), gpc);
        let mut all = Vec::new();
        if let Some(Value::List(consents)) = event.get("consents") {
            for consent in consents {
                let text = |name: &str| {
                    consent.as_object().unwrap().get(name).and_then(Value::as_text).unwrap().to_owned()
                };
                all.push(format!(
                    "{}:{} {} {}",
                    text("channel"),
                    text("address"),
                    text("purpose"),
                    text("status")
                ));
            }
        }
        assert_eq!(all.len() as u32, heard.decisions);
        all.sort();
        (all, heard.malformed)
    }

    #[test]
    fn global_privacy_control_is_exactly_one() {
        let no = vec!["device:d1 ads denied".to_owned(), "device:d1 sharing denied".to_owned()];
        assert_eq!(heard("", true), (no.clone(), 0));
        for (value, wanted) in [("true", true), ("\"1\"", true), ("false", false), ("null", false)] {
            let (said, malformed) = heard(&format!(r#""signals":{{"gpc":{value}}},"#), false);
            assert_eq!((said == no, malformed), (wanted, 0), "{value}");
        }
        for bad in ["\"0\"", "\" 1\"", "\"true\"", "1", "\"11\"", "[]"] {
            assert_eq!(heard(&format!(r#""signals":{{"gpc":{bad}}},"#), false), (vec![], 1), "{bad}");
        }
    }

    #[test]
    fn strings_are_read_and_malformed_ones_change_nothing_and_are_counted() {
        let tc = "COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA";
        let yes = ["device:d1 ads granted", "device:d1 profiling denied", "device:d1 storage granted"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(heard(&format!(r#""signals":{{"tcf":"{tc}"}},"#), false), (yes.clone(), 0));
        assert_eq!(heard(&format!(r#""signals":{{"gpp":"DBABM~{tc}"}},"#), false), (yes, 0));
        let sale = vec!["device:d1 sharing denied".to_owned()];
        assert_eq!(heard(r#""signals":{"gpp":"DBABjw~x~1NYN"},"#, false), (sale, 0));
        for bad in [
            r#""tcf":"COwx""#,
            r#""tcf":7"#,
            r#""gpp":"DBABM""#,
            r#""gpp":"DBABM~x""#,
            r#""gpp":"DBABjw~x~1?""#,
        ] {
            assert_eq!(heard(&format!(r#""signals":{{{bad}}},"#), false), (vec![], 1), "{bad}");
        }
    }

    #[test]
    fn the_events_own_contact_points_are_meant_where_it_names_some() {
        let channels = r#""channels":[{"channel":"email","address":"a@x.eu"}],"signals":{"gpc":true},"#;
        assert_eq!(heard(channels, false).0, ["email:a@x.eu ads denied", "email:a@x.eu sharing denied"]);
        let integrations = r#""integrations":{"facebook":false,"other":false},"#;
        assert_eq!(heard(integrations, false).0, ["device:d1 to_facebook denied"]);
    }

    #[test]
    fn an_event_has_no_more_decisions_than_it_may_and_refusals_come_first() {
        let channels: Vec<_> =
            (0..30).map(|n| format!(r#"{{"channel":"email","address":"a{n}@x.eu"}}"#)).collect();
        let tc = "COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA";
        let rest = format!(r#""channels":[{}],"signals":{{"tcf":"{tc}"}},"#, channels.join(","));
        let (said, left_out) = heard(&rest, false);
        assert_eq!((said.len(), left_out), (CONSENTS_MAX, 1));
        assert_eq!(said.iter().filter(|said| said.ends_with("denied")).count(), 30);
    }
}
