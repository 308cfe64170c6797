//! The IAB's TC strings, version 2: what a consent dialogue on a web page was answered with.
//!
//! Read are the fields of the core segment up to the vendors' consents. Form and meaning: IAB Europe, "Transparency and
//! Consent String with Global Vendor & CMP List Formats v2".

use super::bits::Bits;
use crate::time::Timestamp;

/// Bytes of a string that is read.
pub const TCF_BYTES_MAX: usize = 8192;

/// A TC string, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcf {
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub last_updated: Timestamp,
    /// The consent dialogue.
    pub cmp_id: u16,
    /// Its version.
    pub cmp_version: u16,
    /// The language of the dialogue, two capitals.
    pub language: String,
    /// The list of vendors that was shown.
    pub vendor_list_version: u16,
    /// The policy that held.
    pub policy_version: u8,
    /// Whether it is of one site only.
    pub service_specific: bool,
    /// The publisher's country, two capitals.
    pub publisher_country: String,
    /// Special features that were opted into, from 1.
    pub special_features: Vec<u8>,
    /// Purposes that were agreed to, from 1.
    pub purposes: Vec<u8>,
    /// Purposes that legitimate interest was shown for and not objected to, from 1.
    pub legitimate_interests: Vec<u8>,
    /// Vendors that were agreed to.
    pub vendors: Vec<u16>,
}

/// Reads a TC string; None when it is none of version 2, or is cut short.
#[must_use]
pub fn read(text: &str) -> Option<Tcf> {
    if text.len() > TCF_BYTES_MAX {
        return None;
    }
    let mut bits = Bits::of(text.split('.').next()?)?;
    if bits.number(6)? != 2 {
        return None;
    }
    let mut time = || Some(Timestamp(i64::try_from(bits.number(36)?).ok()?.checked_mul(100)?));
    let (created, last_updated) = (time()?, time()?);
    let (cmp_id, cmp_version) = (bits.number(12)? as u16, bits.number(12)? as u16);
    let _screen = bits.number(6)?;
    let language = bits.letters()?;
    let vendor_list_version = bits.number(12)? as u16;
    let policy_version = bits.number(6)? as u8;
    let service_specific = bits.bit()?;
    let _texts = bits.bit()?;
    let special_features = bits.places(12)?;
    let purposes = bits.places(24)?;
    let legitimate_interests = bits.places(24)?;
    let _purpose_one = bits.bit()?;
    let publisher_country = bits.letters()?;
    let vendors = vendors(&mut bits)?;
    Some(Tcf {
        created,
        last_updated,
        cmp_id,
        cmp_version,
        language,
        vendor_list_version,
        policy_version,
        service_specific,
        publisher_country,
        special_features,
        purposes,
        legitimate_interests,
        vendors,
    })
}

fn vendors(bits: &mut Bits) -> Option<Vec<u16>> {
    let max = bits.number(16)? as u16;
    let mut vendors = Vec::new();
    if !bits.bit()? {
        for vendor in 1..=max {
            if bits.bit()? {
                vendors.push(vendor);
            }
        }
        return Some(vendors);
    }
    for _ in 0..bits.number(12)? {
        let range = bits.bit()?;
        let from = bits.number(16)? as u16;
        let to = if range { bits.number(16)? as u16 } else { from };
        if from == 0 || from > to || to > max {
            return None;
        }
        vendors.extend(from..=to);
    }
    vendors.sort_unstable();
    vendors.dedup();
    Some(vendors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_strings_of_other_implementations_say_what_they_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/normalise/tcf_strings.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("../shared is absent: the vectors are not compared");
            return;
        };
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(vectors.len(), 9);
        for vector in vectors {
            let tcf = read(vector["tc_string"].as_str().unwrap()).unwrap();
            let told = serde_json::json!({
                "tc_string": vector["tc_string"],
                "version": 2,
                "created": tcf.created.to_string(),
                "last_updated": tcf.last_updated.to_string(),
                "cmp_id": tcf.cmp_id,
                "cmp_version": tcf.cmp_version,
                "consent_language": tcf.language,
                "vendor_list_version": tcf.vendor_list_version,
                "policy_version": tcf.policy_version,
                "is_service_specific": tcf.service_specific,
                "publisher_country": tcf.publisher_country,
                "purpose_consents": tcf.purposes,
                "purpose_legitimate_interests": tcf.legitimate_interests,
                "special_feature_optins": tcf.special_features,
                "vendor_consents": tcf.vendors,
            });
            let time = |value: &serde_json::Value| Timestamp::parse(value.as_str().unwrap()).unwrap();
            for (name, value) in vector.as_object().unwrap() {
                match name.as_str() {
                    "created" | "last_updated" => assert_eq!(time(&told[name]), time(value), "{name}"),
                    _ => assert_eq!(&told[name], value, "{name}"),
                }
            }
        }
    }

    #[test]
    fn what_is_no_string_of_version_2_is_none() {
        let good = "COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA";
        assert_eq!(read(good).unwrap().purposes, [1, 2]);
        assert_eq!(
            read(&format!("{good}.argAC0gAAAAAAAAAAAA")).unwrap().purposes,
            [1, 2],
            "further segments"
        );
        let old = format!("B{}", &good[1..]);
        for bad in ["", "C", "CO", &good[..30], "C*", &old, &"C".repeat(TCF_BYTES_MAX + 1)] {
            assert_eq!(read(bad), None, "{bad:.20}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[A-Za-z0-9_.-]{0,120}") {
            let _ = read(&format!("C{text}"));
        }
    }
}
