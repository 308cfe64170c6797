//! What a guest writes down for its owner; bounded, and never observable by the guest.

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What happened; also a guest's standard output.
    Info,
    /// What should not have; also a guest's standard error, where panics speak.
    Warn,
    /// What went wrong.
    Error,
}

/// One line of a guest's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// As the guest gave it.
    pub level: Level,
    /// At most 1,024 bytes, cut at a character; control characters are replaced.
    pub message: String,
}

/// Bytes of one line.
const LINE_BYTES_MAX: usize = 1024;

/// The log of one run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) dropped: u64,
    bytes: usize,
    lines_max: usize,
    bytes_max: usize,
    unfinished: [Vec<u8>; 2],
}

impl Log {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { lines_max: limits.log_lines as usize, bytes_max: limits.log_bytes, ..Self::default() }
    }

    pub(crate) fn write(&mut self, level: Level, message: &str) {
        let mut end = message.len().min(LINE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        if self.lines.len() >= self.lines_max || self.bytes + end > self.bytes_max {
            self.dropped += 1;
            return;
        }
        self.bytes += end;
        let message = message[..end].chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.lines.push(LogLine { level, message });
    }

    /// Takes bytes of standard output or standard error and cuts them into lines.
    pub(crate) fn stream(&mut self, level: Level, bytes: &[u8]) {
        let slot = usize::from(level > Level::Info);
        for &byte in bytes {
            if byte == b'\n' {
                self.finish(slot);
            } else if self.unfinished[slot].len() < LINE_BYTES_MAX {
                self.unfinished[slot].push(byte);
            }
        }
    }

    /// Ends the run: what stands without a line end becomes a line, and all of it goes to `to`.
    pub(crate) fn into(mut self, to: &mut Self) {
        self.finish(0);
        self.finish(1);
        to.dropped += self.dropped;
        for line in self.lines {
            to.write(line.level, &line.message);
        }
    }

    fn finish(&mut self, slot: usize) {
        if !self.unfinished[slot].is_empty() {
            let line = std::mem::take(&mut self.unfinished[slot]);
            self.write([Level::Info, Level::Warn][slot], &String::from_utf8_lossy(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_what_fits_and_counts_the_rest() {
        let limits = Limits { log_lines: 3, log_bytes: 10, ..Limits::default() };
        let mut log = Log::new(&limits);
        log.write(Level::Info, "four");
        log.write(Level::Info, "longer than ten");
        log.write(Level::Info, "a\u{1b}b");
        log.write(Level::Info, "");
        log.write(Level::Info, "");
        let messages: Vec<_> = log.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["four", "a\u{fffd}b", ""]);
        assert_eq!(log.dropped, 2);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let mut log = Log::new(&Limits::default());
        log.write(Level::Info, &format!("a{}", "é".repeat(1000)));
        assert_eq!(log.lines[0].message.len(), 1023);
    }

    #[test]
    fn streams_become_lines() {
        let mut log = Log::new(&Limits::default());
        log.stream(Level::Warn, b"panicked at");
        log.stream(Level::Warn, b" src\nsecond");
        let mut all = Log::new(&Limits::default());
        log.into(&mut all);
        let messages: Vec<_> = all.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["panicked at src", "second"]);
    }
}
