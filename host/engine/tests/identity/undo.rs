//! Undoing a join gives back what would have been, and what was once an id leads to its profile for ever.

use std::collections::BTreeSet;

use super::world::{Dice, World, event, value};

/// Two people with a past, the event that joins them, and a thousand events of each after that.
fn story() -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut dice = Dice(11);
    let mut of = |person: &str, n: usize, time: i64| {
        let (loyalty, email) = (format!("card-{person}"), format!("{person}@x.eu"));
        let with = [("loyalty", loyalty.as_str()), ("email", email.as_str())];
        let identifiers = match dice.roll(3) {
            0 => &with[..],
            1 => &with[..1],
            _ => &with[1..],
        };
        let rest = format!(
            r#","properties":{{"total":"{}.{}"}},"traits":{{"colour":"{person}{}","$add":{{"visits":1}}}},
            "consents":[{{"channel":"email","address":"{email}","purpose":"news","status":"{}"}}]"#,
            dice.roll(9),
            dice.roll(10),
            dice.roll(4),
            if dice.roll(2) == 0 { "granted" } else { "withdrawn" },
        );
        event(&format!("{person}{n:04}"), "buy", time, identifiers, &rest)
    };
    let mut before = Vec::new();
    let mut after = Vec::new();
    for n in 0..20 {
        before.push(of("ann", n, 10 + n as i64));
        before.push(of("bob", n, 15 + n as i64));
    }
    for n in 20..520 {
        // Some are late: from before they were joined.
        let time = if n % 10 == 0 { n as i64 / 50 } else { 1000 + n as i64 };
        after.push(of("ann", n, time));
        after.push(of("bob", n, time));
    }
    let link = [("loyalty", "card-ann"), ("email", "bob@x.eu")];
    let joining = vec![event("join", "buy", 500, &link, r#","properties":{"total":"1.5"}"#)];
    (before, joining, after)
}

fn names() -> Vec<String> {
    let names = (0..520).flat_map(|n| [format!("ann{n:04}"), format!("bob{n:04}")]);
    names.chain(["join".to_owned()]).collect()
}

const NEVER: &str = r#"{"kind":"must_not_link","a":{"type":"loyalty","value":"card-ann"},
    "b":{"type":"email","value":"Bob@X.eu"},"reason":"two customers, one typing error"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undoing_a_join_after_a_thousand_events_equals_never_having_joined_byte_for_byte() {
    let (before, joining, after) = story();
    let all = names();
    let of = |world: &World| world.picture(all.iter().map(String::as_str));

    let never = World::new(None).await;
    never.define().await;
    never.tenant.constrain(&value(NEVER)).await.unwrap();
    for events in [&before, &joining, &after] {
        never.send(events, false).await;
    }
    let want = of(&never);
    assert_eq!(want.len(), 2);

    let undone = World::new(None).await;
    undone.define().await;
    undone.send(&before, false).await;
    let ids: Vec<_> = ["ann0000", "bob0000"].map(|name| undone.profile_of(name)).into();
    undone.send(&joining, false).await;
    assert_eq!(undone.profile_of("bob0000"), undone.profile_of("ann0000"));
    undone.send(&after, false).await;
    let joined = of(&undone);
    assert_eq!(joined.len(), 1);
    let (constraint, created) = undone.tenant.constrain(&value(NEVER)).await.unwrap();
    assert!(created && !undone.tenant.constrain(&value(NEVER)).await.unwrap().1);
    assert_eq!(of(&undone), want);
    // Every id ever given leads to a profile, and to the right one.
    for id in ids {
        assert!(want.contains_key(&undone.tenant.profile(id).unwrap().id));
    }
    assert_ne!(undone.profile_of("bob0000"), undone.profile_of("ann0000"));

    undone.tenant.release(constraint.id).await.unwrap();
    assert_eq!(of(&undone), joined, "without the constraint they are one again");
    undone.tenant.constrain(&value(NEVER)).await.unwrap();
    let log = undone.tenant.identity_log(100, None).unwrap().items;
    let kinds: BTreeSet<_> = log.iter().map(|entry| entry.happened.as_str()).collect();
    assert!(kinds.contains("merged") && kinds.contains("split"), "{log:?}");
    let changes = undone.tenant.changes("spenders", 100, None).unwrap().items;
    assert!(changes.iter().any(|change| change.cause == "split"), "{changes:?}");
    undone.finish().await;
    never.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_of_an_undone_join_has_the_events_and_facts_it_had_without_the_joining_event() {
    let (before, joining, after) = story();
    let apart = World::new(None).await;
    apart.define().await;
    apart.send(&before, false).await;
    apart.send(&after, false).await;
    let undone = World::new(None).await;
    undone.define().await;
    undone.send(&before, false).await;
    undone.send(&joining, false).await;
    undone.send(&after, false).await;
    undone.tenant.constrain(&value(NEVER)).await.unwrap();
    // The joining event names Bob's address first: e-mail has a priority, the card has none.
    let ann = |world: &World| world.picture(["ann0000"]);
    assert_eq!(ann(&undone), ann(&apart));
    let bob = undone.tenant.profile(undone.profile_of("bob0000")).unwrap();
    assert_eq!(undone.profile_of("join"), bob.id);
    let read =
        |profile: &cdp_engine::profiles::ProfileView| format!("{:?} {:?}", profile.traits, profile.channels);
    assert_eq!(read(&bob), read(&apart.tenant.profile(apart.profile_of("bob0000")).unwrap()));
    undone.finish().await;
    apart.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_must_link_joins_two_with_unique_ids_and_its_end_parts_them() {
    let world = World::new(None).await;
    world.define().await;
    let buy = |id: &str, time, user: &str| {
        event(id, "buy", time, &[("user_id", user)], r#","properties":{"total":"70"}"#)
    };
    world.send(&[buy("1", 1, "u1"), buy("2", 2, "u2")], false).await;
    let [one, two] = ["1", "2"].map(|name| world.profile_of(name));
    assert_ne!(one, two);
    assert_eq!(world.tenant.segment("spenders").unwrap().size, 0);
    let body = format!(r#"{{"kind":"must_link","a":"{one}","b":"{two}","reason":"married"}}"#);
    let (constraint, _) = world.tenant.constrain(&value(&body)).await.unwrap();
    assert_eq!((world.profile_of("1"), world.profile_of("2")), (one, one));
    assert_eq!(world.tenant.profile(two).unwrap().id, one);
    assert_eq!(world.tenant.segment("spenders").unwrap().size, 1);
    world.send(&[buy("3", 3, "u2")], false).await;
    assert_eq!(world.profile_of("3"), one);
    let opposite = body.replace("must_link", "must_not_link");
    assert!(matches!(world.tenant.constrain(&value(&opposite)).await, Err(cdp_engine::Refused::Conflict(_))));
    world.tenant.release(constraint.id).await.unwrap();
    assert_eq!((world.profile_of("1"), world.profile_of("3")), (one, two));
    assert_eq!(world.tenant.segment("spenders").unwrap().size, 1, "u2 has 140 alone");
    assert!(world.tenant.release(constraint.id).await.is_err());
    world.finish().await;
}
