//! The signature of Standard Webhooks 1.0: `v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use zeroize::Zeroizing;

/// Bytes of a secret, at least and at most, as the specification recommends.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const PREFIX: &str = "whsec_";

/// A webhook's secret, opened. It is wiped when it is dropped, and nothing prints it.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a text is no secret. The text is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and 24 to 64 bytes in base64")]
pub struct SecretError;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// When it is none, or shorter or longer than secrets are.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let text = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| SecretError)?);
        if SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError) }
    }

    /// A new one of 32 random bytes, as text for its owner.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Zeroizing<String>, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut())?;
        Ok(Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(bytes.as_ref()))))
    }

    /// The signature of one message, with its version before it.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The header `webhook-signature`: one signature for every secret that is live, so that a receiver may change over at any
/// time in between.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp: u64, body: &[u8]) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specifications_own_vector() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn secrets_are_read_strictly_and_never_printed() {
        let text = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (text, good) in [
            (text(23), false),
            (text(24), true),
            (text(64), true),
            (text(65), false),
            (text(32).replace("whsec_", ""), false),
            ("whsec_not base64".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(Secret::read(&text).is_ok(), good, "{text}");
        }
        assert_eq!(format!("{:?}", Secret::read(&text(24)).unwrap()), "Secret(…)");
        assert!(Secret::read(&Secret::generate().unwrap()).is_ok());
    }

    #[test]
    fn every_live_secret_signs() {
        let secrets = [b'a', b'b'].map(|byte| Secret(Zeroizing::new(vec![byte; 32])));
        let header = signatures(&secrets, "msg_1", 1, b"{}");
        let each: Vec<String> = secrets.iter().map(|secret| secret.sign("msg_1", 1, b"{}")).collect();
        assert_eq!(header.split(' ').collect::<Vec<_>>(), each);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_anywhere_is_another_signature(
            body in prop::collection::vec(any::<u8>(), 1..200),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let secret = Secret(Zeroizing::new(vec![9; 32]));
            let mut other = body.clone();
            other[at.index(body.len())] ^= 1 << bit;
            let signature = secret.sign("msg_1", 5, &body);
            prop_assert_ne!(&signature, &secret.sign("msg_1", 5, &other));
            prop_assert_ne!(&signature, &secret.sign("msg_2", 5, &body));
            prop_assert_ne!(&signature, &secret.sign("msg_1", 6, &body));
        }
    }
}
