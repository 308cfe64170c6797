//! A tenant to send events to, and a picture of what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::ids::FragmentId;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::accept::{Accept, Incoming, Verdict};
use cdp_engine::clock::ManualClock;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::seal::MasterKey;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) tenant: Tenant,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(linked_max: Option<usize>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        options.secret = Some([9; 32]);
        options.clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        options.linked_fragments_max = linked_max;
        let engine = Engine::open(options).unwrap();
        let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
        let (info, _) = engine.create_tenant(new).await.unwrap();
        let tenant = engine.open_tenants().into_iter().find(|tenant| tenant.no() == info.no).unwrap();
        Self { engine, tenant, _dir: dir }
    }

    /// Sends events and waits until they are applied.
    pub(crate) async fn send(&self, events: &[String], client: bool) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let mut last = None;
        for part in events.chunks(1000) {
            let incoming =
                part.iter().map(|text| Incoming { value: value(text), bytes: text.len(), digest_of: None });
            let how = Accept { source: "test".into(), client, ..Accept::default() };
            let accepted = self.tenant.accept(incoming.collect(), &how).await.unwrap();
            last = Some(accepted.position);
            verdicts.extend(accepted.items.into_iter().map(|item| item.verdict));
        }
        if let Some(last) = last {
            assert!(self.tenant.wait_applied(last, Duration::from_secs(300)).await);
        }
        verdicts
    }

    /// Attributes and segments that say what was folded, ready.
    pub(crate) async fn define(&self) {
        for (name, text) in [
            ("n", r#"{"kind":"count","event":"buy"}"#),
            ("sum", r#"{"kind":"sum","event":"buy","property":"/total"}"#),
            ("last", r#"{"kind":"last","event":"buy","property":"/total"}"#),
        ] {
            self.tenant.put_attribute(name, &value(text)).await.unwrap();
        }
        let rule = r#"{"title":"Spenders","rule":{"attribute":"sum","op":"gte","value":"100"}}"#;
        self.tenant.put_segment("spenders", &value(rule)).await.unwrap();
        while self.tenant.attributes().iter().any(|a| a.status != "active")
            || self.tenant.segments().iter().any(|s| s.status != "active")
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The profile of an event.
    pub(crate) fn profile_of(&self, event: &str) -> FragmentId {
        self.tenant.receipt("test", event).unwrap().profile_id.unwrap()
    }

    /// Everything that clients can see of the profiles of these events.
    pub(crate) fn picture<'a>(
        &self,
        events: impl IntoIterator<Item = &'a str>,
    ) -> BTreeMap<FragmentId, String> {
        let mut out = BTreeMap::new();
        for event in events {
            let id = self.profile_of(event);
            out.entry(id).or_insert_with(|| {
                let profile = self.tenant.profile(id).unwrap();
                let timeline = self.tenant.timeline(id, 10_000, None).unwrap().items;
                let mut ids: Vec<String> =
                    timeline.iter().map(|event| json::to_string(&event.event)).collect();
                ids.sort();
                format!(
                    "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {ids:?}",
                    profile.fragments,
                    profile.identifiers,
                    profile.traits,
                    profile.attributes.iter().map(|(name, a)| (name, &a.value)).collect::<Vec<_>>(),
                    profile.channels,
                    profile.segments,
                    profile.first_seen,
                    profile.last_seen
                )
            });
        }
        out
    }

    /// Compares state with what a rebuild makes of the journal, and ends.
    pub(crate) async fn finish(self) {
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || {
            let verified = engine.verify().unwrap();
            assert!(verified.iter().all(|tenant| tenant.differences.is_empty()), "{verified:?}");
            engine.close();
        })
        .await
        .unwrap();
    }
}

pub(crate) fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap()
}

/// An event's JSON.
pub(crate) fn event(id: &str, kind: &str, time: i64, identifiers: &[(&str, &str)], rest: &str) -> String {
    let identifiers: Vec<_> =
        identifiers.iter().map(|(kind, value)| format!(r#"{{"type":"{kind}","value":"{value}"}}"#)).collect();
    format!(
        r#"{{"id":"{id}","type":"{kind}","time":"{}","identifiers":[{}]{rest}}}"#,
        Timestamp(time),
        identifiers.join(",")
    )
}

/// A small generator, so that a seed names a history.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.roll(n + 1));
        }
    }
}
