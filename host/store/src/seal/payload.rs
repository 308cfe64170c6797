//! Sealing and opening one payload, in place.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cdp_domain::ids::TenantNo;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::DataKeys;
use crate::journal::{Header, RecordKind};
use crate::{Error, Result, error};

/// What sealing adds to a payload, in bytes.
pub const SEAL_BYTES: usize = 16;

/// Bytes before what is sealed in a room: how many those are.
const ROOM_PREFIX: usize = 4;

/// Seals `payload` for the record with this header, with the key that `header.key_ref` names; sets `header.nonce`.
///
/// The payload grows by [`SEAL_BYTES`]; with that much spare capacity nothing is allocated.
/// All of the header but time and nonce is authenticated: set kind, digests and key reference before, and do not change them after.
///
/// # Errors
/// [`Error::KeyDestroyed`]; [`Error::Randomness`] at the first seal of a process. The payload is as it was.
pub fn seal_in_place(
    keys: &dyn DataKeys,
    tenant: TenantNo,
    header: &mut Header,
    payload: &mut Vec<u8>,
) -> Result<()> {
    let cipher = cipher(keys, header)?;
    header.nonce = next_nonce()?;
    let nonce = Nonce::assume_unique_for_key(header.nonce);
    let sealed = cipher.seal_in_place_append_tag(nonce, Aad::from(authenticated(tenant, header)), payload);
    sealed.map_err(|_| Error::Sealed)
}

/// Seals what takes the place of a payload of `room` bytes under the same header, or nothing at all; None when it does not
/// fit. The payload that comes back has exactly `room` bytes, and the header says that it was redacted.
///
/// # Errors
/// Those of [`seal_in_place`].
pub fn seal_in_room(
    keys: &dyn DataKeys,
    tenant: TenantNo,
    header: &Header,
    stub: Option<Vec<u8>>,
    room: usize,
) -> Result<Option<(Header, Vec<u8>)>> {
    let mut header = Header { redacted: true, ..*header };
    let sealed = match stub {
        Some(mut stub) if fits(&stub, room) => {
            seal_in_place(keys, tenant, &mut header, &mut stub)?;
            stub
        }
        Some(_) => return Ok(None),
        None if room < ROOM_PREFIX => return Ok(None),
        None => {
            header.nonce = [0; 12];
            Vec::new()
        }
    };
    let mut payload =
        u32::try_from(sealed.len()).expect("a payload is at most a mebibyte").to_le_bytes().to_vec();
    payload.extend_from_slice(&sealed);
    payload.resize(room, 0);
    Ok(Some((header, payload)))
}

/// Whether a stub fits into the room of a payload of `room` bytes.
#[must_use]
pub fn fits(stub: &[u8], room: usize) -> bool {
    ROOM_PREFIX + stub.len() + SEAL_BYTES <= room
}

/// Whether nothing at all took the place of a redacted record's payload.
#[must_use]
pub fn is_empty(header: &Header, payload: &[u8]) -> bool {
    header.redacted && payload.first_chunk::<ROOM_PREFIX>().is_none_or(|length| *length == [0; ROOM_PREFIX])
}

/// Opens what [`seal_in_place`] or [`seal_in_room`] sealed under the same tenant and header.
///
/// # Errors
/// [`Error::KeyDestroyed`], also for a payload that nothing took the place of, and where the reference has a key again and this is not what it sealed; [`Error::Sealed`] when header, key or bytes are not those of the sealing. Then `payload` means nothing.
pub fn open_in_place(
    keys: &dyn DataKeys,
    tenant: TenantNo,
    header: &Header,
    payload: &mut Vec<u8>,
) -> Result<()> {
    if is_empty(header, payload) {
        return Err(Error::KeyDestroyed);
    }
    if header.redacted {
        let (length, _) = payload.split_first_chunk().ok_or(Error::Sealed)?;
        let end = ROOM_PREFIX + u32::from_le_bytes(*length) as usize;
        if end > payload.len() {
            return Err(Error::Sealed);
        }
        payload.truncate(end);
        payload.drain(..ROOM_PREFIX);
    }
    let cipher = cipher(keys, header)?;
    let nonce = Nonce::assume_unique_for_key(header.nonce);
    let opened = cipher.open_in_place(nonce, Aad::from(authenticated(tenant, header)), payload);
    let length = match opened {
        Ok(opened) => opened.len(),
        Err(_) if keys.had_another(&header.key_ref) => return Err(Error::KeyDestroyed),
        Err(_) => return Err(Error::Sealed),
    };
    payload.truncate(length);
    Ok(())
}

fn cipher(keys: &dyn DataKeys, header: &Header) -> Result<LessSafeKey> {
    let key = keys.key(&header.key_ref)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key.0).expect("a data key has the algorithm's length");
    Ok(LessSafeKey::new(key))
}

fn authenticated(tenant: TenantNo, header: &Header) -> [u8; 45] {
    let mut out = [0; 45];
    out[..4].copy_from_slice(&tenant.0.to_le_bytes());
    out[4] = match header.kind {
        RecordKind::Event => 1,
        RecordKind::Config => 2,
    };
    out[4] |= u8::from(header.redacted) << 7;
    out[5..21].copy_from_slice(&header.id);
    out[21..29].copy_from_slice(&header.body);
    out[29..].copy_from_slice(&header.key_ref);
    out
}

