//! Append-only files whose entries are chained by hashes: what was written cannot be changed, moved, dropped or cut off
//! without being found, and what an entry says can be erased without breaking the chain.
//!
//! A chain is a directory with two files. `entries` has a line of text per entry; each line ends with a hash over all of
//! it, and holds the hash of the line before. `head` says how long the chain is, under a code that only who has the
//! installation's secret can make: without it a file cut short would look complete.
//!
//! What an entry says is sealed with the data key of whom it is about. The chain holds a commitment to it, a hash over a
//! random salt and the content; salt and content are sealed together, so once the key is destroyed nothing can be
//! learnt from the commitment, and the chain still stands.
//! Checking hashes takes no key at all; with the keys, [`verify`] also opens what is sealed and compares.
//! Borrowed ideas: Haber and Stornetta, "How to time-stamp a digital document" (1991); commitments for erasable logs as in
//! Certificate Transparency's and git's separation of a digest from what it stands for.
//!
//! Entries carry the place they come from (a position of the journal and a number), strictly ascending, so that a state
//! made anew from the journal says again what is there already and nothing is written twice.
//!
//! What is not found: putting back an older copy of both files. Whoever holds a later entry's number and hash, such as a
//! receipt or a certificate, can tell.

mod entry;
mod file;
mod head;
#[cfg(test)]
mod tests;
mod verify;

pub use entry::{Entry, Opened, Place};
pub use file::{Chain, New};
pub use verify::{Broken, Verified, verify};
