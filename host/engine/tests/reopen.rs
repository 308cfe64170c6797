//! A state store that fails while the server runs: it is opened again in place, stands earlier than before,
//! and state comes to what it would have been.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value as Json;
use cdp_engine::accept::{Accept, Incoming};
use cdp_engine::clock::ManualClock;
use cdp_engine::registry::NewTenant;
use cdp_engine::{Engine, Options, Storage, Tenant};
use cdp_store::Error;
use cdp_store::kv::{Batch, Kv, MemoryKv, Opened, Opener, Order, Pairs, Value};
use cdp_store::seal::MasterKey;
use parking_lot::Mutex;

/// A disk that can be full, and on which an opening finds what an earlier one wrote, save the last batches.
#[derive(Debug, Default)]
struct Disk {
    /// What was there after each batch.
    history: Mutex<Vec<Pairs>>,
    full: AtomicBool,
    /// Batches that the next opening does not find.
    lost: AtomicUsize,
    openings: AtomicUsize,
    /// Whether the state can be written anew; while this is held, that stands still.
    anew: Option<Mutex<()>>,
    copies: AtomicUsize,
}

#[derive(Debug)]
struct OnDisk(Arc<Disk>);

impl Opener for OnDisk {
    fn open(&self) -> cdp_store::Result<(Arc<dyn Kv>, Opened)> {
        let kv = MemoryKv::new();
        let mut history = self.0.history.lock();
        let kept = history.len().saturating_sub(self.0.lost.swap(0, Ordering::AcqRel));
        history.truncate(kept);
        let mut batch = Batch::new();
        for (key, value) in history.last().into_iter().flatten() {
            batch.put(key.clone(), value.to_vec());
        }
        kv.write(batch)?;
        self.0.openings.fetch_add(1, Ordering::AcqRel);
        let [closed, broken] = [AtomicBool::new(false), AtomicBool::new(false)];
        let opening = Opening { disk: self.0.clone(), kv, closed, broken };
        Ok((Arc::new(opening), Opened::Existing))
    }

    fn worth_trying(&self) -> cdp_store::Result<()> {
        if self.0.full.load(Ordering::Acquire) { Err(Error::Full { path: "disk".into() }) } else { Ok(()) }
    }

    fn copy(&self, _from: &dyn Kv) -> cdp_store::Result<bool> {
        let Some(anew) = &self.0.anew else { return Ok(false) };
        self.0.copies.fetch_add(1, Ordering::AcqRel);
        drop(anew.lock());
        Ok(true)
    }
}

#[derive(Debug)]
struct Opening {
    disk: Arc<Disk>,
    kv: MemoryKv,
    closed: AtomicBool,
    /// Like sled: once a write failed, all fail.
    broken: AtomicBool,
}

impl Opening {
    fn kv(&self) -> cdp_store::Result<&MemoryKv> {
        if self.closed.load(Ordering::Acquire) { Err(Error::StateClosed) } else { Ok(&self.kv) }
    }
}