/// The argument for its uniqueness stands in the module docs of [`super`].
fn next_nonce() -> Result<[u8; 12]> {
    static PROCESS: OnceLock<([u8; 4], AtomicU64)> = OnceLock::new();
    let (prefix, counter) = match PROCESS.get() {
        Some(drawn) => drawn,
        None => {
            let drawn = (error::random()?, AtomicU64::new(u64::from_le_bytes(error::random()?)));
            PROCESS.get_or_init(|| drawn)
        }
    };
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(prefix);
    nonce[4..].copy_from_slice(&counter.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::super::{KeyRing, MasterKey};
    use super::*;
    use std::collections::HashSet;

    const TENANT: TenantNo = TenantNo(7);

    fn ring() -> KeyRing {
        KeyRing::derived(&MasterKey::from_bytes([1; 32]), TENANT)
    }

    fn sealed() -> (Header, Vec<u8>) {
        let mut header = Header { key_ref: [3; 16], id: [4; 16], ..Header::default() };
        let mut payload = b"payload".to_vec();
        seal_in_place(&ring(), TENANT, &mut header, &mut payload).unwrap();
        (header, payload)
    }

    #[test]
    fn a_sealed_payload_opens_again() {
        let (header, mut payload) = sealed();
        assert_eq!(payload.len(), 7 + SEAL_BYTES);
        assert!(!payload.windows(7).any(|part| part == b"payload"));
        open_in_place(&ring(), TENANT, &header, &mut payload).unwrap();
        assert_eq!(payload, b"payload");
    }

    #[test]
    fn it_opens_under_no_other_header_tenant_key_or_bytes() {
        let (header, payload) = sealed();
        let fails = |ring: &KeyRing, tenant: TenantNo, header: Header, payload: &[u8]| {
            matches!(open_in_place(ring, tenant, &header, &mut payload.to_vec()), Err(Error::Sealed))
        };
        assert!(!fails(&ring(), TENANT, header, &payload));
        for other in [
            Header { kind: RecordKind::Config, ..header },
            Header { id: [5; 16], ..header },
            Header { body: [5; 8], ..header },
            Header { key_ref: [5; 16], ..header },
            Header { nonce: [5; 12], ..header },
        ] {
            assert!(fails(&ring(), TENANT, other, &payload), "{other:?}");
        }
        assert!(fails(&ring(), TenantNo(8), header, &payload));
        assert!(fails(&KeyRing::derived(&MasterKey::from_bytes([2; 32]), TENANT), TENANT, header, &payload));
        assert!(fails(
            &KeyRing::derived(&MasterKey::from_bytes([1; 32]), TenantNo(8)),
            TENANT,
            header,
            &payload
        ));
        let mut flipped = payload.clone();
        flipped[3] ^= 1;
        assert!(fails(&ring(), TENANT, header, &flipped));
        assert!(fails(&ring(), TENANT, header, &payload[..SEAL_BYTES - 1]));
    }

    #[test]
    fn a_room_holds_what_fits_or_nothing_and_is_opened_under_its_own_header() {
        let (header, payload) = sealed();
        let room = payload.len() + 4;
        assert!(seal_in_room(&ring(), TENANT, &header, Some(vec![1; 8]), room).unwrap().is_none());
        let (other, mut kept) =
            seal_in_room(&ring(), TENANT, &header, Some(vec![1; 7]), room).unwrap().unwrap();
        assert_eq!((kept.len(), other.redacted, is_empty(&other, &kept)), (room, true, false));
        let passed_off = Header { redacted: false, ..other };
        assert!(open_in_place(&ring(), TENANT, &passed_off, &mut kept[4..27].to_vec()).is_err());
        open_in_place(&ring(), TENANT, &other, &mut kept).unwrap();
        assert_eq!(kept, [1; 7]);
        let (other, mut none) = seal_in_room(&ring(), TENANT, &header, None, room).unwrap().unwrap();
        assert_eq!((&none, is_empty(&other, &none)), (&vec![0; room], true));
        assert!(matches!(open_in_place(&ring(), TENANT, &other, &mut none), Err(Error::KeyDestroyed)));
        let mut torn = vec![9, 0, 0, 0, 1];
        assert!(matches!(open_in_place(&ring(), TENANT, &other, &mut torn), Err(Error::Sealed)));
    }

    #[test]
    fn a_destroyed_key_neither_seals_nor_opens_and_others_still_do() {
        let (mut header, mut payload) = sealed();
        let dir = tempfile::tempdir().unwrap();
        let open =
            |fresh| KeyRing::open(&dir.path().join("k"), &MasterKey::from_bytes([1; 32]), TENANT, fresh);
        let ring = open(true).unwrap();
        seal_in_place(&ring, TENANT, &mut header, &mut payload).unwrap();
        open_in_place(&ring, TENANT, &header, &mut payload.clone()).unwrap();
        ring.destroy(&[[3; 16]], 1).unwrap();
        assert!(matches!(open_in_place(&ring, TENANT, &header, &mut payload), Err(Error::KeyDestroyed)));
        assert!(matches!(seal_in_place(&ring, TENANT, &mut header, &mut payload), Err(Error::KeyDestroyed)));
        header.key_ref = [9; 16];
        seal_in_place(&ring, TENANT, &mut header, &mut payload.clone()).unwrap();
        let other = Header { key_ref: [3; 16], ..header };
        ring.renew(1).unwrap();
        let mut old = payload;
        assert!(matches!(open_in_place(&ring, TENANT, &other, &mut old), Err(Error::KeyDestroyed)));
    }

    #[test]
    fn nonces_of_several_threads_are_all_different() {
        let draw = || (0..2000).map(|_| next_nonce().unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let drawn: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(drawn.len(), 8000);
    }
}
