//! Parts of the documentation that only the program knows: its settings and its commands.

use std::fmt::Write as _;

use cdp_api::docs::Part;
use clap::Command;

use crate::{http, show};

/// What pages are completed with: see [`cdp_api::docs`].
pub(crate) const PARTS: &[Part] = &[("configuration", configuration), ("commands", commands)];

/// Every setting that `cdp config show` shows, with the ways to give it.
fn configuration() -> String {
    let line = crate::command_line();
    let mut text =
        String::from("| in `cdp.toml` | flag | environment | default | |\n| --- | --- | --- | --- | --- |\n");
    let serve = line.find_subcommand("serve");
    for argument in serve.into_iter().flat_map(Command::get_arguments) {
        let Some(flag) = argument.get_long().filter(|_| !argument.is_hide_set()) else { continue };
        let Some(variable) = argument.get_env() else { continue };
        let name = argument.get_id().as_str();
        let in_file = if show::SETTINGS.contains(&name) { format!("`{name}`") } else { String::new() };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let (said, default) = help.split_once(" [default: ").unwrap_or((&help, ""));
        let default = default.trim_end_matches(['.', ']']);
        let variable = variable.to_string_lossy();
        let _ = writeln!(text, "| {in_file} | `--{flag}` | `{variable}` | {default} | {} |", sentence(said));
    }
    text.push_str(
        "\nIn the table `[http]` of `cdp.toml`:\n\n| setting | default | |\n| --- | ---: | --- |\n",
    );
    let usual = cdp_api::limits::all(&cdp_api::HttpOptions::default());
    for name in http::FILE_SETTINGS {
        let said = cdp_api::docs::limit(name).unwrap_or_default();
        let _ = writeln!(text, "| `{name}` | {} | {said} |", usual[name]);
    }
    text
}

/// A help text as a sentence in a table.
fn sentence(help: &str) -> String {
    let help = help.trim().replace('|', "\\|");
    if help.ends_with('.') { help } else { format!("{help}.") }
}

/// What `--help` says of every command.
fn commands() -> String {
    let mut line = quiet(crate::command_line());
    line.build();
    let mut text = String::new();
    describe(&line, "cdp", &mut text);
    text
}

/// The same without what the environment of this process holds: the documentation is for everybody.
fn quiet(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(quiet)
}

fn describe(command: &Command, name: &str, text: &mut String) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let word = command.get_name();
        if word == "help" {
            continue;
        }
        let name = format!("{name} {word}");
        if command.has_subcommands() {
            describe(command, &name, text);
        } else {
            let help = command.clone().render_help().to_string();
            let _ = write!(text, "### {name}\n\n```text\n{}\n```\n\n", help.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_stands_with_its_flag_and_its_variable() {
        let text = configuration();
        for name in show::SETTINGS {
            let (flag, variable) = (name.replace('_', "-"), name.to_uppercase());
            assert!(
                text.contains(&format!("| `{name}` | `--{flag}` | `CDP_{variable}` |")),
                "{name}: {text}"
            );
        }
        for name in http::FILE_SETTINGS {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            assert!(row.is_some_and(|row| row.ends_with(". |")), "{name}: {text}");
        }
        assert!(!text.contains("panic"), "what is for tests is for tests: {text}");
        assert!(text.contains("| 127.0.0.1:8080 | Address and port; port 0 picks a free one. |"), "{text}");
    }

    #[test]
    fn every_command_stands_with_its_help_and_without_this_environment() {
        let text = commands();
        for name in ["cdp serve", "cdp segments explain", "cdp plugin push", "cdp completions"] {
            assert!(text.contains(&format!("### {name}\n\n```text\n")), "{name}");
            assert!(text.contains(&format!("Usage: {name}")), "{name}");
        }
        assert!(!text.contains("compile-plugin") && !text.contains("### cdp help"));
        // The values of variables would stand behind their names.
        assert!(text.contains("[env: CDP_URL]") && !text.contains("[env: CDP_URL="), "{text}");
    }
}
