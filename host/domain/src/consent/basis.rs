//! Legal bases: what lets somebody be reached for a purpose, given what is known of them.
//!
//! | basis | unknown | granted | expired | denied | withdrawn |
//! | --- | --- | --- | --- | --- | --- |
//! | `consent` | no | yes | no | no | no |
//! | `contract`, `public_task`, `legitimate_interest` | yes | yes | yes | no | no |
//! | `legal_obligation`, `vital_interest` | yes | yes | yes | yes | yes |
//!
//! Where consent is not the basis, a refusal on record is an objection, and an objection is heeded.
//! To add a basis: a variant, its word, and its column here.

use serde::{Deserialize, Serialize};

use super::Status;

/// Why data may be used for a purpose (GDPR, article 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The person said yes.
    Consent,
    /// A contract with the person needs it.
    Contract,
    /// A law demands it.
    LegalObligation,
    /// A life depends on it.
    VitalInterest,
    /// A task in the public interest.
    PublicTask,
    /// An interest that outweighs the person's, who may object.
    LegitimateInterest,
}

/// Why somebody may not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was ever decided.
    Unknown,
    /// A grant ran out.
    Expired,
    /// The answer was no.
    Denied,
    /// A grant was taken back, or an objection made.
    Withdrawn,
}

impl Basis {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Consent,
        Self::Contract,
        Self::LegalObligation,
        Self::VitalInterest,
        Self::PublicTask,
        Self::LegitimateInterest,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Contract => "contract",
            Self::LegalObligation => "legal_obligation",
            Self::VitalInterest => "vital_interest",
            Self::PublicTask => "public_task",
            Self::LegitimateInterest => "legitimate_interest",
        }
    }

    /// The basis of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|basis| basis.as_str() == word)
    }

    /// Whether somebody may be reached of whom this is known; None: nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn permits(self, known: Option<Status>) -> Result<(), Refusal> {
        match (self, known) {
            (Self::LegalObligation | Self::VitalInterest, _) | (_, Some(Status::Granted)) => Ok(()),
            (_, Some(Status::Denied)) => Err(Refusal::Denied),
            (_, Some(Status::Withdrawn)) => Err(Refusal::Withdrawn),
            (Self::Consent, None) => Err(Refusal::Unknown),
            (Self::Consent, Some(Status::Expired)) => Err(Refusal::Expired),
            (Self::Contract | Self::PublicTask | Self::LegitimateInterest, None | Some(Status::Expired)) => {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_docs_is_the_table() {
        let known = [
            None,
            Some(Status::Granted),
            Some(Status::Expired),
            Some(Status::Denied),
            Some(Status::Withdrawn),
        ];
        let docs = include_str!("basis.rs");
        let mut rows = 0;
        for line in docs.lines().filter_map(|line| line.strip_prefix("//! | `")) {
            let (words, answers) = line.split_once("` |").unwrap();
            let answers: Vec<_> = answers.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
            for word in words.split("`, `") {
                let basis = Basis::find(word).unwrap();
                for (known, answer) in known.iter().zip(&answers) {
                    assert_eq!(basis.permits(*known).is_ok(), *answer == "yes", "{word} {known:?}");
                }
                rows += 1;
            }
        }
        assert_eq!(rows, Basis::ALL.len());
    }
}
