//! Builds the other plugin hosts of `cdp bench plugin`, into `target/benches`.

use crate::command::{cargo, root, run as run_command, say};

pub(crate) fn run(_: &[String]) -> crate::Outcome {
    let out = root().join("target/benches");
    // The guest has a linker of its own, which cargo finds from its folder.
    let mut guest = cargo();
    guest.current_dir(root().join("host/benches/extism-guest"));
    guest.args(["build", "--release", "--target", "wasm32-wasip2", "--target-dir"]).arg(out.join("guest"));
    run_command(guest.env_remove("RUSTFLAGS"))?;
    let built = out.join("guest/wasm32-wasip2/release/extism_guest.wasm");
    std::fs::copy(&built, out.join("extism_guest.wasm"))
        .map_err(|error| format!("{} could not be copied: {error}", built.display()))?;
    let mut host = cargo();
    host.args(["build", "--release", "--manifest-path", "host/benches/Cargo.toml", "--target-dir"]).arg(&out);
    run_command(&mut host)?;
    say("run: cdp bench plugin --peers target/benches/release/peers");
    Ok(())
}
