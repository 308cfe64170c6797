//! Hubs, chains and late events: what they come to, and that they end in bounded time.

use std::time::{Duration, Instant};

use cdp_domain::limits::LINKED_FRAGMENTS_MAX;

use super::world::{Dice, World, event, value};

fn size(usual: usize) -> usize {
    std::env::var("CDP_IDENTITY_CHAIN").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_users_with_one_address_and_device_stay_as_many_with_one_alert_each() {
    let world = World::new(None).await;
    world.define().await;
    let mut events: Vec<_> = (0..10_000)
        .map(|n| {
            let user = format!("u{n}");
            let all = [("user_id", user.as_str()), ("email", "till@shop.eu"), ("device", "till")];
            event(&format!("e{n:05}"), "buy", n, &all, r#","properties":{"total":"1"}"#)
        })
        .collect();
    Dice(1).shuffle(&mut events);
    world.send(&events, false).await;
    assert_eq!(world.tenant.stats().profiles, 10_000);
    let alerts = world.tenant.identity_alerts(100, None).unwrap().items;
    assert_eq!((alerts.len(), world.tenant.identity_alert_count()), (2, 2), "{alerts:?}");
    assert!(world.tenant.lookup("email", "till@shop.eu").is_err(), "it is nobody's");
    // Its own events are nobody's either: they go to a profile of that value.
    world.send(&[event("own", "buy", 3, &[("email", "till@shop.eu")], "")], false).await;
    let own = world.tenant.lookup("email", "Till@shop.eu").unwrap();
    assert_eq!((own.fragments.len(), own.id), (1, world.profile_of("own")));
    assert_eq!(world.tenant.stats().profiles, 10_001);
    world.finish().await;
}

async fn chain(order: impl Fn(&mut Vec<String>)) -> (u64, Duration, usize) {
    let length = size(20_000);
    let world = World::new(None).await;
    let mut events: Vec<_> = (0..length)
        .map(|n| {
            let (a, b) = (format!("d{n}"), format!("d{}", n + 1));
            event(&format!("e{n:06}"), "buy", n as i64, &[("device", &a), ("device", &b)], "")
        })
        .collect();
    order(&mut events);
    let began = Instant::now();
    world.send(&events, false).await;
    let took = began.elapsed();
    let (profiles, alerts) =
        (world.tenant.stats().profiles, world.tenant.identity_alerts(1000, None).unwrap());
    world.finish().await;
    (profiles, took, alerts.items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_chain_ends_in_bounded_time_and_comes_to_the_same_in_any_order() {
    let length = size(20_000) as u64;
    let straight = chain(|_| {}).await;
    let back = chain(|events| events.reverse()).await;
    let mixed = chain(|events| Dice(5).shuffle(events)).await;
    println!("{length} links: straight {straight:?}, backwards {back:?}, shuffled {mixed:?}");
    assert_eq!((straight.0, straight.2), (length, 1));
    assert_eq!((back.0, mixed.0), (length, length));
    assert!(mixed.2 >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_with_a_device_a_day_is_one_person_up_to_the_bound() {
    let world = World::new(None).await;
    world.define().await;
    let days = |from: usize, to: usize| -> Vec<_> {
        (from..to)
            .map(|n| {
                let device = format!("d{n}");
                event(
                    &format!("e{n:05}"),
                    "buy",
                    n as i64,
                    &[("user_id", "ann"), ("anonymous_id", &device)],
                    "",
                )
            })
            .collect()
    };
    world.send(&days(0, LINKED_FRAGMENTS_MAX), false).await;
    assert_eq!(world.tenant.stats().profiles, 1);
    world.send(&days(LINKED_FRAGMENTS_MAX, LINKED_FRAGMENTS_MAX + 50), false).await;
    assert_eq!(world.tenant.stats().profiles, LINKED_FRAGMENTS_MAX as u64 + 50);
    assert_eq!(world.tenant.identity_alert_count(), 1);
    world.finish().await;
}

/// Rows that one late event asks for that joins somebody to a person of `devices` devices, among `others`.
async fn rows_of_a_late_event(others: usize, devices: usize) -> u64 {
    let world = World::new(None).await;
    world.define().await;
    let strangers = (0..others).map(|n| {
        let (user, device) = (format!("other{n}"), format!("of{n}"));
        let all = [("user_id", user.as_str()), ("anonymous_id", device.as_str())];
        event(&format!("o{n:05}"), "buy", 1000 + n as i64, &all, r#","properties":{"total":"7"}"#)
    });
    let own = (0..devices).map(|n| {
        let device = format!("d{n}");
        let all = [("user_id", "ann"), ("anonymous_id", device.as_str())];
        event(&format!("e{n:05}"), "buy", 1000 + n as i64, &all, r#","properties":{"total":"7"}"#)
    });
    let guest =
        event("kiosk-7", "buy", 900, &[("anonymous_id", "kiosk-7")], r#","properties":{"total":"7"}"#);
    let events: Vec<String> = strangers.chain(own).chain([guest]).collect();
    world.send(&events, false).await;
    let before = world.tenant.stats().rows_read;
    let all = [("user_id", "ann"), ("anonymous_id", "kiosk-7")];
    world.send(&[event("late", "buy", 1, &all, r#","properties":{"total":"7"}"#)], false).await;
    let asked = world.tenant.stats().rows_read - before;
    assert_eq!(world.profile_of("kiosk-7"), world.profile_of("e00000"));
    assert_eq!(world.tenant.stats().profiles, others as u64 + 1);
    world.finish().await;
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_event_costs_in_proportion_to_its_closure_and_not_to_the_tenant() {
    let small = rows_of_a_late_event(100, 10).await;
    assert_eq!(rows_of_a_late_event(4_000, 10).await, small, "forty times the tenant, the same closure");
    let tenfold = rows_of_a_late_event(100, 100).await;
    println!("rows asked for: {small} with 10 devices, {tenfold} with 100");
    assert!((2 * small..=10 * small).contains(&tenfold), "{small} with 10 devices, {tenfold} with 100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_normaliser_that_changes_leaves_what_was_read_before_as_it_was_read() {
    let world = World::new(None).await;
    let write = |id: &str, value: &str| event(id, "buy", 1, &[("handle", value)], "");
    world.send(&[write("1", "Ann@x.eu"), write("2", "ann@x.eu")], false).await;
    assert_eq!(world.tenant.stats().profiles, 2);
    let rules = r#"{"types":[{"type":"handle","priority":1,"normaliser":"email"}]}"#;
    assert!(world.tenant.try_identity_rules(&value(rules)).await.unwrap().reads_otherwise);
    world.tenant.put_identity_rules(&value(rules)).await.unwrap();
    world.send(&[write("3", "ANN@X.EU")], false).await;
    assert_eq!(world.profile_of("3"), world.profile_of("2"));
    assert_ne!(world.profile_of("3"), world.profile_of("1"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_joins_nobody_who_is_known_and_a_value_blocked_later_parts_whom_it_joined() {
    let world = World::new(None).await;
    let of = |id: &str, time, all: &[(&str, &str)]| event(id, "x", time, all, "");
    let rules = |blocked: &str| {
        format!(
            r#"{{"types":[{{"type":"user_id","priority":1,"unique":true}},{{"type":"loyalty","priority":2,"unique":true}},
            {{"type":"device","priority":3,"blocked":[{blocked}]}}]}}"#
        )
    };
    world.tenant.put_identity_rules(&value(&rules(""))).await.unwrap();
    world.send(&[of("1", 1, &[("user_id", "u"), ("device", "d")])], false).await;
    world.send(&[of("2", 2, &[("loyalty", "l"), ("device", "kiosk")])], false).await;
    world.send(&[of("3", 3, &[("device", "d"), ("device", "kiosk")])], true).await;
    assert_ne!(world.profile_of("1"), world.profile_of("2"));
    world.send(&[of("4", 4, &[("device", "d"), ("device", "kiosk")])], false).await;
    assert_eq!(world.profile_of("1"), world.profile_of("2"));
    world.tenant.put_identity_rules(&value(&rules(r#""KIOSK*""#))).await.unwrap();
    assert_ne!(world.profile_of("1"), world.profile_of("2"));
    assert_eq!(world.profile_of("4"), world.profile_of("1"));
    world.finish().await;
}
