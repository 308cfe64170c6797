//! Every route of the console with every role, and with forms of other sites.

use cdp_engine::users::Role;

use super::super::{May, ROUTES};
use super::{Browser, shop};

fn address(path: &str) -> String {
    let mut out = String::new();
    let mut parts = path.split(['{', '}']);
    while let Some(text) = parts.next() {
        out.push_str(text);
        if let Some(name) = parts.next() {
            out.push_str(match name {
                "name" => "ordered",
                "act" => "nothing",
                "position" => "0",
                "type" => "Order",
                "*rest" => "not/a/page",
                _ => "prf_00000000000000000000000000000000",
            });
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_admits_exactly_the_roles_of_the_table() {
    let world = shop().await;
    let nobody = Browser::nobody(&world);
    let mut browsers = Vec::new();
    for role in Role::ALL {
        browsers.push((role, Browser::of(&world, role).await));
    }
    let mut wrong = Vec::new();
    let ends_session = |path: &str| matches!(path, "/console/sign-out" | "/console/account/password");
    for (method, path, may) in ROUTES.iter().filter(|row| !ends_session(row.1)) {
        let at = address(path);
        let refused = async |browser: &Browser<'_>| {
            let answered =
                if *method == "get" { browser.get(&at).await } else { browser.post(&at, &[]).await };
            if answered.status >= 500 {
                panic!("{method} {at}: {} {}", answered.status, answered.text);
            }
            let to_sign_in = answered
                .headers
                .get("location")
                .is_some_and(|to| to.to_str().unwrap().starts_with("/console/sign-in"));
            if answered.text.contains("missing_role") {
                "role"
            } else if to_sign_in || answered.text.contains("signed_out") {
                "signed out"
            } else {
                "no"
            }
        };
        let open = *may == May::Anybody;
        let got = refused(&nobody).await;
        if (got == "signed out") == open {
            wrong.push(format!("{method} {path} for nobody: {got}"));
        }
        for (role, browser) in &browsers {
            let wanted = if may.allows(*role) { "no" } else { "role" };
            let got = refused(browser).await;
            if got != wanted {
                wrong.push(format!("{method} {path} for {role:?}: refused {got}, wanted {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_another_site_is_refused() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    for (_, path, _) in ROUTES.iter().filter(|row| row.0 == "post") {
        let at = address(path);
        for site in ["cross-site", "same-site"] {
            let answered = admin.post_from(site, &at, &[("q", "x")]).await;
            assert_eq!(answered.status, 403, "{at} from {site}: {}", answered.text);
            assert!(answered.text.contains("cross_site"), "{at} from {site}");
        }
    }
    assert_eq!(admin.get("/console").await.status, 200, "the session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_says_what_browsers_may_do_with_it_and_is_kept_nowhere() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    for (_, path, _) in ROUTES.iter().filter(|row| row.0 == "get" && row.1 != "/console/assets/{name}") {
        let page = admin.get(&address(path)).await;
        let header = |name: &str| {
            page.headers.get(name).unwrap_or_else(|| panic!("{path} has no {name}")).to_str().unwrap()
        };
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(
            policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!((header("x-content-type-options"), header("referrer-policy")), ("nosniff", "no-referrer"));
        assert!(header("cache-control").contains("no-store"), "{path}");
        assert!(
            !page.text.contains("<script>")
                && !page.text.contains(" style=")
                && !page.text.contains(" onclick="),
            "{path}"
        );
        assert!(
            !page.text.contains("http://") && !page.text.replace("https://…", "").contains("https://"),
            "{path} loads or links elsewhere"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_have_addresses_of_their_own_and_are_kept() {
    let world = shop().await;
    let nobody = Browser::nobody(&world);
    for address in [cdp_console::assets::style(), cdp_console::assets::script(), cdp_console::assets::icon()]
    {
        let asset = nobody.get(&address).await;
        assert_eq!(asset.status, 200, "{address}");
        assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
    assert_eq!(nobody.get("/console/assets/console.css").await.status, 404, "only the current one is there");
}
