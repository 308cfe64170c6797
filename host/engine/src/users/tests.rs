use std::sync::Arc;

use cdp_store::seal::MasterKey;

use super::*;
use crate::clock::Clock as _;
use crate::clock::ManualClock;
use crate::registry::NewTenant;
use crate::{Engine, Options, Storage};

struct World {
    engine: Engine,
    clock: Arc<ManualClock>,
    tenant: Tenant,
    dir: tempfile::TempDir,
}

fn open(dir: &std::path::Path, clock: &Arc<ManualClock>) -> Engine {
    let mut options = Options::new(dir.join("data"), MasterKey::from_bytes([7; 32]));
    options.storage = Storage::Memory;
    options.clock = clock.clone();
    Engine::open(options).unwrap()
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000_000_000)));
    let engine = open(dir.path(), &clock);
    let new = NewTenant { slug: "shop".into(), name: "Shop".into(), time_zone: None };
    engine.create_tenant(new).await.unwrap();
    let tenant = engine.open_tenants().remove(0);
    World { engine, clock, tenant, dir }
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_link_makes_one_admin_and_then_none() {
    let world = world().await;
    let token = world.engine.first_link(&world.tenant).unwrap().unwrap();
    assert!(matches!(world.engine.door(&token), Some(Door::First(tenant)) if tenant.slug == "shop"));
    let entering = Entering { name: Some(" Ana@Shop.example ".into()), password: Some(hash("h")) };
    let (user, session) = world.engine.enter(&token, entering.clone()).await.unwrap();
    assert_eq!((user.name.as_str(), user.role), ("ana@shop.example", Role::Admin));
    assert_eq!(world.engine.session(&session, true).unwrap().user.id, user.id);
    assert!(matches!(world.engine.enter(&token, entering).await, Err(Refused::NotFound(_))));
    assert!(world.engine.first_link(&world.tenant).unwrap().is_none());
    assert!(world.engine.find_user(None, "ANA@shop.example").is_some());
    assert!(world.engine.find_user(Some("other"), "ana@shop.example").is_none());
    world.engine.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_in_once_and_not_after_its_time() {
    let world = world().await;
    let invite = |name| world.engine.invite_user(&world.tenant, name, Role::Marketer, LinkKind::Invite);
    let (user, first) = invite("ben").await.unwrap();
    let second = world.engine.link_user(&world.tenant, user.id, LinkKind::Invite).await.unwrap();
    assert!(world.engine.door(&first).is_none(), "the newer link voids the older");
    let none = world.engine.enter(&second, Entering::default()).await;
    assert!(matches!(none, Err(Refused::Invalid(_))), "an invitation wants a password");
    let entering = Entering { name: None, password: Some(hash("h")) };
    world.engine.enter(&second, entering.clone()).await.unwrap();
    assert!(world.engine.door(&second).is_none());
    let (_, late) = invite("eve").await.unwrap();
    world.clock.set(Timestamp(world.clock.now().0 + LINK_MS_MAX - 1));
    assert!(world.engine.door(&late).is_some());
    world.clock.set(Timestamp(world.clock.now().0 + 1));
    assert!(world.engine.door(&late).is_none());
    assert!(matches!(invite("BEN").await, Err(Refused::Conflict(_))), "names are taken in any spelling");
    world.engine.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_unused_in_the_end_and_by_hand_and_outlive_a_restart() {
    let world = world().await;
    let start = world.clock.now().0;
    let (user, link) =
        world.engine.invite_user(&world.tenant, "ana", Role::Admin, LinkKind::SignIn).await.unwrap();
    let (_, token) = world.engine.enter(&link, Entering::default()).await.unwrap();
    let at = |ms: i64| world.clock.set(Timestamp(start + ms));
    for step in 1..=5 {
        at(step * (SESSION_IDLE_MS_MAX - 1));
        assert!(world.engine.session(&token, true).is_some(), "used often enough");
    }
    world.engine.close();
    let World { engine, clock, dir, .. } = world;
    drop(engine);
    let engine = open(dir.path(), &clock);
    let session = engine.session(&token, true).expect("a restart ends no session");
    assert_eq!(session.user.id, user.id);
    clock.set(Timestamp(start + SESSION_MS_MAX));
    assert!(engine.session(&token, true).is_none(), "however much it is used");
    let tenant = engine.open_tenants().remove(0);
    let idle = engine.open_session(tenant.no(), user.id).await.unwrap();
    let ended = engine.open_session(tenant.no(), user.id).await.unwrap();
    engine.end_session(&ended).await.unwrap();
    assert!(engine.session(&ended, true).is_none() && engine.session(&idle, true).is_some());
    clock.set(Timestamp(clock.now().0 + SESSION_IDLE_MS_MAX));
    assert!(engine.session(&idle, true).is_none(), "nobody used it");
    engine.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_sessions_and_the_first_makes_way() {
    let world = world().await;
    let (user, _) =
        world.engine.invite_user(&world.tenant, "ana", Role::Admin, LinkKind::SignIn).await.unwrap();
    let mut tokens = Vec::new();
    for n in 0..=SESSIONS_PER_USER_MAX {
        world.clock.set(Timestamp(world.clock.now().0 + 1));
        tokens.push(world.engine.open_session(world.tenant.no(), user.id).await.unwrap());
        let all = tokens.iter().filter(|token| world.engine.session(token, true).is_some()).count();
        assert_eq!(all, (n + 1).min(SESSIONS_PER_USER_MAX));
    }
    assert!(world.engine.session(&tokens[0], true).is_none());
    world.engine.set_password(&world.tenant, user.id, hash("x")).await.unwrap();
    assert!(
        tokens.iter().all(|token| world.engine.session(token, true).is_none()),
        "a new password ends them all"
    );
    world.engine.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays() {
    let world = world().await;
    let invite = |name, role| world.engine.invite_user(&world.tenant, name, role, LinkKind::Invite);
    let (ana, _) = invite("ana", Role::Admin).await.unwrap();
    let (ben, _) = invite("ben", Role::Developer).await.unwrap();
    assert!(matches!(world.engine.remove_user(&world.tenant, ana.id).await, Err(Refused::Conflict(_))));
    let demoted = world.engine.set_role(&world.tenant, ana.id, Role::Marketer).await;
    assert!(matches!(demoted, Err(Refused::Conflict(_))));
    world.engine.set_role(&world.tenant, ben.id, Role::Admin).await.unwrap();
    world.engine.remove_user(&world.tenant, ana.id).await.unwrap();
    assert_eq!(world.engine.users(&world.tenant).len(), 1);
    assert!(matches!(world.engine.user(&world.tenant, ana.id), Err(Refused::NotFound(_))));
    world.engine.close();
}

#[test]
fn a_name_has_1_to_128_bytes_and_no_space() {
    assert_eq!(read_name(" Ana ").unwrap(), "ana");
    assert!(read_name(&"a".repeat(USER_NAME_BYTES_MAX)).is_ok());
    for bad in ["", " ", "a b", "a\u{7}", &"a".repeat(USER_NAME_BYTES_MAX + 1)] {
        assert!(read_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_hash_prints_nothing() {
    assert!(!format!("{:?}", hash("$argon2id$secret")).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_users() {
    let world = world().await;
    for n in 0..USERS_MAX {
        let name = format!("user{n}");
        world.engine.invite_user(&world.tenant, &name, Role::Developer, LinkKind::Invite).await.unwrap();
    }
    let more = world.engine.invite_user(&world.tenant, "more", Role::Developer, LinkKind::Invite).await;
    assert!(matches!(more, Err(Refused::Conflict(_))));
    assert_eq!(world.engine.users(&world.tenant).len(), USERS_MAX);
    world.engine.close();
}
