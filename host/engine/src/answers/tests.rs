//! Remembering through repeats, conflicts, crashes and midnights.

use super::*;
use crate::clock::ManualClock;
use cdp_domain::ids::KeyId;

const HOUR_MS: i64 = 3600 * 1000;
const NOON: Timestamp = Timestamp(20_000 * 24 * HOUR_MS + 12 * HOUR_MS);
const WHO: Caller = Caller { tenant: TenantNo(1), key: Some(KeyId([1; 16])) };

struct World {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    answers: Answers,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(NOON));
        let answers = open(dir.path(), &clock);
        Self { dir, clock, answers }
    }

    fn restart(&mut self) {
        self.answers.close();
        self.answers = open(self.dir.path(), &self.clock);
    }

    async fn begin(&self, key: &str, body: u8) -> Begun {
        self.answers.begin(WHO, key, [body; 32]).await.unwrap()
    }

    async fn fresh(&self, key: &str) -> Ticket {
        match self.begin(key, 1).await {
            Begun::Fresh(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn days(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("idempotency")).unwrap().count()
    }
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Answers {
    Answers::open(dir, &MasterKey::from_bytes([7; 32]), clock.clone()).unwrap()
}

#[tokio::test]
async fn the_first_is_carried_out_and_repeats_get_its_answer_also_after_a_restart() {
    let mut world = World::new();
    let ticket = world.fresh("a").await;
    assert!(matches!(world.begin("a", 1).await, Begun::Running));
    assert!(matches!(world.begin("a", 2).await, Begun::Other), "also while it runs");
    ticket.answered(b"the secret answer").await.unwrap();
    for _ in 0..2 {
        assert!(matches!(world.begin("a", 1).await, Begun::Known(answer) if answer == b"the secret answer"));
        assert!(matches!(world.begin("a", 2).await, Begun::Other));
        world.restart();
    }
    for entry in std::fs::read_dir(world.dir.path().join("idempotency")).unwrap() {
        for file in std::fs::read_dir(entry.unwrap().path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|part| part == b"secret"), "answers are sealed");
        }
    }
}

#[tokio::test]
async fn a_key_belongs_to_its_caller() {
    let world = World::new();
    world.fresh("a").await.answered(b"mine").await.unwrap();
    for other in [
        Caller { tenant: TenantNo(2), ..WHO },
        Caller { key: Some(KeyId([2; 16])), ..WHO },
        Caller { tenant: TenantNo(0), key: None },
    ] {
        assert!(
            matches!(world.answers.begin(other, "a", [1; 32]).await.unwrap(), Begun::Fresh(_)),
            "{other:?}"
        );
    }
}

#[tokio::test]
async fn what_failed_may_be_tried_again_and_what_nobody_knows_may_not() {
    let mut world = World::new();
    world.fresh("failed").await.forget().await.unwrap();
    world.fresh("failed").await.answered(b"good").await.unwrap();
    drop(world.fresh("dropped").await);
    assert!(matches!(world.begin("dropped", 1).await, Begun::Unknown));
    world.fresh("large").await.answered(&vec![0; ANSWER_BYTES_MAX + 1]).await.unwrap();
    assert!(matches!(world.begin("large", 1).await, Begun::Unknown));
    world.fresh("full").await.answered(&vec![0; ANSWER_BYTES_MAX]).await.unwrap();
    assert!(matches!(world.begin("full", 1).await, Begun::Known(_)));
    let running = world.fresh("running").await;
    std::mem::forget(running);
    world.restart();
    assert!(matches!(world.begin("failed", 1).await, Begun::Known(answer) if answer == b"good"));
    for key in ["dropped", "running"] {
        assert!(matches!(world.begin(key, 1).await, Begun::Unknown), "{key}");
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_24_hours_over_midnights_and_its_file_goes() {
    let mut world = World::new();
    world.fresh("a").await.answered(b"a").await.unwrap();
    world.clock.set(Timestamp(NOON.0 + 24 * HOUR_MS - 1));
    world.fresh("b").await.answered(b"b").await.unwrap();
    world.restart();
    assert!(matches!(world.begin("a", 1).await, Begun::Known(_)));
    assert_eq!(world.days(), 2);
    world.clock.set(Timestamp(NOON.0 + 24 * HOUR_MS));
    world.fresh("a").await.answered(b"again").await.unwrap();
    world.clock.set(Timestamp(NOON.0 + 37 * HOUR_MS));
    world.fresh("c").await.answered(b"c").await.unwrap();
    assert_eq!(world.days(), 2, "the first day is gone: the second and the third are there");
    assert!(matches!(world.begin("a", 1).await, Begun::Known(answer) if answer == b"again"));
    world.clock.set(Timestamp(NOON.0 + 240 * HOUR_MS));
    world.restart();
    assert_eq!(world.days(), 0);
    world.fresh("a").await;
}
