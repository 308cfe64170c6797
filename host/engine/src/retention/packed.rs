//! A record's body as one text of hexadecimal digits: what it holds has no JSON form of its own.

use cdp_domain::hex;
use serde::{Deserialize as _, Deserializer, Serializer};

use super::Aged;
use crate::rows::{decode, encode};

pub(crate) fn serialize<S: Serializer>(aged: &Aged, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(&encode(aged)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Aged>, D::Error> {
    let digits = std::borrow::Cow::<'_, str>::deserialize(from)?;
    let bytes = hex::decode_all(&digits).ok_or_else(|| serde::de::Error::custom("not hexadecimal digits"))?;
    decode(&bytes).map(Box::new).map_err(serde::de::Error::custom)
}
