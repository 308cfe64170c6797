//! Looks for bytes that break `cdp_fuzz::ingest_body`.
#![no_main]
#![allow(unsafe_code, reason = "the engine, which is C++, calls one exported function")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdp_fuzz::ingest_body(data));
