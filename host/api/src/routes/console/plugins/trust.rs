//! Whose plugins are taken: the keys of makers, and whether anything else is.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Section, Table, Tone, Width};
use cdp_console::form::{Field, Form as View};
use cdp_engine::config::{PluginTrust, TrustedKey};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::{May, show};
use super::list;
use crate::app::App;
use crate::error::{Answer, Failure};

const HERE: &str = "/console/plugins/+trust";

/// Who signs, as a section.
pub(super) fn section(desk: &Desk) -> Section {
    let trust = desk.tenant.plugin_trust();
    let may = desk.may(May::Administer);
    let action = |act: &str, label: &str, key: &str, tone, ask: &str| Action {
        to: HERE.to_owned(),
        label: label.to_owned(),
        fields: vec![("act", act.to_owned()), ("key", key.to_owned())],
        tone,
        ask: ask.to_owned(),
    };
    let row = |one: &TrustedKey| {
        vec![
            Cell::text(one.name.as_str()),
            Cell::code(show::short(&one.key, 16)),
            if may {
                Cell::Do(action("remove", "Remove", &one.key, Tone::Bad, "What runs goes on running."))
            } else {
                Cell::None
            },
        ]
    };
    let mut blocks = Vec::new();
    if trust.keys.is_empty() {
        blocks.push(show::nothing(
            "No maker’s key is trusted, so plugins are taken whether they are signed or not.",
            None,
            "cdp plugin keygen maker.key",
        ));
    } else {
        blocks.push(Block::Table(Table {
            caption: "Keys that may sign plugins".to_owned(),
            head: vec!["Whose", "Key", ""],
            rows: trust.keys.iter().map(row).collect(),
            more: None,
        }));
        let text = if trust.required {
            "Nothing is taken in or activated that none of them signed."
        } else {
            "What is not signed is taken too."
        };
        blocks.push(Block::Text(text.to_owned()));
    }
    if may && !trust.keys.is_empty() {
        blocks.push(Block::Forms(vec![if trust.required {
            action(
                "allow",
                "Take unsigned ones too",
                "",
                Tone::Plain,
                "Whoever may upload decides what runs.",
            )
        } else {
            let ask = "What is not signed is neither taken in nor activated from then on.";
            action("require", "Take signed ones only", "", Tone::Accent, ask)
        }]));
    }
    if may {
        let fields = vec![
            Field::text("whose", "Whose key").required(),
            Field::text("key", "Public key").required().hint("Ed25519, 64 digits of hex"),
        ];
        blocks.push(Block::Form(View::new(HERE, "Trust this key", fields)));
    }
    Section::new("trust", "Whose plugins are taken", blocks).width(Width::Half)
}

/// What the trust becomes.
fn changed(mut trust: PluginTrust, form: &Form) -> Option<PluginTrust> {
    let key = form.trimmed("key");
    match form.get("act") {
        "" => trust.keys.push(TrustedKey { name: form.trimmed("whose").into(), key: key.to_owned() }),
        "remove" => trust.keys.retain(|known| known.key != key),
        "require" => trust.required = true,
        "allow" => trust.required = false,
        _ => return None,
    }
    Some(trust)
}

/// Trusts a key, or no longer, or changes whether anything else is taken.
pub(in super::super) async fn trust(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let wanted = changed(desk.tenant.plugin_trust(), &form).ok_or_else(|| Failure::not_found("change"))?;
    match desk.tenant.put_plugin_trust(wanted).await {
        Ok(()) => show::done("/console/plugins", "trust"),
        Err(refused) => {
            let mut page = list::view(&desk, "");
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_and_go_and_the_demand_for_them_stays() {
        let trust = PluginTrust::default();
        let trust = changed(trust, &Form::of("whose=maker&key=aa")).unwrap();
        let trust = changed(trust, &Form::of("act=require&key=")).unwrap();
        assert!(trust.required && trust.keys.len() == 1);
        let trust = changed(trust, &Form::of("act=remove&key=aa")).unwrap();
        assert!(
            trust.required && trust.keys.is_empty(),
            "the engine refuses that: nothing could be activated"
        );
        assert!(changed(trust, &Form::of("act=anything")).is_none());
    }
}
