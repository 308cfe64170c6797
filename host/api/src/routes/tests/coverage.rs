//! Every route with every kind of key: the table of access is what the server does.

use std::collections::BTreeSet;

use cdp_engine::registry::Scope;
use http::Method;
use serde_json::json;

use super::{OPERATOR, World};
use crate::access::{Access, TABLE};

fn address(path: &str) -> String {
    path.replace("{key}", "cdp_live_x").replace(['{', '}'], "")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_admits_exactly_the_scopes_of_the_table() {
    let world = World::new().await;
    let mut keys = vec![(None, String::new()), (Some(Scope::Operator), OPERATOR.to_owned())];
    for (name, scope) in cdp_engine::registry::Scopes::OF_TENANTS {
        keys.push((Some(scope), world.key(&[name]).await));
    }
    let mut wrong = Vec::new();
    for (method, path, access) in TABLE {
        for (scope, key) in &keys {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answered = world.send(method.clone(), &address(path), key, &json!({})).await;
            let wanted = match (access, scope) {
                (Access::Public, _) => None,
                (_, None) => Some(401),
                (Access::Operator, Some(Scope::Operator)) => None,
                (Access::Operator, _) | (_, Some(Scope::Operator)) => Some(403),
                (Access::AnyKey, _) | (_, Some(Scope::Admin)) => None,
                (Access::NotOnlyIngest, Some(Scope::Read | Scope::Export)) => None,
                (Access::Message, Some(Scope::Ingest)) => None,
                (Access::Tenant(needed), Some(has)) if needed == has => None,
                _ => Some(403),
            };
            let refused = matches!(answered.status, 401 | 403).then_some(answered.status);
            if refused != wanted {
                wrong.push(format!("{method} {path} with {scope:?}: {}, wanted {wanted:?}", answered.status));
            }
            if answered.status >= 400 && answered.body["code"].is_null() {
                wrong.push(format!("{method} {path} with {scope:?}: {} without a code", answered.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_the_description_and_the_router_name_the_same_routes() {
    let table: BTreeSet<_> = TABLE.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(table.len(), TABLE.len(), "each stands once");
    let mut description = crate::describe();
    let mut described = BTreeSet::new();
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in crate::openapi::operations(item) {
            assert!(operation.responses.responses.contains_key("default"));
            described.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(table, described);
}

#[test]
fn the_description_repeats_itself_and_names_what_it_refers_to() {
    let text = crate::openapi::to_json(&crate::describe());
    assert_eq!(text, crate::openapi::to_json(&crate::describe()));
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut missing = BTreeSet::new();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        if description["components"]["schemas"][name].is_null() {
            missing.insert(name.to_owned());
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
