//! Many digests as one text of hexadecimal digits: a record of JSON stays small.

use cdp_domain::hex;
use serde::{Deserialize as _, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(digests: &[[u8; 16]], to: S) -> Result<S::Ok, S::Error> {
    let digits: String = digests.iter().map(|digest| hex::encode(digest)).collect();
    to.serialize_str(&digits)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 16]>, D::Error> {
    let digits = std::borrow::Cow::<'_, str>::deserialize(from)?;
    let bytes = hex::decode_all(&digits);
    let digests = bytes.and_then(|bytes| {
        let digests = bytes.chunks(16).map(|part| part.try_into().ok());
        digests.collect::<Option<Vec<[u8; 16]>>>()
    });
    digests.ok_or_else(|| serde::de::Error::custom("not whole digests of 16 bytes"))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held(#[serde(with = "super")] Vec<[u8; 16]>);

    #[test]
    fn digests_are_read_back_and_torn_ones_refused() {
        let held = Held(vec![[0xa7; 16], [0; 16]]);
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(text.len(), 2 * 32 + 2);
        assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        assert_eq!(serde_json::from_str::<Held>("\"\"").unwrap(), Held(Vec::new()));
        for bad in ["\"a7\"", "\"a\"", "\"xx\"", "7"] {
            assert!(serde_json::from_str::<Held>(bad).is_err(), "{bad}");
        }
    }
}