impl Kv for Opening {
    fn get_many(&self, keys: &[&[u8]]) -> cdp_store::Result<Vec<Option<Value>>> {
        self.kv()?.get_many(keys)
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> cdp_store::Result<Pairs> {
        self.kv()?.scan(from, to, order, limit)
    }

    fn write(&self, batch: Batch) -> cdp_store::Result<()> {
        let kv = self.kv()?;
        if self.disk.full.load(Ordering::Acquire) || self.broken.load(Ordering::Acquire) {
            self.broken.store(true, Ordering::Release);
            return Err(Error::Backend { doing: "write", source: "no space".into() });
        }
        kv.write(batch)?;
        self.disk.history.lock().push(kv.scan(&[], &[0xff; 64], Order::Forward, usize::MAX)?);
        Ok(())
    }

    fn flush(&self) -> cdp_store::Result<()> {
        self.kv().map(drop)
    }

    fn size_on_disk(&self) -> cdp_store::Result<u64> {
        Ok(0)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

struct World {
    engine: Engine,
    tenant: Tenant,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(storage: Storage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = storage;
        options.clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let engine = Engine::open(options).unwrap();
        for slug in ["shop", "idle"] {
            let new = NewTenant { slug: slug.into(), name: slug.into(), time_zone: None };
            engine.create_tenant(new).await.unwrap();
        }
        let tenant = engine.open_tenants().into_iter().find(|tenant| &*tenant.info().slug == "shop").unwrap();
        Self { engine, tenant, _dir: dir }
    }

    async fn send(&self, numbers: std::ops::Range<u64>) {
        let incoming = numbers.map(|n| {
            let text = event(n);
            Incoming { value: value(&text), bytes: text.len(), digest_of: None }
        });
        let how = Accept { source: "test".into(), ..Accept::default() };
        let accepted = self.tenant.accept(incoming.collect(), &how).await.unwrap();
        assert!(self.tenant.wait_applied(accepted.position, Duration::from_secs(20)).await);
    }

    async fn define(&self, name: &str) {
        let definition = r#"{"kind":"sum","event":"buy","property":"/total"}"#;
        self.tenant.put_attribute(name, &value(definition)).await.unwrap();
        let rule = format!(r#"{{"rule":{{"attribute":"{name}","op":"gte","value":200}}}}"#);
        self.tenant.put_segment(name, &value(&rule)).await.unwrap();
    }

    /// Has state written now instead of in some seconds.
    fn write_state(&self) -> impl Future<Output = Result<(), cdp_engine::Refused>> + use<> {
        let engine = self.engine.clone();
        let written = tokio::task::spawn_blocking(move || engine.wait_until_applied());
        async { written.await.unwrap() }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {what}; {:?}", self.engine.readiness());
    }

    /// Whether it is ready does not matter: what is built then is built in memory.
    async fn until_built(&self) {
        self.until("built", |world| {
            world.tenant.attributes().iter().all(|attribute| attribute.status == "active")
                && world.tenant.segments().iter().all(|segment| segment.status == "active")
        })
        .await;
    }

    fn picture(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for n in 0..10 {
            let profile = self.tenant.lookup("user_id", &n.to_string()).unwrap();
            let attributes: Vec<_> = profile.attributes.iter().map(|(name, a)| (name, &a.value)).collect();
            let text = format!("{:?} {attributes:?} {:?}", profile.traits, profile.segments);
            out.insert(format!("{n}"), text);
            let timeline = self.tenant.timeline(profile.id, 1000, None).unwrap().items.len();
            out.insert(format!("timeline of {n}"), timeline.to_string());
        }
        for segment in self.tenant.segments() {
            let mut members = self.tenant.members(&segment.name, 1000, None).unwrap().items;
            members.sort();
            out.insert(format!("segment {}", segment.name), format!("{} {members:?}", segment.size));
        }
        out
    }

    async fn end(self) {
        let engine = self.engine.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let verified = engine.verify().unwrap();
            engine.close();
            verified
        });
        let verified = ended.await.unwrap();
        assert!(verified.iter().all(|tenant| tenant.differences.is_empty()), "{verified:?}");
    }
}

fn value(text: &str) -> Json {
    json::parse(text.as_bytes(), json::Options::default()).unwrap()
}

fn event(n: u64) -> String {
    format!(
        r#"{{"id":"{n}","type":"buy","time":"2026-01-01T00:00:00Z","identifiers":[{{"type":"user_id","value":"{}"}}],"properties":{{"total":{n}}},"traits":{{"$add":{{"visits":1}},"last":"{n}"}}}}"#,
        n % 10
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_opened_again_and_nothing_is_lost_or_counted_twice() {
    let straight = World::new(Storage::Memory).await;
    straight.define("before").await;
    straight.send(0..100).await;
    straight.define("meanwhile").await;
    straight.until_built().await;
    straight.send(100..160).await;
    straight.until_built().await;
    let want = straight.picture();
    straight.end().await;
    for lost in [0, 1, 2, usize::MAX] {
        let disk = Arc::new(Disk::default());
        let world = World::new(Storage::By(Arc::new(OnDisk(disk.clone())))).await;
        world.define("before").await;
        world.send(0..50).await;
        world.write_state().await.unwrap();
        assert!(!disk.history.lock().is_empty());
        disk.full.store(true, Ordering::Release);
        world.send(50..100).await;
        // Built while nothing can be written: all of it is lost with the opening.
        world.define("meanwhile").await;
        world.until_built().await;
        let refused = world.write_state();
        world.until("not ready", |world| !world.engine.readiness().ready).await;
        assert!(matches!(refused.await, Err(cdp_engine::Refused::Unavailable(_))));
        world.send(100..120).await;
        let openings = disk.openings.load(Ordering::Acquire);
        disk.lost.store(lost, Ordering::Release);
        disk.full.store(false, Ordering::Release);
        world.until("opened again", |_| disk.openings.load(Ordering::Acquire) > openings).await;
        world.until("ready", |world| world.engine.readiness().ready).await;
        world.send(120..160).await;
        world.until_built().await;
        assert_eq!(world.picture(), want, "{lost} batches lost");
        let idle = world.engine.open_tenants().into_iter().find(|tenant| &*tenant.info().slug == "idle");
        let asked = idle.unwrap().lookup("user_id", "1");
        assert!(
            matches!(asked, Err(cdp_engine::Refused::NotFound(_))),
            "a tenant without work is back too: {asked:?}"
        );
        assert_eq!(disk.openings.load(Ordering::Acquire), openings + 1, "opened once for all tenants");
        world.end().await;
    }
}

/// A server that is asked to end while the state of an erasure is written anew, and has something else to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closing_comes_to_an_end_while_the_state_is_written_anew() {
    for waits in [false, true] {
        let disk = Arc::new(Disk { anew: Some(Mutex::new(())), ..Disk::default() });
        let world = World::new(Storage::By(Arc::new(OnDisk(disk.clone())))).await;
        world.define("before").await;
        world.send(0..50).await;
        let held = disk.clone();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (holds, held_now) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let _held = held.anew.as_ref().unwrap().lock();
            holds.send(()).unwrap();
            released.recv().ok();
        });
        held_now.recv().unwrap();
        world.tenant.erase("user_id", "1", "asked for", "test").await.unwrap();
        world.until("written anew", |_| disk.copies.load(Ordering::Acquire) == 1).await;
        let others: Vec<u64> = (50..60).filter(|n| n % 10 != 1).collect();
        for n in others {
            world.send(n..n + 1).await;
        }
        let asked = waits.then(|| world.write_state());
        let engine = world.engine.clone();
        let ended = tokio::task::spawn_blocking(move || engine.close());
        world.until("closing", |world| world.engine.jobs().is_closing()).await;
        drop(release);
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        assert!(ended.is_ok(), "the server ends, whether somebody waits for the state ({waits}) or not");
        if let Some(asked) = asked {
            // It was written, or is said not to be.
            let asked = tokio::time::timeout(Duration::from_secs(60), asked).await;
            assert!(matches!(asked, Ok(Ok(()) | Err(cdp_engine::Refused::Unavailable(_)))), "{asked:?}");
        }
        holder.join().unwrap();
    }
}
