//! Every limit that the server tells is tried by a test that calls it by its name, or is here with the reason.

use super::files::files;

/// Limits that no test names, each with what is tried instead, or why nothing is.
const NOT_NAMED: &[(&str, &str)] = &[
    ("ingest_bytes_in_flight_max", "host/api/src/share/mod.rs tries the rule with a smaller number"),
    ("ingest_waiting_max", "host/api/src/share/lanes.rs tries the rule with a smaller number"),
    ("upload_read_ms_max", "the same code as body_read_ms_max, which tests/e2e/robust.rs tries"),
    ("drain_ms_max", "what is cut off at the end of the wait needs a request that never ends"),
    ("min_position_wait_ms_max", "how long a request is held, which nobody can exceed"),
    ("wait_applied_ms_max", "how long a request is held, which nobody can exceed"),
    ("guard_wait_ms_max", "how long a request is held, which nobody can exceed"),
    ("export_letters_max", "a hundred rows refused one by one; tests/e2e/mirror.rs has one of them"),
    ("recent_scan_bytes_max", "how far one question reads; the next goes on from there"),
    ("history_changes_max", "a million changes of one segment take minutes to make"),
    ("coverage_profiles_max", "two million profiles take minutes to make"),
    (
        "erased_parts_max",
        "a profile has no more fragments than linked_fragments_max, and takes minutes to make so large",
    ),
    ("erasures_pending_max", "a thousand erasures are not under way at once unless the disk stands still"),
    ("opendsr_requests_max", "ten thousand requests take minutes to make; nobody is refused"),
    ("opendsr_callbacks_max", "tests/e2e/opendsr.rs names one address more than is told"),
    ("opendsr_callback_bytes_max", "tests/e2e/opendsr.rs names an address of one byte more"),
    ("opendsr_told_ms_max", "how long somebody is told again and again: three days"),
    ("retention_every_ms", "how often it is looked, a day; a change of the rules has it done at once"),
    ("opendsr_expected_ms", "when a request is expected to be fulfilled; nobody is refused"),
    ("access_events_max", "a hundred thousand events of one person take a minute to make"),
    ("acts_waiting_max", "how many wait to be written down; nobody is refused"),
    ("replay_fragments_max", "two million fragments take minutes to make"),
    ("preview_estimate_ms_max", "how long a sample is looked at; one that ends sooner is as even"),
    ("preview_scan_bytes_max", "128 MiB of journal take a minute to write"),
    (
        "state_reopen_free_bytes_min",
        "tests/e2e/disk.rs reopens after a full disk; how full is the file system's",
    ),
];

/// What stands behind `put("name", …)`: the name, and the constant or field that it is read from.
fn told() -> Vec<(String, String)> {
    let path = super::root().join("host/api/src/limits.rs");
    let text = std::fs::read_to_string(path).unwrap();
    let mut told = Vec::new();
    for call in text.split("put(\"").skip(1) {
        let (name, rest) = call.split_once('"').unwrap();
        let value = rest.split(';').next().unwrap();
        let words = value.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let constant =
            words.clone().find(|word| word.len() > 3 && word.chars().all(|c| !c.is_ascii_lowercase()));
        let field = value.split("http.").nth(1).map(|rest| rest.trim_start_matches("rates."));
        let field =
            field.and_then(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next());
        told.push((name.to_owned(), constant.or(field).unwrap_or(name).to_owned()));
    }
    told
}

fn is_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn every_limit_that_is_told_is_tried() {
    let told = told();
    assert!(told.len() > 100, "{} limits were found", told.len());
    let mut tests = String::new();
    for (path, text) in files(&["rs"]) {
        let path = path.to_string_lossy().replace('\\', "/");
        if path.ends_with("tidy/limits.rs") {
            continue;
        }
        if path.contains("/tests/") || path.ends_with("tests.rs") {
            tests.push_str(&text);
        } else if let Some(at) = text.find("#[cfg(test)]") {
            tests.push_str(&text[at..]);
        }
    }
    // A line break inside a text is two characters that no word ends with.
    let tests = tests.replace("\\n", " ");
    let named = |name: &str, source: &str| is_word(&tests, name) || is_word(&tests, source);
    let untried: Vec<_> = told
        .iter()
        .filter(|(name, source)| !named(name, source) && !NOT_NAMED.iter().any(|(known, _)| known == name))
        .collect();
    assert!(untried.is_empty(), "no test tries {untried:?}");
    for (name, _) in NOT_NAMED {
        let (_, source) = told.iter().find(|(told, _)| told == name).expect("a limit that is told");
        assert!(!named(name, source), "{name} is tried now");
    }
}
