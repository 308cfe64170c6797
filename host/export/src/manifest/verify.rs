//! Checking a manifest offline: that a file is the one that it describes, and that a row's proof leads to its root.

use cdp_domain::hex;
use std::io::Read;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{MANIFEST_FORMAT, leaf, root_of};

/// What was checked and holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Bytes of the file.
    pub bytes: u64,
    /// Rows that the manifest says it has.
    pub rows: u64,
    /// The row that the proof is of.
    pub proven_row: Option<u64>,
}

/// Checks that `file` is what `manifest` describes, and, where a proof is given, that it leads to the manifest's root.
///
/// # Errors
/// Every disagreement, a sentence each.
pub fn verify(manifest: &Value, file: &mut dyn Read, proof: Option<&Value>) -> Result<Checked, Vec<String>> {
    let mut wrong = Vec::new();
    if manifest["manifest"] != MANIFEST_FORMAT {
        wrong.push(format!("it is no manifest of the form {MANIFEST_FORMAT}"));
        return Err(wrong);
    }
    let mut checked = Checked::default();
    match digest(file) {
        Err(error) => wrong.push(format!("the file cannot be read: {error}")),
        Ok((bytes, sha256)) => {
            checked.bytes = bytes;
            if manifest["bytes"].as_u64() != Some(bytes) {
                wrong.push(format!("the file has {bytes} bytes, the manifest says {}", manifest["bytes"]));
            }
            if manifest["sha256"].as_str() != Some(&sha256) {
                wrong.push(format!(
                    "the file's SHA-256 is {sha256}, the manifest says {}",
                    manifest["sha256"]
                ));
            }
        }
    }
    checked.rows = manifest["rows"].as_u64().unwrap_or(0);
    let sum = |of: &Value| of.as_object().map_or(0, |of| of.values().filter_map(Value::as_u64).sum::<u64>());
    let (changes, withheld) = (&manifest["changes"], sum(&manifest["withheld"]));
    let removed = changes["remove"].as_u64().unwrap_or(0);
    let unchanged = manifest["unchanged"].as_u64().unwrap_or(0);
    let members = (checked.rows + unchanged + withheld).checked_sub(removed);
    if manifest["members"].as_u64() != members {
        wrong.push("rows, unchanged and withheld members do not add up to the members".to_owned());
    }
    if let Some(proof) = proof {
        match proven(manifest, proof) {
            Ok(row) => checked.proven_row = Some(row),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(checked) } else { Err(wrong) }
}

fn digest(file: &mut dyn Read) -> std::io::Result<(u64, String)> {
    let (mut hasher, mut bytes, mut part) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok((bytes, hex::encode(&hasher.finalize()))),
            n => {
                hasher.update(&part[..n]);
                bytes += n as u64;
            }
        }
    }
}

fn proven(manifest: &Value, proof: &Value) -> Result<u64, String> {
    let text = |name: &str| proof[name].as_str().ok_or_else(|| format!("the proof has no {name}"));
    let row = proof["row"].as_u64().ok_or("the proof names no row")?;
    let salt: [u8; 16] = hex::decode(text("salt")?).ok_or("the proof has a salt that is none")?;
    let leaf = leaf(&salt, text("values")?, text("consent")?);
    let path = proof["path"].as_array().ok_or("the proof has no path")?;
    let path = path
        .iter()
        .map(|step| hex::decode(step.as_str().unwrap_or_default()))
        .collect::<Option<Vec<[u8; 32]>>>()
        .ok_or("the proof has a path that is none")?;
    let commitments = &manifest["commitments"];
    let count = commitments["rows"].as_u64().ok_or("the manifest has no commitments")?;
    let root = root_of(leaf, row, count, &path).map(|root| hex::encode(&root));
    if root.as_deref() != commitments["root"].as_str() {
        return Err("the proof does not lead to the manifest's root".to_owned());
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Tree;
    use crate::manifest::tree::path_of;
    use serde_json::json;

    fn example() -> (Value, &'static [u8], Value) {
        let file = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
        let leaves: Vec<_> = (0..3).map(|n| leaf(&[n; 16], &format!("{{\"a\":{}}}", n + 1), "{}")).collect();
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let manifest = json!({
            "manifest": MANIFEST_FORMAT, "rows": 3, "members": 5, "unchanged": 0,
            "changes": {"add": 3, "update": 0, "remove": 0}, "withheld": {"consent_denied": 2},
            "bytes": file.len(), "sha256": hex::encode(&Sha256::digest(file)),
            "commitments": {"rows": 3, "root": hex::encode(&tree.root().0)},
        });
        let mut roots = |from: u64, to: u64| {
            let mut part = Tree::default();
            leaves[from as usize..to as usize].iter().for_each(|leaf| part.push(*leaf));
            Ok::<_, ()>(part.root().0)
        };
        let path: Vec<_> = path_of(1, 3, &mut roots).unwrap().iter().map(|hash| hex::encode(hash)).collect();
        let proof = json!({"row": 1, "salt": hex::encode(&[1; 16]), "values": "{\"a\":2}", "consent": "{}", "path": path});
        (manifest, file, proof)
    }

    #[test]
    fn what_belongs_together_is_said_to() {
        let (manifest, file, proof) = example();
        let checked = verify(&manifest, &mut &*file, Some(&proof)).unwrap();
        assert_eq!(checked, Checked { bytes: file.len() as u64, rows: 3, proven_row: Some(1) });
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let (manifest, file, proof) = example();
        for at in 0..file.len() {
            let mut other = file.to_vec();
            other[at] ^= 1;
            assert!(verify(&manifest, &mut &*other, None).is_err());
        }
        assert!(verify(&manifest, &mut &file[1..], None).is_err());
        for (name, value) in
            [("rows", json!(4)), ("members", json!(6)), ("manifest", json!("x")), ("withheld", json!({}))]
        {
            let mut other = manifest.clone();
            other[name] = value;
            assert!(verify(&other, &mut &*file, None).is_err(), "{name}");
        }
        for (name, value) in [
            ("row", json!(2)),
            ("salt", json!(hex::encode(&[2; 16]))),
            ("values", json!("{\"a\":3}")),
            ("consent", json!("")),
            ("path", json!([])),
        ] {
            let mut other = proof.clone();
            other[name] = value;
            assert!(verify(&manifest, &mut &*file, Some(&other)).is_err(), "{name}");
        }
    }
}
